package nodelink

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Options configure a Link. Dial, Address and Logger are required.
type Options struct {
	Dial           func(ctx context.Context, network, address string) (net.Conn, error)
	Address        func() (string, error) // asked before each dial: where the node is now
	ClientID       string
	RequestTimeout time.Duration // for a request whose context has no deadline; 0: 30 s
	BackoffMin     time.Duration // 0: 10 ms
	BackoffMax     time.Duration // 0: 1 s
	Logger         *slog.Logger
}

// Link is the way to one node.
type Link struct{ o Options }

// New returns a link that is not connected yet.
func New(o Options) *Link { return &Link{o: o} }

// Request sends req at the highest version both sides know (at most the version set in req when that is not 0) and
// waits for the response.
func (l *Link) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	panic("not built yet")
}

// Close fails all requests and joins the link's goroutine.
func (l *Link) Close() error { panic("not built yet") }
