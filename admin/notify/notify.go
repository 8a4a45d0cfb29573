package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// Cluster is what a Notifier needs of its node.
type Cluster interface {
	NodeID() protocol.NodeID
	Image() *image.Image // nil: the node is starting
	Quorum() (q api.Quorum, ok bool)
	// VerifyLeader confirms with the quorum that this node is the active controller.
	VerifyLeader(ctx context.Context) error
}

// Options configures a Notifier. All fields are required.
type Options struct {
	Cluster Cluster
	// Changes receives a value whenever leadership may have changed.
	Changes <-chan struct{}
	HTTP    *http.Client
	Logger  *slog.Logger
}

// Notifier tells brokers of elections.
type Notifier struct {
	o    Options
	told int64 // the term that brokers were told of
}

// New returns a Notifier that has told nobody.
func New(o Options) *Notifier { return &Notifier{o: o, told: -1} }

const (
	// tries and tryPause: a push is tried at 0, 500 and 1000 ms.
	tries    = 3
	tryPause = 500 * time.Millisecond
	// pushTimeout bounds one try.
	pushTimeout = 2 * time.Second
	// pushesMost bounds the brokers that are told at a time.
	pushesMost = 128
	// activePause is the time between looks while this node leads and has not caught up yet.
	activePause = 5 * time.Millisecond
	// answerMost bounds what is read of an answer.
	answerMost = 64 << 10
)

// Run tells brokers of every election of this node until ctx ends.
func (n *Notifier) Run(ctx context.Context) {
	for {
		n.look(ctx)
		select {
		case <-n.o.Changes:
		case <-ctx.Done():
			return
		}
	}
}

// look tells of an election if there was one.
func (n *Notifier) look(ctx context.Context) {
	for {
		q, ok := n.o.Cluster.Quorum()
		if !ok || q.Leader != n.o.Cluster.NodeID() || q.Term <= n.told {
			return
		}
		if n.o.Cluster.VerifyLeader(ctx) == nil {
			n.told = q.Term
			n.tell(ctx, q.Term)
			return
		}
		select { // it is about to be the active controller, or about to notice that it leads no more
		case <-time.After(activePause):
		case <-ctx.Done():
			return
		}
	}
}

// tell pushes to all brokers and returns when each has answered or was given up.
func (n *Notifier) tell(ctx context.Context, term int64) {
	img := n.o.Cluster.Image()
	if img == nil {
		return
	}
	self := n.o.Cluster.NodeID()
	url := ""
	if c := img.Controllers[self]; c != nil {
		url = image.AdminURL(c.Endpoints)
	}
	id, start := int32(self), time.Now()
	body, err := json.Marshal(api.Push{
		UpdateType: api.ControllerChanged, ControllerID: &id, ControllerURL: url, ControllerTerm: &term, Term: &term, Version: img.Version, Timestamp: start.UnixMilli(),
	})
	if err != nil {
		n.o.Logger.ErrorContext(ctx, "write a push", slog.Any("err", err))
		return
	}
	var reached, missed atomic.Int32
	slots := make(chan struct{}, pushesMost)
	var pushes sync.WaitGroup
	for _, b := range inOrder(img) {
		to := image.AdminURL(b.Endpoints)
		if b.ID == self || to == "" {
			continue
		}
		slots <- struct{}{}
		pushes.Go(func() {
			defer func() { <-slots }()
			if err := n.push(ctx, to, body, term); err != nil {
				missed.Add(1)
				n.o.Logger.DebugContext(ctx, "a broker could not be told of the new controller", slog.Int("broker", int(b.ID)), slog.Any("err", err))
				return
			}
			reached.Add(1)
		})
	}
	pushes.Wait()
	if reached.Load()+missed.Load() > 0 {
		n.o.Logger.InfoContext(ctx, "brokers were told of the new controller", slog.String("event", "controller.notify"), slog.Int64("term", term),
			slog.Int("reached", int(reached.Load())), slog.Int("missed", int(missed.Load())), slog.Duration("dur", time.Since(start)))
	}
}

// inOrder lists the brokers: those that are alive first, and dmq's own before those registered over REST, so that nobody waits for
// addresses at which nobody is.
func inOrder(img *image.Image) []*image.Broker {
	rank := func(b *image.Broker) int {
		switch {
		case b.Fenced:
			return 2
		case b.ByREST():
			return 1
		default:
			return 0
		}
	}
	return slices.SortedFunc(maps.Values(img.Brokers), func(a, b *image.Broker) int {
		return cmp.Or(rank(a)-rank(b), int(a.ID-b.ID))
	})
}

// push tells one broker, until it answers, the tries are over or this node leads no more.
func (n *Notifier) push(ctx context.Context, to string, body []byte, term int64) error {
	start := time.Now()
	var err error
	for try := range tries {
		select {
		case <-time.After(time.Until(start.Add(time.Duration(try) * tryPause))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if q, ok := n.o.Cluster.Quorum(); !ok || q.Leader != n.o.Cluster.NodeID() || q.Term != term {
			return fmt.Errorf("term %d is over", term)
		}
		var again bool
		if again, err = n.post(ctx, to, body); err == nil || !again {
			return err
		}
	}
	return err
}

// post tries once; again says whether another try may help.
func (n *Notifier) post(ctx context.Context, to string, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to+api.Prefix+"/storage/metadata", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := n.o.HTTP.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	var a api.PushAnswer
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMost))
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	switch {
	case resp.StatusCode/100 == 2 && err == nil && a.Success:
		return false, nil
	case resp.StatusCode/100 == 2 || resp.StatusCode/100 == 5:
		return true, fmt.Errorf("answered %s %s: %w", resp.Status, a.ErrorCode, err)
	default: // it has understood, and refuses
		return false, fmt.Errorf("refused: %s %s: %s", resp.Status, a.ErrorCode, a.ErrorMessage)
	}
}
