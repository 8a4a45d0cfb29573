package client

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/distributedmq/dmq/admin/api"
)

const (
	// askTimeout bounds one question to a node.
	askTimeout = 5 * time.Second
	// firstBackoff is the pause after the first round of questions without a good answer; it doubles up to lastBackoff.
	firstBackoff = time.Second
	lastBackoff  = 8 * time.Second
)

// Discover finds the active controller: it asks all nodes at once, takes the first good answer without waiting for the slow ones,
// and asks again after 1, 2, 4, 8, 8… seconds until there is one or ctx ends.
func (c *Client) Discover(ctx context.Context) (api.Controller, error) {
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		found, err := c.ask(ctx)
		if err == nil {
			c.keep(found)
			return found, nil
		}
		if pause(ctx, backoff) != nil {
			return api.Controller{ControllerID: -1}, err
		}
	}
}

// ask asks all nodes once. The questions that are left when one was answered well are given up.
func (c *Client) ask(ctx context.Context) (api.Controller, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel() // before it waits
	type answer struct {
		found api.Controller
		err   error
	}
	answers := make(chan answer, len(c.o.Nodes))
	for _, node := range c.o.Nodes {
		asking.Go(func() {
			var a answer
			_, a.err = c.send(ctx, http.MethodGet, node+api.Prefix+"/metadata/controller", nil, &a.found)
			if a.err == nil && a.found.ControllerID < 0 {
				a.err = errors.New(node + " knows no controller")
			}
			answers <- a
		})
	}
	var errs []error
	reached := false
	for range c.o.Nodes {
		a := <-answers
		if a.err == nil {
			return a.found, nil
		}
		errs = append(errs, a.err)
		reached = reached || !errors.Is(a.err, errNotSent)
	}
	if reached {
		return api.Controller{}, errors.Join(errs...)
	}
	return api.Controller{}, &UnreachableError{c.o.Nodes, errors.Join(errs...)}
}
