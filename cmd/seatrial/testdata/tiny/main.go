// Command tiny is a service with one deliberate weakness, named by MODE, for
// the tests that show what seatrial makes of it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// flood is what the mode of that name prints, in bytes, for every request.
const flood = 8 << 20

func main() {
	if err := serve(os.Getenv("MODE")); err != nil {
		fmt.Fprintln(os.Stderr, "tiny:", err)
		os.Exit(1)
	}
}

func serve(mode string) error {
	switch mode {
	case "crash":
		return fmt.Errorf("the licence has run out, said %s", os.Getenv("LICENCE_TOKEN"))
	case "orphan", "orphan-ready": // a process of its own, in a session of its own, outlives it
		cmd := exec.Command("sleep", "300")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return err
		}
	case "indiscreet": // what it was told, for the test alone
		if err := os.WriteFile(os.Getenv("DIARY"), []byte(strings.Join(os.Environ(), "\n")), 0o600); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if mode == "unready" || mode == "orphan" {
			http.Error(w, "the cache is cold", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /hello", func(_ http.ResponseWriter, r *http.Request) { speak(mode, r) })
	mux.HandleFunc("GET /wait", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no such user: "+r.Header.Get("Authorization"), http.StatusForbidden)
	})
	mux.HandleFunc("GET /quote", func(w http.ResponseWriter, r *http.Request) {
		if err := ask(r.Context()); err != nil && mode == "fragile" {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})
	server := &http.Server{Addr: os.Getenv("ADDR"), Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { _ = server.Shutdown(context.Background()) })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// speak prints what a mode prints for a request.
func speak(mode string, r *http.Request) {
	switch mode {
	case "flood":
		line := strings.Repeat("all is well, ", 80) + "\n"
		text := strings.Repeat(line, flood/len(line))
		_, _ = io.WriteString(os.Stdout, text)
	case "indiscreet":
		fmt.Println("token", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), r.Header)
		fmt.Fprintln(os.Stderr, "settings", os.Environ())
	}
}

// ask asks the dependency for a price.
func ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, os.Getenv("PRICES"), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
