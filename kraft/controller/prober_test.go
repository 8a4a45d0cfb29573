package controller_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/controller"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/raftstore"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

var errNoAnswer = errors.New("no answer")

// processes is a Prober of processes that the test starts and kills, and tells of questions and of new metadata.
type processes struct {
	news chan struct{} // holds one: a question was asked, or the metadata has changed

	mu      sync.Mutex                           // guards the fields below
	running map[protocol.NodeID]protocol.TopicID // missing: refused
	silent  map[protocol.NodeID]int              // questions that get no answer
	asked   map[protocol.NodeID]int
}

func newProcesses() *processes {
	return &processes{
		news:    make(chan struct{}, 1),
		running: make(map[protocol.NodeID]protocol.TopicID), silent: make(map[protocol.NodeID]int), asked: make(map[protocol.NodeID]int),
	}
}

func (p *processes) Probe(_ context.Context, id protocol.NodeID) (protocol.TopicID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[id]++
	p.tell()
	if p.silent[id] > 0 {
		p.silent[id]--
		return protocol.TopicID{}, errNoAnswer
	}
	name, ok := p.running[id]
	if !ok {
		return name, controller.ErrNobodyThere
	}
	return name, nil
}

func (p *processes) set(id protocol.NodeID, incarnation byte, silent int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running[id], p.silent[id] = protocol.TopicID{15: incarnation}, silent
}

func (p *processes) kill(id protocol.NodeID, silent int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, id)
	p.silent[id] = silent
}

func (p *processes) questions(id protocol.NodeID) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[id]
}

func (p *processes) tell() {
	select {
	case p.news <- struct{}{}:
	default: // it is not read yet
	}
}

// Publish implements image.Publisher.
func (p *processes) Publish(*image.Delta) { p.tell() }

// until waits for a condition on the questions and the metadata.
func (p *processes) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-p.news:
		case <-deadline:
			t.Fatalf("%s: it did not come to be", what)
		}
	}
}

// start starts a controller whose sessions last for ever: only answers of probes can fence.
func (p *processes) start(t *testing.T, disk *raftstore.Disk) *live {
	t.Helper()
	l := startLive(t, disk, func(o *controller.Options) {
		o.Prober = p
		o.Settings.SessionTimeout = time.Hour
	})
	l.quorum.Subscribe(p)
	return l
}

// probed starts a controller until the test ends.
func probed(t *testing.T, p *processes) *live {
	t.Helper()
	l := p.start(t, raftstore.NewDisk())
	t.Cleanup(func() { check(t, l.stop()) })
	return l
}

func (l *live) fenced(id protocol.NodeID) bool { return l.quorum.Image().Brokers[id].Fenced }

func TestSession_LostWithTheProcess(t *testing.T) {
	p := newProcesses()
	l := probed(t, p)
	l.register(t, 2, 1)
	ended := l.SessionOpened(2, protocol.TopicID{15: 1})
	p.kill(2, 3) // the kernel still accepts for a moment
	ended(false)
	p.until(t, "broker 2 fenced", func() bool { return l.fenced(2) })
	if n := p.questions(2); n != 4 {
		t.Errorf("asked %d times", n)
	}
	l.register(t, 2, 2) // it need not wait
	if l.fenced(2) {
		t.Error("the next incarnation is fenced")
	}
}

func TestSession_LostWhileTheProcessLives(t *testing.T) {
	p := newProcesses()
	l := probed(t, p)
	l.register(t, 2, 1)
	p.set(2, 1, 0)
	ended := l.SessionOpened(2, protocol.TopicID{15: 1})
	ended(false)
	p.until(t, "broker 2 asked", func() bool { return p.questions(2) > 0 })
	l.create(t, "t") // a decision after whatever the answer led to
	if l.fenced(2) {
		t.Error("a live broker was fenced")
	}
}

func TestSession_EndsThatMeanNothing(t *testing.T) {
	p := newProcesses()
	l := probed(t, p)
	l.register(t, 2, 1)
	l.SessionOpened(2, protocol.TopicID{15: 1})(true) // a goodbye
	l.SessionOpened(2, protocol.TopicID{15: 7})(false)
	l.SessionOpened(9, protocol.TopicID{15: 1})(false)
	first, second := l.SessionOpened(2, protocol.TopicID{15: 1}), l.SessionOpened(2, protocol.TopicID{15: 1})
	first(false) // there is another one
	l.create(t, "t")
	if n := p.questions(2) + p.questions(9); n > 0 || l.fenced(2) {
		t.Errorf("%d questions, fenced %v", n, l.fenced(2))
	}
	second(true)
}

func TestSession_AnotherProcessAnswers(t *testing.T) {
	p := newProcesses()
	l := probed(t, p)
	l.register(t, 2, 1)
	p.set(2, 2, 0)
	l.SessionOpened(2, protocol.TopicID{15: 1})(false)
	p.until(t, "broker 2 fenced", func() bool { return l.fenced(2) })
}

func TestRegister_OverAnIncarnation(t *testing.T) {
	p := newProcesses()
	l := probed(t, p)
	l.register(t, 2, 1)
	again := func(incarnation string) int16 {
		resp, err := l.Handle(context.Background(), registerRequest(args{"id": {"2"}, "incarnation": {incarnation}, "dir": {"102"}}))
		check(t, err)
		return resp.(*kmsg.BrokerRegistrationResponse).ErrorCode
	}
	p.set(2, 1, 0)
	if got := again("2"); got != int16(errcode.KindDuplicateBrokerRegistration) {
		t.Errorf("over a live incarnation: %s", errcode.Name(got))
	}
	p.set(2, 1, 1)
	if got := again("2"); got != int16(errcode.KindDuplicateBrokerRegistration) {
		t.Errorf("over one that does not answer: %s", errcode.Name(got))
	}
	p.set(2, 2, 0)
	if got := again("2"); got != 0 {
		t.Errorf("over one in whose place the new one answers: %s", errcode.Name(got))
	}
	p.kill(2, 0)
	l.heartbeat(t, 2, int64(l.quorum.Image().Brokers[2].Epoch))
	if got := again("3"); got != 0 {
		t.Errorf("over a dead one: %s", errcode.Name(got))
	}
}

// The session of a process that is found dead is over, whatever becomes of the registration that had it asked after.
func TestRegister_RefusedOverADeadOne(t *testing.T) {
	p := newProcesses()
	l := probed(t, p)
	l.register(t, 2, 1)
	l.register(t, 3, 1)
	resp, err := l.Handle(context.Background(), registerRequest(args{"id": {"2"}, "incarnation": {"2"}, "dir": {"102"}, "cluster": {"another"}}))
	check(t, err)
	if got := resp.(*kmsg.BrokerRegistrationResponse).ErrorCode; got != int16(errcode.KindInconsistentClusterID) {
		t.Errorf("with another cluster id: %s", errcode.Name(got))
	}
	p.until(t, "broker 2 fenced", func() bool { return l.fenced(2) })
	if l.fenced(3) {
		t.Error("broker 3 is fenced as well")
	}
}

// A controller that has just been elected has no session connections. It asks after every broker and fences only the dead.
func TestActivate_AsksAfterEveryBroker(t *testing.T) {
	p := newProcesses()
	disk := raftstore.NewDisk()
	l := p.start(t, disk)
	for id := int32(2); id <= 5; id++ {
		p.set(protocol.NodeID(id), 1, 0)
		l.register(t, id, 1)
	}
	check(t, l.stop())

	p.kill(3, 2)
	p.set(4, 1, 1<<30) // never answers
	l = p.start(t, disk)
	defer func() { check(t, l.stop()) }()
	p.until(t, "broker 3 fenced", func() bool { return l.fenced(3) })
	p.until(t, "brokers asked", func() bool { return p.questions(2) > 0 && p.questions(4) > 1 && p.questions(5) > 0 })
	for _, id := range []protocol.NodeID{2, 4, 5} {
		if l.fenced(id) {
			t.Errorf("broker %d is fenced", id)
		}
	}
}
