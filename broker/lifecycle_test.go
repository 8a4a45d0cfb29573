package broker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// fakeController answers with the scripted codes, then with success, and writes down what it was asked: R a registration,
// B an ordinary heartbeat, S one that asks to stop.
type fakeController struct {
	mu       sync.Mutex
	asked    strings.Builder
	register []int16 // codes of the next registrations; -100: no answer
	beat     []int16 // codes of the next heartbeats
	epoch    int64
	stays    int // heartbeats that ask to stop before they are granted
}

var errNoAnswer = errors.New("no answer")

func next(codes *[]int16) (int16, error) {
	if len(*codes) == 0 {
		return 0, nil
	}
	code := (*codes)[0]
	*codes = (*codes)[1:]
	if code == -100 {
		return 0, errNoAnswer
	}
	return code, nil
}

func (f *fakeController) Request(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch req := req.(type) {
	case *kmsg.BrokerRegistrationRequest:
		f.asked.WriteByte('R')
		code, err := next(&f.register)
		f.epoch++
		return &kmsg.BrokerRegistrationResponse{ErrorCode: code, BrokerEpoch: f.epoch}, err
	case *kmsg.BrokerHeartbeatRequest:
		if !req.WantShutdown {
			f.asked.WriteByte('B')
			code, err := next(&f.beat)
			return &kmsg.BrokerHeartbeatResponse{ErrorCode: code}, err
		}
		f.asked.WriteByte('S')
		f.stays--
		return &kmsg.BrokerHeartbeatResponse{ShouldShutdown: f.stays < 0}, nil
	}
	return nil, errNoAnswer
}

func (f *fakeController) log() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked.String()
}

func none() []protocol.TopicID { return nil }

func newLifecycle(f *fakeController) *lifecycle {
	return &lifecycle{
		reg: registration{nodeID: 1, previous: -1}, link: f, interval: 2 * time.Second, timeout: 9 * time.Second,
		applied: func() int64 { return 0 }, offline: none, cordoned: none, logger: slog.New(slog.DiscardHandler),
	}
}

func TestLifecycle_Start(t *testing.T) {
	for _, tc := range []struct {
		name       string
		controller *fakeController
		want       string
		err        error
	}{
		{"registers and is unfenced", &fakeController{}, "RB", nil},
		{"nobody answers at first", &fakeController{register: []int16{-100, -100}}, "RRRB", nil},
		{"an older incarnation lives", &fakeController{register: []int16{kerr.DuplicateBrokerRegistration.Code}}, "RRB", nil},
		{"another cluster", &fakeController{register: []int16{kerr.InconsistentClusterID.Code}}, "R", kerr.InconsistentClusterID},
		{"forgotten between", &fakeController{beat: []int16{kerr.StaleBrokerEpoch.Code}}, "RBRB", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := newLifecycle(tc.controller).start(t.Context())
				if got := tc.controller.log(); got != tc.want || !errors.Is(err, tc.err) {
					t.Errorf("asked %q, error %v; want %q, %v", got, err, tc.want, tc.err)
				}
			})
		})
	}
}

func TestLifecycle_AwaitConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeController{}
		l := newLifecycle(f)
		l.news = make(chan struct{}, 1)
		wait := func() time.Duration {
			began := time.Now()
			l.awaitConfirmed()
			return time.Since(began)
		}
		if got := wait(); got != confirmPatience {
			t.Errorf("waited %s before the first beat", got)
		}
		if err := l.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(l.timeout - time.Millisecond) // virtual
		if got := wait(); got != 0 {
			t.Errorf("waited %s while the session holds", got)
		}
		time.Sleep(time.Second) // virtual: longer than the session
		if got := wait(); got != confirmPatience {
			t.Errorf("waited %s while the controller does not answer", got)
		}
		stop := spawn(t.Context(), l.run)
		time.AfterFunc(100*time.Millisecond, l.beatSoon)
		if got := wait(); got < 100*time.Millisecond || got > 100*time.Millisecond+confirmInterval {
			t.Errorf("waited %s for a beat after 100 ms", got)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLifecycle_BeatsAndRegistersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeController{beat: []int16{0, 0, -100, kerr.BrokerIDNotRegistered.Code}}
		l := newLifecycle(f)
		if err := l.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop := spawn(t.Context(), l.run)
		time.Sleep(9 * time.Second) // virtual: beats at 2, 4, 6 and 8 s
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if got, want := f.log(), "RBBBBRB"; got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
		if got := l.epoch.Load(); got != 2 {
			t.Errorf("broker epoch %d is not that of the second registration", got)
		}
	})
}

// TestLifecycle_BeatSoon: what is new is told at once, not with the next beat.
func TestLifecycle_BeatSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeController{}
		l := newLifecycle(f)
		l.news = make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.run(ctx) })
		synctest.Wait()
		start := time.Now()
		l.beatSoon()
		synctest.Wait()
		if got := f.log(); got != "B" || time.Since(start) > 0 {
			t.Errorf("asked %s after %v, want one beat at once", got, time.Since(start))
		}
		cancel()
		running.Wait()
	})
}

// TestLifecycle_NothingButStopWhileStopping: an ordinary heartbeat during a controlled shutdown would tell the controller
// that the broker stays.
func TestLifecycle_NothingButStopWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeController{stays: 100} // 5 s of asking: more than two intervals
		l := newLifecycle(f)
		if err := l.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		props, err := embedded(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		n := &node{
			life: l, stopBeats: spawn(t.Context(), l.run), logger: l.logger, props: props, groups: idleGroups(props),
			goodbye: func() error { return nil }, handOn: func(context.Context) error { return nil },
		}
		if err := n.shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := f.log(), "RB"+strings.Repeat("S", 101); got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
	})
}

// idleGroups is a coordinator that leads nothing.
func idleGroups(props *config.Config) *group.Coordinator {
	n := &node{props: props}
	return group.NewCoordinator(group.Options{
		Image: image.Empty, Logger: slog.New(slog.DiscardHandler), Settings: n.groupSettings, GroupSettings: n.consumerGroupSettings,
		MaxBatchBytes: func(*image.Image) int { return 1 << 20 }, KeepBytes: func(*image.Image) int { return 1 << 20 },
	})
}
