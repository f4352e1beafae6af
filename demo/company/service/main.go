// A service of the demo company: it says who it is, so that a test can see what answered.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const drain = 3 * time.Second

type answer struct {
	Service  string `json:"service"`
	Branch   string `json:"branch"`
	From     string `json:"from"`
	Sandbox  string `json:"sandbox"`
	Method   string `json:"method"`
	Path     string `json:"path"`
	Query    string `json:"query"`
	Body     string `json:"body"`
	Greeting string `json:"greeting"`
}

func main() {
	log.SetOutput(os.Stdout)
	log.SetPrefix(service + " ")
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	prepare()
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", health)
	mux.HandleFunc("/environment", environment)
	mux.HandleFunc("/ail", ail)
	mux.HandleFunc("/", identify)
	server := &http.Server{Addr: ":" + port, Handler: mux, ReadHeaderTimeout: 5 * time.Second}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		log.Printf("%s: draining", <-stop)
		ctx, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			log.Printf("not drained: %s", err)
		}
	}()

	log.Printf("branch %s listens on port %s", branch, port)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-drained
	log.Print("stopped")
}

func health(w http.ResponseWriter, _ *http.Request) {
	if err := ailing(); err != nil {
		log.Print(err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if err := healthy(); err != nil {
		log.Print(err)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

func identify(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	log.Printf("%s %s", r.Method, r.URL.RequestURI())
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer{
		Service:  service,
		Branch:   branch,
		From:     "sandbox",
		Sandbox:  os.Getenv("SDP_SANDBOX"),
		Method:   r.Method,
		Path:     r.URL.Path,
		Query:    r.URL.RawQuery,
		Body:     string(body),
		Greeting: os.Getenv("GREETING"),
	})
}
