package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Controller is the active controller.
type Controller struct {
	ControllerID   int32  `json:"controllerId" doc:"-1: none is known"`
	ControllerURL  string `json:"controllerUrl" doc:"its admin port; empty when it has none"`
	ControllerTerm int64  `json:"controllerTerm"`
	Timestamp      int64  `json:"timestamp"`
}

func (a *API) controllerRoutes() []route {
	return []route{{
		method: http.MethodGet, path: "/metadata/controller", id: "getController", summary: "The active controller, as far as this node knows",
		answer: Controller{}, serve: get(func(context.Context, *http.Request) (any, error) {
			c, ok := a.controller()
			if !ok {
				return nil, a.redirect()
			}
			return c, nil
		}),
	}}
}

// controller is the active controller, as far as this node knows: what the quorum says, or a controller that has told of its
// election in a later term.
func (a *API) controller() (c Controller, ok bool) {
	q, opened := a.o.Cluster.Quorum()
	img := a.o.Cluster.Applied()
	if !opened || img == nil {
		return Controller{ControllerID: -1, Timestamp: now()}, false
	}
	leader, term := q.Leader, q.Term
	if id, later, known := a.told.newest(); known && later > term {
		leader, term = id, later
	}
	if img.Controllers[leader] == nil { // there is none, or this node has not yet heard where it is
		leader = -1
	}
	return Controller{ControllerID: int32(leader), ControllerURL: adminURL(img, leader), ControllerTerm: term, Timestamp: now()}, leader >= 0
}

// adminURL is where the admin port of a node is, as it registered.
func adminURL(img *image.Image, id protocol.NodeID) string {
	if c := img.Controllers[id]; c != nil {
		if url := image.AdminURL(c.Endpoints); url != "" {
			return url
		}
	}
	b := img.Brokers[id]
	if b == nil {
		return ""
	}
	if url := image.AdminURL(b.Endpoints); url != "" || !b.ByREST() {
		return url
	}
	return "http://" + address(b) // it registered as one that speaks HTTP, be it that nothing is pushed to it
}

// verifyWithin bounds how long the quorum may take to confirm who leads: a leader that has lost it gives up well before.
const verifyWithin = 5 * time.Second

// verifyLeader refuses unless this node is the active controller, which it asks the quorum about: a deposed controller, or one
// that is cut off, does not know by itself.
func (a *API) verifyLeader(ctx context.Context) error {
	q, ok := a.o.Cluster.Quorum()
	if !ok || q.Leader != a.o.Cluster.NodeID() {
		return a.redirect()
	}
	ctx, cancel := context.WithTimeout(ctx, verifyWithin)
	defer cancel()
	if err := a.o.Cluster.VerifyLeader(ctx); err != nil {
		return a.redirect()
	}
	return nil
}

// redirect is the answer of a node that is not the active controller.
func (a *API) redirect() *failure {
	c, ok := a.controller()
	if !ok || c.ControllerID == int32(a.o.Cluster.NodeID()) { // itself: it leads no more, or not yet
		f := fail(http.StatusServiceUnavailable, codeNotAvailable, "no controller is known to be active: try again")
		f.retryAfter = "1"
		return f
	}
	f := fail(http.StatusServiceUnavailable, errcode.Name(int16(errcode.KindNotController)), "the active controller is node %d", c.ControllerID)
	f.body.ControllerID, f.body.ControllerURL, f.body.ControllerTerm = &c.ControllerID, c.ControllerURL, &c.ControllerTerm
	return f
}

// told is the newest controller that has told this node of its election. The quorum says the same a moment later, so it is
// believed for a moment only: nobody can lead a node astray for good.
type told struct {
	mu   sync.Mutex // guards the fields below
	id   protocol.NodeID
	term int64
	at   time.Time
}

// believeFor is how long.
const believeFor = 10 * time.Second

func (t *told) newest() (id protocol.NodeID, term int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.id, t.term, !t.at.IsZero() && time.Since(t.at) < believeFor
}

func (t *told) set(id protocol.NodeID, term int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.id, t.term, t.at = id, term, time.Now()
}
