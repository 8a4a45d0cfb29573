package coordlog

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Bounds of a shard.
const (
	// maxUncommitted is how many bytes of records may wait for their commit before operations are refused with
	// COORDINATOR_LOAD_IN_PROGRESS, which clients repeat.
	maxUncommitted = 32 << 20
	// maxPosts is how much of what is posted may wait. A shard that is further behind is built anew.
	maxPosts = 100_000
	// maxEarly is how many operations may wait for a machine to be built.
	maxEarly = 10_000
)

// What clients are told.
var (
	errNotCoordinator = &errcode.Error{Kind: errcode.KindNotCoordinator}
	errLoading        = &errcode.Error{Kind: errcode.KindCoordinatorLoadInProgress}
	errBroken         = &errcode.Error{Kind: errcode.KindUnknown}
)

// shard is one partition in one leader epoch.
//
// An operation runs on the goroutine of whoever submits it, with mu held: for most, such as heartbeats, that is all there is
// to do, and no other goroutine is woken. "On the loop" means with mu held. The rest is left to the shard's own goroutine:
// loading, timers, the answers that a commit sets free, and writing what has collected while a batch was on its way.
type shard struct {
	core  *core
	id    protocol.TopicIDPartition
	epoch protocol.LeaderEpoch
	wake  chan struct{} // tells the loop that there is something to do
	quit  chan struct{} // closed when leadership has ended

	postsMu sync.Mutex // guards the fields below
	posts   []func(fx Effects)
	behind  bool // there were too many

	mu       sync.Mutex // guards the fields below
	state    state
	early    []*waiter // that wait for the machine to be built
	patient  bool      // more may
	machine  Machine   // nil unless active or resigned
	broken   error     // why the machine is not to be trusted any more
	now      time.Time
	run      int // of the machine: results of the background work of another are dropped
	waiters  waiters
	timers   timers
	log      pipeline
	writing  bool     // somebody writes a batch: the next one waits
	outcomes outcomes // what is to be told after mu is released
}

// state is where a shard stands:
//
//	loading ◄──► failed
//	   │ ▲
//	   ▼ │
//	 active ──► resigned
//
// From each of them it ends.
type state uint8

const (
	loading  state = iota // the machine is being built, or will be after a pause
	failed                // that went wrong the last time
	active                // operations are taken
	resigned              // no more, but answers leave
	ended
)

func newShard(c *core, id protocol.TopicIDPartition, epoch protocol.LeaderEpoch) *shard {
	return &shard{core: c, id: id, epoch: epoch, wake: make(chan struct{}, 1), quit: make(chan struct{}), patient: c.patience > 0}
}

// stop tells the loop that leadership has ended. It is called once.
func (s *shard) stop() { close(s.quit) }

func (s *shard) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// submit runs an operation, or says why not. While the machine is being built it waits a little: that is quick for most, and
// clients who are told to come again do so much later.
func (s *shard) submit(w *waiter) {
	s.mu.Lock()
	if s.state == loading && s.patient && len(s.early) < maxEarly {
		s.waiters.push(w)
		s.early = append(s.early, w)
		s.mu.Unlock()
		return
	}
	if err := s.refusal(); err != nil {
		s.mu.Unlock()
		w.fail(err)
		return
	}
	s.waiters.push(w)
	s.operate(w)
	b := s.launchAtOnce()
	s.leave()
	if b != nil {
		s.write(b)
		s.mu.Lock()
		s.wrote()
		s.leave()
	}
}

// losePatience is called when building the machine takes too long.
func (s *shard) losePatience() {
	s.mu.Lock()
	defer s.unlock()
	s.failEarly(errLoading)
}

func (s *shard) failEarly(err error) {
	s.patient = false
	for _, w := range s.early {
		s.fail(w, err)
	}
	s.early = nil
}

// admitEarly runs the operations that have waited for the machine.
func (s *shard) admitEarly() {
	s.patient = false
	early := s.early
	s.early = nil
	for _, w := range early {
		if s.broken != nil {
			return // the next machine's, which nobody waits for
		}
		s.operate(w)
	}
}

// refusal says why no operation can be run now.
func (s *shard) refusal() error {
	switch {
	case s.state == loading:
		return errLoading
	case s.state != active:
		return errNotCoordinator
	case s.log.uncommitted > maxUncommitted:
		return errLoading
	default:
		return nil
	}
}

// operate runs one operation. A panic is no reason to end the process: the machine is thrown away.
func (s *shard) operate(w *waiter) {
	s.perform(w)
	if s.broken != nil && w.state == unanswered {
		s.fail(w, errBroken)
	}
}

func (s *shard) perform(op operation) {
	s.now = time.Now()
	defer s.recovered()
	op.run(s)
}

// do is operate for what nobody waits for.
func (s *shard) do(f func(fx Effects)) {
	s.now = time.Now()
	defer s.recovered()
	f(s)
}

// recovered is deferred: it notes a panic. A broken invariant is passed on, since nothing may go on after it.
func (s *shard) recovered() {
	v := recover()
	if v == nil {
		return
	}
	if _, invariant := v.(interface{ InvariantFailure() }); invariant {
		panic(v)
	}
	s.broken = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
}

// leave releases mu after an operation: the loop is woken if it has to go on with something. Whoever writes wakes it later.
func (s *shard) leave() {
	if s.broken != nil || s.log.hasWork() && !s.writing {
		s.signal()
	}
	s.unlock()
}

// unlock releases mu, and tells what was found out meanwhile.
func (s *shard) unlock() {
	if s.broken != nil {
		s.abandon(errNotCoordinator)
	}
	told := s.outcomes
	s.outcomes = outcomes{}
	s.mu.Unlock()
	told.tell()
}

// answered notes the answer of a call.
func (s *shard) answered(w *waiter) {
	w.state = given
	s.log.wait(answer{to: w})
	s.release()
}

// release takes out the answers that need not wait any longer.
func (s *shard) release() {
	for {
		a, ok := s.log.committedAnswer()
		switch {
		case !ok:
			return
		case a.to == nil:
			a.send()
		default:
			a.to.state = over
			s.waiters.remove(a.to)
			s.outcomes.add(outcome{op: a.to})
		}
	}
}

// abandon throws the machine away. Operations whose answer waits for its commit are told err, all others that this is not
// their coordinator: what they waited for is forgotten.
func (s *shard) abandon(err error) {
	if s.state == active {
		s.state = loading
	}
	if s.broken != nil {
		s.core.logger.Error("a machine broke: the coordinator is loaded anew", slog.String("event", "coordinator.broken"), s.attr(), slog.Any("err", s.broken))
	}
	s.machine, s.broken, s.early, s.patient = nil, nil, nil, false
	s.run++
	s.signal() // the loop builds another
	s.timers.clear()
	s.log = pipeline{}
	s.waiters.all(func(w *waiter) {
		if w.state == given {
			s.fail(w, err)
		} else {
			s.fail(w, errNotCoordinator)
		}
	})
}

// fail ends a call with an error.
func (s *shard) fail(w *waiter, err error) {
	w.state = over
	s.waiters.remove(w)
	s.outcomes.add(outcome{op: w, err: err})
}

// resign stops taking operations.
func (s *shard) resign() {
	s.mu.Lock()
	defer s.leave()
	if s.state == ended {
		return
	}
	s.state, s.early, s.patient = resigned, nil, false
	s.waiters.all(func(w *waiter) {
		if w.state == unanswered {
			s.fail(w, errNotCoordinator)
		}
	})
}

// end answers everybody, for good.
func (s *shard) end() {
	s.mu.Lock()
	defer s.leave()
	s.state = ended
	s.abandon(errNotCoordinator)
}

// post leaves something to be done on the loop, when there is a machine.
func (s *shard) post(f func(fx Effects)) {
	s.postsMu.Lock()
	if len(s.posts) == maxPosts {
		s.posts, s.behind = nil, true
	}
	s.posts = append(s.posts, f)
	s.postsMu.Unlock()
	s.signal()
}

func (s *shard) takePosts() (posts []func(fx Effects), behind bool) {
	s.postsMu.Lock()
	defer s.postsMu.Unlock()
	posts, behind = s.posts, s.behind
	s.posts, s.behind = nil, false
	return posts, behind
}

// runPosts does what was posted. When the machine breaks, what is left is dropped: the next one starts from how things are
// by then.
func (s *shard) runPosts() {
	posts, behind := s.takePosts()
	if behind {
		s.broken = fmt.Errorf("more than %d things to do were left to the loop", maxPosts)
	}
	for _, f := range posts {
		if s.broken != nil {
			return
		}
		s.do(f)
	}
}

// runTimers runs the timers whose time has come.
func (s *shard) runTimers() {
	now := time.Now()
	for s.broken == nil {
		f := s.timers.due(now)
		if f == nil {
			break
		}
		s.do(f)
	}
	s.timers.rearm(now)
}

func (s *shard) count(out *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case loading:
		out.Loading++
	case failed:
		out.Failed++
	default:
		out.Active++
	}
	out.Waiting += s.waiters.n
	out.Uncommitted += int64(s.log.uncommitted)
}

// outcomes are what is to be told when mu is released. Nearly always that is one.
type outcomes struct {
	n     int
	first outcome
	more  []outcome
}

// outcome is the end of a call.
type outcome struct {
	op  operation
	err error // nil: its answer
}

func (o *outcomes) add(x outcome) {
	if o.n++; o.n == 1 {
		o.first = x
		return
	}
	o.more = append(o.more, x)
}

func (o *outcomes) tell() {
	if o.n == 0 {
		return
	}
	o.first.tell()
	for i := range o.more {
		o.more[i].tell()
	}
}

func (o *outcome) tell() {
	if o.err != nil {
		o.op.fail(o.err)
		return
	}
	o.op.send()
}
