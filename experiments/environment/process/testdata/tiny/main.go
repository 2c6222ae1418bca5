// Command tiny is a small HTTP service for tests of the process environment.
// MODE says what is wrong with it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "migrate" {
		if err := migrate(); err != nil {
			fmt.Fprintln(os.Stderr, "migrate:", err)
			os.Exit(1)
		}
		return
	}
	switch os.Getenv("MODE") {
	case "crash":
		fmt.Fprintln(os.Stderr, "config: no harbour given, token", os.Getenv("API_TOKEN"))
		os.Exit(3)
	case "flood":
		go flood()
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	server := &http.Server{Addr: cmp.Or(os.Getenv("HOST"), "127.0.0.1") + ":" + os.Getenv("PORT"), Handler: handler()}
	go func() {
		<-stop.Done()
		_ = server.Shutdown(context.Background())
	}()
	fmt.Println("listening on", server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(os.Getenv("UNREADY_FILE")); err == nil || os.Getenv("MODE") == "unready" {
			fmt.Println("the database is still asleep")
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /name", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, os.Getenv("NAME"))
	})
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Join(os.Environ(), "\n"))
	})
	mux.HandleFunc("GET /charge", func(w http.ResponseWriter, _ *http.Request) {
		resp, err := http.Get(os.Getenv("PAYMENTS_URL") + "/charges")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
	})
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, r *http.Request) {
		n, err := count(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, n)
	})
	return mux
}

// count asks for the number of orders, and gets so much more with it that an
// engine's count of what a container received shows it.
func count(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return 0, err
	}
	defer c.Close(ctx)
	var more string
	err = c.QueryRow(ctx, "SELECT count(*), repeat('x', 4000) FROM orders").Scan(&n, &more)
	return n, err
}

func migrate() error {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, os.Getenv("OWNER_URL"))
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, "CREATE TABLE IF NOT EXISTS orders (id int PRIMARY KEY); "+
		"INSERT INTO orders VALUES (1), (2) ON CONFLICT DO NOTHING")
	return err
}

func flood() {
	line := strings.Repeat("all hands on deck ", 6) + "\n"
	chunk := []byte(strings.Repeat(line, 600))
	for {
		if _, err := os.Stdout.Write(chunk); err != nil {
			return
		}
	}
}
