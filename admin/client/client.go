package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/distributedmq/dmq/admin/api"
)

// Options configures a Client. Nodes is required.
type Options struct {
	Nodes []string     // addresses of admin ports: http://host:port
	HTTP  *http.Client // nil: one of its own
}

// Client talks to the admin ports of a cluster.
type Client struct {
	o Options

	mu         sync.Mutex      // guards the fields below
	controller *api.Controller // the newest that was heard of; nil: none
	last       int             // the node that answered last
}

// New returns a client. It connects to nothing.
func New(o Options) (*Client, error) {
	if len(o.Nodes) == 0 {
		return nil, errors.New("no admin ports are given")
	}
	o.Nodes = slices.Clone(o.Nodes)
	for i, node := range o.Nodes {
		address := node
		if !strings.Contains(address, "://") {
			address = "http://" + address
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%q is not the address of an admin port: write http://host:9091", node)
		}
		o.Nodes[i] = u.Scheme + "://" + u.Host
	}
	own := http.Client{Timeout: time.Minute}
	if o.HTTP != nil {
		own = *o.HTTP
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // followed by hand, with the body
	o.HTTP = &own
	return &Client{o: o}, nil
}

// Error is a refusal.
type Error struct {
	Status int       // of HTTP
	Body   api.Error // ErrorCode is Kafka's name of the error where there is one
}

// Error implements error.
func (e *Error) Error() string {
	if e.Body.Message == "" {
		return fmt.Sprintf("answered %d %s", e.Status, e.Body.ErrorCode)
	}
	return e.Body.Message
}

// UnreachableError says that no node could be asked.
type UnreachableError struct {
	Nodes []string
	Err   error
}

// Error implements error.
func (e *UnreachableError) Error() string {
	return "cannot reach " + strings.Join(e.Nodes, ", ") + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

const (
	// answerMost bounds an answer.
	answerMost = 256 << 20
	// hopsMost is how often a request is directed elsewhere.
	hopsMost = 5
	// leaderPause is the time between attempts while no controller is known to be active.
	leaderPause = 100 * time.Millisecond
)

// Any sends a request to any node and decodes its answer into out, unless that is nil. A partition's leader elsewhere is followed.
func (c *Client) Any(ctx context.Context, method, path string, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	var errs []error
	for _, base := range c.nodes() {
		err := c.follow(ctx, base, method, path, body, out)
		if !errors.Is(err, errNotSent) {
			return err
		}
		errs = append(errs, err)
	}
	return &UnreachableError{c.o.Nodes, errors.Join(errs...)}
}

// nodes lists the nodes, beginning with the one that answered last.
func (c *Client) nodes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(c.o.Nodes[c.last:], c.o.Nodes[:c.last])
}

func (c *Client) answered(base string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.o.Nodes, base); i >= 0 {
		c.last = i
	}
}

// Lead sends a request to the active controller and decodes its answer into out, unless that is nil. It waits, within ctx, while
// none is active.
func (c *Client) Lead(ctx context.Context, method, path string, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	target, hops := c.cached(), 0
	for {
		if target == "" {
			found, err := c.Discover(ctx)
			if err != nil {
				return err
			}
			if target = found.ControllerURL; target == "" {
				return fmt.Errorf("controller %d has no admin port", found.ControllerID)
			}
		}
		err := c.follow(ctx, target, method, path, body, out)
		var refused *Error
		switch {
		case errors.Is(err, errNotSent): // it is gone
			c.forget()
			target = ""
		case !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable:
			return err
		case refused.directs() && hops < hopsMost:
			hops++
			target = refused.Body.ControllerURL
			c.learn(&refused.Body)
			continue
		case refused.Body.ErrorCode == notController, refused.Body.ErrorCode == "CONTROLLER_NOT_AVAILABLE":
			c.forget()
			target, hops = "", 0
		default:
			return err
		}
		if pauseErr := pause(ctx, leaderPause); pauseErr != nil {
			return err
		}
	}
}

// notController is the error of a node that is not the active controller.
const notController = "NOT_CONTROLLER"

// directs reports whether a node has named the active controller.
func (e *Error) directs() bool {
	return e.Body.ErrorCode == notController && e.Body.ControllerURL != ""
}

// Controller is the newest controller that was heard of; ok is false while there is none.
func (c *Client) Controller() (found api.Controller, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.controller == nil {
		return api.Controller{ControllerID: -1}, false
	}
	return *c.controller, true
}

func (c *Client) cached() string {
	found, _ := c.Controller()
	return found.ControllerURL
}

// forget has the next request look for the controller anew.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.controller = nil
}

// keep notes a controller unless a later one is known.
func (c *Client) keep(found api.Controller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.controller == nil || found.ControllerTerm >= c.controller.ControllerTerm {
		c.controller = &found
	}
}

// learn notes the controller that a node has named.
func (c *Client) learn(e *api.Error) {
	if e.ControllerID != nil && e.ControllerTerm != nil {
		c.keep(api.Controller{ControllerID: *e.ControllerID, ControllerURL: e.ControllerURL, ControllerTerm: *e.ControllerTerm})
	}
}

func encode(in any) ([]byte, error) {
	if in == nil {
		return nil, nil
	}
	return json.Marshal(in)
}

// errNotSent is among the causes when a node has seen nothing of a request.
var errNotSent = errors.New("not sent")

// follow sends a request to a node, and to the leader of a partition when that is elsewhere.
func (c *Client) follow(ctx context.Context, base, method, path string, body []byte, out any) error {
	target := base + api.Prefix + path
	for range hopsMost {
		location, err := c.send(ctx, method, target, body, out)
		if location == "" {
			if !errors.Is(err, errNotSent) {
				c.answered(base)
			}
			return err
		}
		target = location
	}
	return fmt.Errorf("%s directs to another node again and again", base)
}

func (c *Client) send(ctx context.Context, method, target string, body []byte, out any) (location string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.o.HTTP.Do(req)
	if err != nil {
		if neverSent(err) || method == http.MethodGet {
			return "", fmt.Errorf("%w: %w", errNotSent, err)
		}
		return "", fmt.Errorf("whether it was carried out is not known: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMost))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the answer of %s: %w", target, err)
	case resp.StatusCode == http.StatusTemporaryRedirect && resp.Header.Get("Location") != "":
		at, err := req.URL.Parse(resp.Header.Get("Location"))
		if err != nil {
			return "", fmt.Errorf("%s directs to no address: %w", target, err)
		}
		return at.String(), nil
	case resp.StatusCode/100 != 2:
		return "", refusal(resp, text)
	case out == nil:
		return "", nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return "", fmt.Errorf("the answer of %s cannot be read: %w", target, err)
	}
	return "", nil
}

// neverSent reports whether a request failed before there was a connection to send it on.
func neverSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" || errors.As(err, new(*net.DNSError))
}

// refusal reads an error. What is none of ours, as from a proxy, is told by its status.
func refusal(resp *http.Response, text []byte) error {
	e := &Error{Status: resp.StatusCode}
	if err := json.Unmarshal(text, &e.Body); err != nil || e.Body.ErrorCode == "" {
		e.Body = api.Error{ErrorCode: "UNKNOWN_SERVER_ERROR", Message: "the answer was " + resp.Status}
	}
	return e
}

// pause waits, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
