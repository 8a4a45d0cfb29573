package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Check is one named condition of readiness.
type Check struct {
	Name string // e.g. quorum; also /readyz/quorum
	// Check returns nil when the condition holds, else why it does not. It must not block.
	Check func() error
}

// Options configures a Server. Address, Logger and Listen are required.
type Options struct {
	Address string // host:port; port 0 takes a free one
	Checks  []Check
	Metrics http.Handler // nil: /metrics answers 404
	Groups  Groups       // nil: /v1/groups answers 404
	API     http.Handler // below /api/v1; nil: it answers 404
	Listen  func(ctx context.Context, network, address string) (net.Listener, error)
	Logger  *slog.Logger
	// MaxConnections bounds the connections that are open at a time; 0: 1024.
	MaxConnections int
}

// Limits of the HTTP server: what health checks and scrapers need, and little more.
const (
	readTimeout    = 10 * time.Second
	writeTimeout   = 60 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	maxConnections = 1024
)

// Server is the admin port.
type Server struct {
	o     Options
	http  *http.Server
	conns *conns
	done  sync.WaitGroup
	addr  net.Addr
}

// New returns a server that is not bound yet.
func New(o Options) *Server {
	s := &Server{o: o}
	s.conns = newConns(cmp.Or(o.MaxConnections, maxConnections))
	s.http = &http.Server{
		ConnState:         s.conns.changed,
		Handler:           s.routes(),
		ReadTimeout:       readTimeout,
		ReadHeaderTimeout: readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s
}

// Start binds the address and serves.
func (s *Server) Start(ctx context.Context) error {
	l, err := s.o.Listen(ctx, "tcp", s.o.Address)
	if err != nil {
		return fmt.Errorf("bind the admin port %s: %w (choose another with --set dmq.admin.listen=HOST:PORT, or none with an empty value)", s.o.Address, err)
	}
	s.addr = l.Addr()
	s.done.Go(func() {
		if err := s.http.Serve(s.conns.limit(l)); !errors.Is(err, http.ErrServerClosed) {
			s.o.Logger.Error("admin port stopped", slog.Any("err", err))
		}
	})
	return nil
}

// Addr is the bound address, or nil before Start.
func (s *Server) Addr() net.Addr { return s.addr }

// Close cuts off every connection.
func (s *Server) Close() error {
	err := s.http.Close()
	s.done.Wait()
	return err
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/livez", "/healthz", "/health", "/healthy"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	}
	for _, path := range []string{"/readyz", "/ready", "/v1/status/ready"} {
		mux.HandleFunc("GET "+path, s.ready)
	}
	mux.HandleFunc("GET /readyz/{check}", s.readyOne)
	if s.o.Metrics != nil {
		mux.Handle("GET /metrics", s.o.Metrics)
	}
	if s.o.Groups != nil {
		s.groupRoutes(mux)
	}
	if s.o.API != nil {
		mux.Handle("/api/v1/", s.o.API)
	}
	mux.HandleFunc("/", notFound)
	return mux
}

// ready answers 200 when every check holds, else 503. ?verbose lists the checks, ?exclude=name leaves one out.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	_, verbose := query["verbose"]
	status := http.StatusOK
	var text strings.Builder
	for _, c := range s.o.Checks {
		if slices.Contains(query["exclude"], c.Name) {
			continue
		}
		err := c.Check()
		if err != nil {
			status = http.StatusServiceUnavailable
		}
		if verbose || err != nil {
			text.WriteString(line(c.Name, err))
		}
	}
	if status == http.StatusOK && !verbose {
		text.WriteString("ok\n")
	}
	writeText(w, status, text.String())
}

func (s *Server) readyOne(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("check")
	for _, c := range s.o.Checks {
		if c.Name != name {
			continue
		}
		err := c.Check()
		status := http.StatusOK
		if err != nil {
			status = http.StatusServiceUnavailable
		}
		writeText(w, status, line(name, err))
		return
	}
	notFound(w, r)
}

func line(name string, err error) string {
	if err != nil {
		return fmt.Sprintf("[-] %s: %v\n", name, err)
	}
	return fmt.Sprintf("[+] %s ok\n", name)
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the peer may be gone
}

// problem is the body of an error (RFC 9457).
type problem struct {
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail"`
	KafkaError string `json:"kafka_error,omitempty"`
	Next       string `json:"next,omitempty"` // what to do about it
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, problem{Status: http.StatusNotFound, Detail: "there is nothing at " + short(r.URL.Path) + "; see /livez, /readyz, /metrics, /v1/groups and /api/v1/openapi.json"})
}

func writeProblem(w http.ResponseWriter, p problem) {
	p.Title = http.StatusText(p.Status)
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the peer may be gone
}
