package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/admin/notify"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// fakeNode is controller 1 of a cluster whose brokers answer as a test says.
type fakeNode struct {
	img     *image.Image
	changes chan struct{}
	answer  func(broker string, try int) (status int, body string, err error)

	mu     sync.Mutex // guards the fields below
	leader protocol.NodeID
	term   int64
	active bool
	pushes map[string][]string // by broker: when each push came, and its term
	start  time.Time
}

func (f *fakeNode) NodeID() protocol.NodeID { return 1 }
func (f *fakeNode) Image() *image.Image     { return f.img }

func (f *fakeNode) Quorum() (api.Quorum, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return api.Quorum{Leader: f.leader, Term: f.term}, true
}

func (f *fakeNode) VerifyLeader(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leader != 1 || !f.active {
		return errors.New("not the active controller")
	}
	return nil
}

// elect makes a node leader in a term.
func (f *fakeNode) elect(leader protocol.NodeID, term int64, active bool) {
	f.mu.Lock()
	f.leader, f.term, f.active = leader, term, active
	f.mu.Unlock()
	select {
	case f.changes <- struct{}{}:
	default:
	}
}

// RoundTrip implements http.RoundTripper.
func (f *fakeNode) RoundTrip(req *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	var p api.Push
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, err
	}
	f.mu.Lock()
	broker := req.URL.Hostname()
	try := len(f.pushes[broker])
	f.pushes[broker] = append(f.pushes[broker], fmt.Sprintf("%v %s %d %d %s", time.Since(f.start).Round(time.Millisecond), p.UpdateType, *p.ControllerID, *p.ControllerTerm, p.ControllerURL))
	f.mu.Unlock()
	if req.URL.Path != "/api/v1/storage/metadata" || req.Method != http.MethodPost {
		return nil, fmt.Errorf("%s %s", req.Method, req.URL)
	}
	status, body, err := f.answer(broker, try)
	if errors.Is(err, context.DeadlineExceeded) { // a broker that does not answer
		<-req.Context().Done()
		err = req.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

// run runs a notifier in a bubble of time while script plays, and returns the pushes.
func run(t *testing.T, answer func(broker string, try int) (int, string, error), script func(f *fakeNode)) map[string][]string {
	t.Helper()
	var out map[string][]string
	synctest.Test(t, func(t *testing.T) {
		f := &fakeNode{changes: make(chan struct{}, 1), answer: answer, leader: -1, pushes: make(map[string][]string), start: time.Now()}
		f.img = &image.Image{Version: 5, Brokers: map[protocol.NodeID]*image.Broker{}, Controllers: map[protocol.NodeID]*image.Controller{
			1: {ID: 1, Endpoints: []image.Endpoint{{Name: image.AdminListener, Host: "one", Port: 9091}}},
		}}
		for id, host := range map[protocol.NodeID]string{1: "one", 101: "a", 102: "b", 103: ""} {
			b := &image.Broker{ID: id}
			if host != "" {
				b.Endpoints = []image.Endpoint{{Name: image.AdminListener, Host: host, Port: 8081}}
			}
			f.img.Brokers[id] = b
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		n := notify.New(notify.Options{Cluster: f, Changes: f.changes, HTTP: &http.Client{Transport: f}, Logger: slog.New(slog.DiscardHandler)})
		running.Go(func() { n.Run(ctx) })
		script(f)
		time.Sleep(time.Minute)
		cancel()
		running.Wait()
		out = f.pushes
	})
	return out
}

const accepted = `{"success":true,"errorCode":"NONE"}`

func TestNotifier(t *testing.T) {
	both := func(lines ...string) map[string][]string { return map[string][]string{"a": lines, "b": lines} }
	elected := func(at string, term int) string {
		return fmt.Sprintf("%s CONTROLLER_CHANGED 1 %d http://one:9091", at, term)
	}
	ok := func(string, int) (int, string, error) { return 200, accepted, nil }
	for _, tt := range []struct {
		name   string
		answer func(broker string, try int) (int, string, error)
		script func(f *fakeNode)
		want   map[string][]string
	}{
		{"all brokers are told at once", ok, func(f *fakeNode) { f.elect(1, 7, true) }, both(elected("0s", 7))},
		{"another's election is none of ours", ok, func(f *fakeNode) { f.elect(2, 7, false) }, map[string][]string{}},
		{
			"as soon as it decides, not before", ok,
			func(f *fakeNode) {
				f.elect(1, 7, false)
				time.Sleep(302 * time.Millisecond) // between two looks
				f.elect(1, 7, true)
			}, both(elected("305ms", 7)),
		},
		{
			"once in a term, and again in the next", ok,
			func(f *fakeNode) {
				f.elect(1, 7, true)
				time.Sleep(time.Second)
				f.elect(1, 7, true)
				time.Sleep(time.Second)
				f.elect(2, 8, false)
				time.Sleep(time.Second)
				f.elect(1, 9, true)
			}, both(elected("0s", 7), elected("3s", 9)),
		},
		{
			"a broker that cannot be reached is tried three times, and nobody waits for it",
			func(broker string, _ int) (int, string, error) {
				if broker == "a" {
					return 0, "", errors.New("refused")
				}
				return 200, accepted, nil
			},
			func(f *fakeNode) { f.elect(1, 7, true) },
			map[string][]string{"a": {elected("0s", 7), elected("500ms", 7), elected("1s", 7)}, "b": {elected("0s", 7)}},
		},
		{
			"a broker that does not answer",
			func(string, int) (int, string, error) { return 0, "", context.DeadlineExceeded },
			func(f *fakeNode) { f.elect(1, 7, true) }, both(elected("0s", 7), elected("2s", 7), elected("4s", 7)),
		},
		{
			"a broker that starts is tried again; one that knows a later term is not",
			func(broker string, try int) (int, string, error) {
				switch {
				case broker == "b":
					return 409, `{"success":false,"errorCode":"STALE_CONTROLLER_EPOCH"}`, nil
				case try == 0:
					return 503, `{"success":false,"errorCode":"CONTROLLER_NOT_AVAILABLE"}`, nil
				}
				return 200, accepted, nil
			},
			func(f *fakeNode) { f.elect(1, 7, true) },
			map[string][]string{"a": {elected("0s", 7), elected("500ms", 7)}, "b": {elected("0s", 7)}},
		},
		{
			"one that sends it elsewhere is not followed", func(string, int) (int, string, error) { return 307, "", nil },
			func(f *fakeNode) { f.elect(1, 7, true) }, both(elected("0s", 7)),
		},
		{
			"what is no answer", func(string, int) (int, string, error) { return 200, "<html>", nil },
			func(f *fakeNode) { f.elect(1, 7, true) }, both(elected("0s", 7), elected("500ms", 7), elected("1s", 7)),
		},
		{
			"a term that is over is told to nobody",
			func(string, int) (int, string, error) { return 0, "", errors.New("refused") },
			func(f *fakeNode) {
				f.elect(1, 7, true)
				time.Sleep(700 * time.Millisecond)
				f.elect(2, 8, false)
			}, both(elected("0s", 7), elected("500ms", 7)),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, run(t, tt.answer, tt.script)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
