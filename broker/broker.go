package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/handler"
	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/log/vfs"
)

// ErrClosed is what Start returns after Shutdown or Close.
var ErrClosed = errors.New("broker is closed")

// Config says what a broker is to be. The zero value with Dir set is a node of its own on a free loopback port.
type Config struct {
	// Dir is where data is kept when Properties is nil; created if missing.
	Dir string
	// Properties is the whole configuration, from config.Load. Nil: the defaults, with Dir, on free loopback ports.
	Properties *config.Config

	Logger    *slog.Logger      // nil: discard
	Version   string            // of the program, for metrics; empty: that of the module
	LogLevels handler.LogLevels // how the BROKER_LOGGER resource changes levels; nil: it is empty

	// The seams. Nil values take the operating system's.
	FS     vfs.FS
	Listen func(ctx context.Context, network, address string) (net.Listener, error)
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Rand   io.Reader

	// Admin is where others reach the admin port of this node, which somebody else serves; nil: there is none.
	Admin *image.Endpoint

	// RaftStore keeps the metadata log. Nil: pebble in the metadata log directory.
	RaftStore kraft.Store
}

// Broker is one node.
type Broker struct {
	props  *config.Config
	cfg    Config
	logger *slog.Logger

	mu      sync.Mutex // guards state, and Start and stop against each other
	state   state
	opened  atomic.Pointer[node] // nil unless the node has its metadata quorum open: it may be starting
	running atomic.Pointer[node] // nil unless the node serves clients

	done chan struct{}
	once sync.Once // closes done
	err  error     // why the node stopped; set before done is closed
}

type state uint8

const (
	stateNew state = iota
	stateRunning
	stateClosed
)

// New checks the configuration. It does no I/O.
func New(cfg Config) (*Broker, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.FS == nil {
		cfg.FS = vfs.OS()
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Listen == nil {
		cfg.Listen = new(net.ListenConfig).Listen
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	if cfg.LogLevels == nil {
		cfg.LogLevels = fixedLevels{}
	}
	props := cfg.Properties
	if props == nil {
		var err error
		if props, err = embedded(cfg.Dir); err != nil {
			return nil, err
		}
	}
	return &Broker{cfg: cfg, props: props, logger: cfg.Logger, done: make(chan struct{})}, nil
}

// embedded is the configuration of a broker that was given a directory only.
func embedded(dir string) (*config.Config, error) {
	if dir == "" {
		return nil, errors.New("broker needs a data directory: set Config.Dir or Config.Properties")
	}
	props, _, err := config.Load(config.Sources{Set: []string{"listeners=PLAINTEXT://127.0.0.1:0", "dmq.admin.listen="}})
	if err != nil {
		return nil, fmt.Errorf("default configuration: %w", err)
	}
	props.LogDirs, props.MetadataLogDir = []string{dir}, dir // not through log.dirs, where a comma would separate two
	return props, nil
}

// Start brings the node up and returns when it serves clients. When it fails it leaves nothing running. It can be called
// once.
func (b *Broker) Start(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == stateRunning {
		return errors.New("broker is already running")
	}
	if b.state == stateClosed {
		return ErrClosed
	}
	n, err := startNode(ctx, b.cfg, b.props, b.stopped, b.opened.Store)
	if err != nil {
		b.opened.Store(nil)
		return err
	}
	b.running.Store(n)
	b.state = stateRunning
	return nil
}

// stopped records that the node cannot go on.
func (b *Broker) stopped(err error) {
	b.once.Do(func() {
		b.err = err
		close(b.done)
	})
}

// Addr returns the address of the first client listener, or nil unless the broker runs and has one.
func (b *Broker) Addr() net.Addr {
	if n := b.running.Load(); n != nil && len(n.clients) > 0 {
		return n.clients[0].Addr()
	}
	return nil
}

// ControllerAddr returns the address of the controller listener, or nil unless the broker runs and has one.
func (b *Broker) ControllerAddr() net.Addr {
	if n := b.running.Load(); n != nil && n.controllerServer != nil {
		return n.controllerServer.Addr()
	}
	return nil
}

// Dial connects to the first client listener without a socket, whatever the address: it fits kgo.Dialer.
func (b *Broker) Dial(_ context.Context, _, _ string) (net.Conn, error) { return b.InProcessConn() }

// InProcessConn returns a connection to the first client listener that does not touch the network.
func (b *Broker) InProcessConn() (net.Conn, error) {
	n := b.running.Load()
	if n == nil {
		return nil, ErrClosed
	}
	return n.inProcessConn()
}

// Image returns the cluster's metadata as this node knows it, or nil unless the broker runs.
func (b *Broker) Image() *image.Image {
	if n := b.running.Load(); n != nil {
		return n.quorum.Image()
	}
	return nil
}

// Quorum describes the metadata quorum as this node sees it; ok is false unless the broker runs.
func (b *Broker) Quorum() (s kraft.Status, ok bool) {
	if n := b.running.Load(); n != nil {
		return n.quorum.Status(), true
	}
	return kraft.Status{}, false
}

// Done is closed when the node has stopped, by itself or by Shutdown or Close.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Err says why the node stopped by itself; nil while it runs and after Shutdown or Close.
func (b *Broker) Err() error {
	select {
	case <-b.done:
		return b.err
	default:
		return nil
	}
}

// Shutdown stops the node gracefully: the controller moves leaders away, requests in flight are answered, logs are
// flushed and the clean-shutdown mark is left. What is not done when ctx ends is cut short, but never lost.
func (b *Broker) Shutdown(ctx context.Context) error {
	return b.stop(func(n *node) error { return n.shutdown(ctx) })
}

// Close stops the node at once, like a crash would, but joins every goroutine. The next start recovers.
func (b *Broker) Close() error {
	return b.stop(func(n *node) error { return n.close() })
}

func (b *Broker) stop(how func(*node) error) error {
	b.mu.Lock()
	b.opened.Store(nil)
	n := b.running.Swap(nil)
	b.state = stateClosed
	b.mu.Unlock()
	defer b.stopped(nil)
	if n == nil {
		return nil
	}
	return how(n)
}

// fixedLevels is a logger whose levels nobody can change.
type fixedLevels struct{}

func (fixedLevels) Levels() map[string]string { return nil }

func (fixedLevels) SetLevel(logger, _ string) error {
	return fmt.Errorf("logger %s does not exist", logger)
}

func (fixedLevels) ResetLevel(logger string) error {
	return fmt.Errorf("logger %s does not exist", logger)
}
