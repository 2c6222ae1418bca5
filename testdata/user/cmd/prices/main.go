// The command prices is the smallest service worth trying: it tells prices in a
// currency, and asks a dependency for the rate.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Getenv("HTTP_ADDR"), os.Getenv("RATES_URL")); err != nil {
		log.Print(err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, address, rates string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler(rates), ReadHeaderTimeout: time.Second}
	go func() {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = server.Shutdown(last)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func handler(rates string) http.Handler {
	client := &http.Client{Timeout: 500 * time.Millisecond}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /prices/{item}", func(w http.ResponseWriter, r *http.Request) {
		if err := ask(r.Context(), client, rates); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "12.50")
	})
	mux.HandleFunc("GET /items", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "tea") })
	return mux
}

func ask(ctx context.Context, client *http.Client, rates string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, rates+"/rate", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("rates answered %s", answer.Status)
	}
	return nil
}
