package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/distributedmq/dmq/admin"
	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/metrics"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/log/vfs"
)

// runNode runs one node until it is told to stop.
func (a *app) runNode(ctx context.Context, c *config.Config, warnings []config.Warning, o nodeOptions) error {
	began := time.Now()
	tuneMemory(a.lookup("GOMEMLIMIT"), a.files)
	levels := newLogLevels(kafkaLevels()[strings.ToUpper(c.LogLevel)])
	console := c.LogFormat == "console" || c.LogFormat == "auto" && a.terminal(a.err)
	format := c.LogFormat
	if format == "auto" {
		format = "json"
		if console {
			format = "console"
		}
	}
	markers := c.LogEmoji == "on" || c.LogEmoji == "auto" && a.terminal(a.err) && a.unicode()
	logger := newLogger(a.err, logOptions{format: format, markers: markers, color: a.colorful(a.err), levels: levels, now: time.Now})
	banner := console && !o.quiet
	if banner {
		a.bannerStart(c, o)
	} else {
		v := versionInfo()
		logger.InfoContext(ctx, "starting", slog.String("event", "node.start"), slog.String("version", v.Version), slog.Int("node_id", int(c.NodeID)), slog.String("dir", strings.Join(c.LogDirs, ",")))
	}
	tell(ctx, logger, warnings)

	// Signals are ours from here on: the first asks for a graceful stop, the second cuts it short.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	socket, err := listenAdmin(ctx, c, o.listen)
	if err != nil {
		return startFailure(c, err)
	}
	b, err := broker.New(broker.Config{Properties: c, Listen: o.listen, Logger: logger, LogLevels: levels, Version: versionInfo().Version, Admin: adminEndpoint(c, socket)})
	if err != nil {
		return startFailure(c, err)
	}
	adminServer, err := startAdmin(ctx, c, b, socket, logger, a.files)
	if err != nil {
		return startFailure(c, err)
	}
	if adminServer != nil {
		defer func() { _ = adminServer.Close() }() // the process ends
	}
	startCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	release := context.AfterFunc(ctx, cancel) // a signal ends the start, but later not the node's work
	if err := b.Start(startCtx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return startFailure(c, err)
	}
	release()
	stopWatching, err := watch(ctx, b, logger)
	defer stopWatching()
	if err != nil {
		return startFailure(c, err)
	}
	var at bound
	for _, addr := range b.ClientAddrs() {
		at.kafka = append(at.kafka, addr.String())
	}
	if adminServer != nil {
		at.admin = adminServer.Addr().String()
	}
	f, took := a.facts(c, at), time.Since(began)
	ready := []slog.Attr{slog.String("event", "node.ready")}
	if !banner { // else the banner tells
		ready = append(ready, slog.String("kafka", f.kafka), slog.String("admin", f.admin), slog.String("durability", f.durable), slog.String("insecure", f.insecure), slog.Duration("dur", took))
	}
	if f.exposed && !banner {
		logger.WarnContext(ctx, "anybody on the network can use this node", slog.String("event", "node.insecure"), slog.String("text", f.insecure))
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "Transitioning from RECOVERY to RUNNING", ready...)
	if banner {
		a.bannerReady(f, took, o)
	}
	releaseProgramPages(a.files)
	return a.await(ctx, c, b, logger, signals)
}

// sameSignal is how long after the first signal another one is not taken for a second: timeout(1) and some shells signal
// the process and then its whole group.
const sameSignal = 100 * time.Millisecond

// await returns when the node has stopped: by a signal, or by itself when it cannot go on.
func (a *app) await(ctx context.Context, c *config.Config, b *broker.Broker, logger *slog.Logger, signals <-chan os.Signal) error {
	var sig os.Signal
	select {
	case sig = <-signals:
	case <-b.Done():
		err := b.Err()
		if err == nil {
			err = errors.New("no reason is known")
		}
		return &failure{code: codeFailed, what: "the node stopped by itself", why: err.Error(), next: "See the log above; start it again once the cause is gone", cause: err}
	}
	logger.InfoContext(ctx, "asked to stop", slog.String("event", "node.signal"), slog.String("signal", sig.String()))
	stopCtx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), c.ShutdownTimeout, errors.New("dmq.shutdown.timeout is over"))
	defer cancel()
	var second os.Signal
	watched := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(watched)
		if second = secondSignal(signals, stopped); second != nil {
			cancel()
		}
	}()
	err := b.Shutdown(stopCtx)
	close(stopped)
	<-watched
	if second != nil {
		return &failure{code: (&interrupted{second}).code(), what: "the stop was cut short by a second signal", next: "Nothing acknowledged is lost; the next start recovers"}
	}
	if err != nil {
		return &failure{code: codeFailed, what: "the node did not stop cleanly", why: err.Error(), next: "Nothing acknowledged is lost; the next start recovers", cause: err}
	}
	return nil
}

// secondSignal waits for another signal after the first; nil once stopped.
func secondSignal(signals <-chan os.Signal, stopped <-chan struct{}) os.Signal {
	for asked := time.Now(); ; {
		select {
		case s := <-signals:
			if time.Since(asked) >= sameSignal {
				return s
			}
		case <-stopped:
			return nil
		}
	}
}

// tell logs the warnings of a configuration; the many settings without effect in one line.
func tell(ctx context.Context, logger *slog.Logger, warnings []config.Warning) {
	var inert []string
	for _, w := range warnings {
		if w.Kind == config.WarnIneffective && w.Hint == "" {
			inert = append(inert, w.Key)
			continue
		}
		logger.WarnContext(ctx, "a setting needs attention", slog.String("event", "config.warning"), slog.String("key", w.Key), slog.String("set_by", w.Source), slog.String("text", strings.TrimSuffix(w.Text+"; "+w.Hint, "; ")))
	}
	if len(inert) > 0 {
		logger.WarnContext(ctx, "settings are accepted but have no effect yet", slog.String("event", "config.ineffective"), slog.String("keys", strings.Join(inert, ",")))
	}
}

// listenAdmin binds the admin port; nil: there is none. Its address is registered with the node's, so it is bound first.
func listenAdmin(ctx context.Context, c *config.Config, listen listenFunc) (net.Listener, error) {
	if c.AdminListen == "" {
		return nil, nil
	}
	l, err := listen(ctx, "tcp", c.AdminListen)
	if err != nil {
		return nil, fmt.Errorf("bind the admin port %s: %w (choose another with --set dmq.admin.listen=HOST:PORT, or none with an empty value)", c.AdminListen, err)
	}
	return l, nil
}

// adminEndpoint is where others reach the admin port.
func adminEndpoint(c *config.Config, socket net.Listener) *image.Endpoint {
	if socket == nil {
		return nil
	}
	e := image.Endpoint{Host: c.AdminAdvertised.Host, Port: uint16(c.AdminAdvertised.Port)}
	if tcp, ok := socket.Addr().(*net.TCPAddr); ok && e.Port == 0 {
		e.Port = uint16(tcp.Port)
	}
	if c.AdminAdvertised.Protocol == "SSL" {
		e.SecurityProtocol = image.ProtocolSSL
	}
	return &e
}

// startAdmin serves the admin port, before the node itself starts: /livez answers while the node recovers.
func startAdmin(ctx context.Context, c *config.Config, b *broker.Broker, socket net.Listener, logger *slog.Logger, read func(string) ([]byte, error)) (*admin.Server, error) {
	if socket == nil {
		return nil, nil
	}
	var checks []admin.Check
	for _, check := range b.Checks() {
		checks = append(checks, admin.Check{Name: check.Name, Check: check.Check})
	}
	logger = logger.With(slog.String("component", "admin"))
	s := admin.New(admin.Options{
		Address: c.AdminListen,
		Checks:  checks,
		Metrics: metricsHandler(b, read),
		Groups:  nodeGroups{b.Groups()},
		API:     newAPI(c, b, logger),
		Listen:  func(context.Context, string, string) (net.Listener, error) { return socket, nil },
		Logger:  logger,
	})
	return s, s.Start(ctx)
}

// metricsHandler serves metrics; ?level=topic or cluster leaves the finer series out.
func metricsHandler(b *broker.Broker, read func(string) ([]byte, error)) http.Handler {
	goMetrics, process := collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
	levels := make(map[metrics.Level]http.Handler)
	for _, level := range []metrics.Level{metrics.LevelPartition, metrics.LevelTopic, metrics.LevelCluster} {
		registry := prometheus.NewRegistry()
		registry.MustRegister(goMetrics, process, diskIO{read}, b.CollectorAt(level))
		levels[level] = promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry, MaxRequestsInFlight: 4})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		level := metrics.LevelPartition
		if name := r.URL.Query().Get("level"); name != "" {
			var ok bool
			if level, ok = metrics.ParseLevel(name); !ok {
				http.Error(w, "level is partition, topic or cluster", http.StatusBadRequest)
				return
			}
		}
		levels[level].ServeHTTP(w, r)
	})
}

// startFailure says what kept a node from starting and what to do.
func startFailure(c *config.Config, err error) error {
	f := &failure{code: codeFailed, what: "the node cannot start", why: err.Error(), cause: err}
	dirs := strings.Join(c.LogDirs, ", ")
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f.code, f.next = codeUsage, "That is no address of this machine: listen on one that is, or on all with PLAINTEXT://:9092, and tell clients another one with advertised.listeners"
	case errors.As(err, new(*net.OpError)) && errors.Is(err, os.ErrPermission):
		f.code, f.next = codeDenied, "Ports below 1024 are not for every user: --set listeners=PLAINTEXT://127.0.0.1:9092"
	case errors.Is(err, syscall.EADDRINUSE):
		f.code, f.next = codeConflict, "See who listens there: ss -ltnp   Choose another port: --set listeners=PLAINTEXT://127.0.0.1:0 --set dmq.admin.listen=127.0.0.1:0"
	case errors.Is(err, vfs.ErrLocked):
		f.code, f.next = codeConflict, "Another node uses the directory: stop it, or choose another with --set log.dirs=DIR   Now: "+dirs
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		f.code, f.next = codeDenied, "Choose another directory: --set log.dirs=DIR   Now: "+dirs
	case errors.Is(err, syscall.ENOTDIR):
		f.code, f.next = codeUsage, "Name a directory: --set log.dirs=DIR   Now: "+dirs
	case errors.Is(err, syscall.ENOSPC):
		f.next = "Make room, or choose another directory: --set log.dirs=DIR   Now: " + dirs
	}
	return f
}

// tuneMemory keeps the heap within the memory the process may use in its control group, unless GOMEMLIMIT says otherwise:
// the collector then works harder near the limit instead of the kernel killing the process. GOGC stays at its default,
// since buffers are pooled and the live heap is small.
func tuneMemory(limit string, read func(string) ([]byte, error)) {
	if limit != "" {
		return
	}
	text, err := read("/sys/fs/cgroup/memory.max")
	if err != nil {
		return // not Linux, or no limit
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 && n < math.MaxInt64/10 {
		debug.SetMemoryLimit(n / 10 * 9)
	}
}
