package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/compat-tests/report"
)

// Options says how the scenarios are played.
type Options struct {
	Bin     string
	Dir     string // a folder of its own
	Timers  Timers
	Verbose bool
	Out     io.Writer
}

// Run plays the scenarios, and says how long things took.
func Run(ctx context.Context, o Options) *report.Report {
	r := report.New(o.Out, "scenarios")
	r.Verbose = o.Verbose
	p := &play{o: o, r: r}
	if err := p.run(ctx); err != nil {
		r.Fail("topology", err)
	}
	if r.Failed > 0 && p.t != nil {
		fmt.Fprintln(o.Out, p.t.LogTails(15))
	}
	return r
}

// play is the scenarios on one topology.
type play struct {
	o      Options
	r      *report.Report
	t      *Topology
	terms  *terms
	pushed *pushed // where broker 201, which is kept over REST, listens
}

// foreign is the broker that is registered over REST.
const foreign = 201

func (p *play) run(ctx context.Context) (err error) {
	if p.t, err = NewTopology(p.o.Bin, p.o.Dir, 3, 2, p.o.Timers); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.t.Close()) }()
	p.terms = watchTerms(ctx, p.t.Controllers)
	defer p.terms.stop()
	if p.pushed, err = listenForPushes(); err != nil {
		return err
	}
	defer p.pushed.close()
	for _, s := range []struct {
		name string
		play func(context.Context) error
	}{
		{"1 leader election", p.election},
		{"2 controller discovery", p.discovery},
		{"3 heartbeat flow", p.heartbeats},
		{"7 topic creation", p.topicCreation},
		{"4 controller failover", p.failover},
		{"5 old controller", p.oldController},
		{"6 metadata synchronisation", p.synchronisation},
		{"8 broker health, REST beats", p.restHealth},
		{"8 broker health, native broker with the dial-back", p.nativeHealth},
		{"8 broker health, native broker without the dial-back", p.nativeHealthByTimeout},
		{"1 never two leaders in a term", p.terms.check},
	} {
		if !p.r.Check(s.name, func() error { return s.play(ctx) }) {
			return nil // the next ones begin with what this one leaves
		}
	}
	return nil
}

// fact tells how long something took, beside the original's figure.
func (p *play) fact(what string, took time.Duration, original string) {
	fmt.Fprintf(p.o.Out, "fact: %-58s %10.3f s   original: %s\n", what, took.Seconds(), original)
}

// controller waits until the controllers that run agree on one, and returns it with its term.
func (p *play) controller(ctx context.Context, among ...*Node) (leader *Node, term int64, err error) {
	_, err = until(ctx, "one controller", func(ctx context.Context) error {
		var first api.Controller
		for i, n := range among {
			c, err := get[api.Controller](ctx, n, "/metadata/controller")
			if err != nil {
				return err
			}
			c.Timestamp = 0
			if i == 0 {
				first = c
			}
			if c != first {
				return fmt.Errorf("node %d says %+v, node %d %+v", among[0].ID, first, n.ID, c)
			}
		}
		leader, term = p.t.Node(first.ControllerID), first.ControllerTerm
		if !slices.Contains(among, leader) || first.ControllerURL != leader.URL {
			return fmt.Errorf("the controller is %+v", first)
		}
		return nil
	})
	return leader, term, err
}

func without(nodes []*Node, but *Node) []*Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n *Node) bool { return n == but })
}

// Scenario 1: three nodes; exactly one leader per term, all agree.
func (p *play) election(ctx context.Context) error {
	began := time.Now()
	for _, n := range p.t.Controllers {
		if err := n.Start(); err != nil {
			return err
		}
	}
	leader, _, err := p.controller(ctx, p.t.Controllers...)
	if err != nil {
		return err
	}
	p.fact("three controllers started, to one leader all agree on", time.Since(began), "5-8 s for an election")
	for _, n := range p.t.Controllers {
		s, err := get[api.RaftStatus](ctx, n, "/raft/status")
		if err != nil {
			return err
		}
		want := "FOLLOWER"
		if n == leader {
			want = "LEADER"
		}
		if s.State != want || s.IsLeader != (n == leader) || s.LeaderID != leader.ID || len(s.Voters) != 3 {
			return fmt.Errorf("node %d: got %+v, want %s", n.ID, s, want)
		}
	}
	return nil
}

// status is the state of a broker as a node shows it.
func status(ctx context.Context, n *Node, broker int32) (string, error) {
	b, err := get[api.BrokerInfo](ctx, n, fmt.Sprintf("/metadata/brokers/%d", broker))
	return b.Status, err
}

// awaitStatus waits until all nodes show a broker so.
func awaitStatus(ctx context.Context, broker int32, want string, nodes ...*Node) (time.Duration, error) {
	return until(ctx, fmt.Sprintf("broker %d %s", broker, want), func(ctx context.Context) error {
		for _, n := range nodes {
			if s, err := status(ctx, n, broker); err != nil || s != want {
				return fmt.Errorf("node %d shows %s: %w", n.ID, s, err)
			}
		}
		return nil
	})
}

// Scenario 2: a broker starts, queries all nodes in parallel, finds the controller and registers.
func (p *play) discovery(ctx context.Context) error {
	leader, _, err := p.controller(ctx, p.t.Controllers...)
	if err != nil {
		return err
	}
	for _, b := range p.t.Brokers {
		began := time.Now()
		if err := b.Start(); err != nil {
			return err
		}
		if _, err := awaitStatus(ctx, b.ID, "ONLINE", leader); err != nil {
			return err
		}
		p.fact(fmt.Sprintf("broker %d started, to registered and ONLINE", b.ID), time.Since(began), "1.5 s (p99 4 s)")
		if n, err := b.logged(`"event":"controller.discover"`, `"controllers":3`); n == 0 {
			return fmt.Errorf("broker %d did not ask three controllers: %w", b.ID, err)
		}
	}
	return nil
}

// Scenario 3: steady interval, every beat acknowledged with a version.
func (p *play) heartbeats(ctx context.Context) error {
	leader, term, err := p.controller(ctx, p.t.Controllers...)
	if err != nil {
		return err
	}
	if err := p.registerForeign(ctx, leader); err != nil {
		return err
	}
	seen := map[int64]bool{}
	var slowest time.Duration
	version := int64(0)
	const beats = 5
	start := time.Now()
	for len(seen) < beats {
		if time.Since(start) > patience+beats*p.o.Timers.Heartbeat {
			return fmt.Errorf("broker 101 had only %d heartbeats answered in %s", len(seen), time.Since(start))
		}
		began := time.Now()
		a, err := p.beat(ctx, leader)
		if err != nil {
			return err
		}
		slowest = max(slowest, time.Since(began))
		if !a.Success || a.MetadataVersion < version || a.MetadataVersion != a.CurrentVersion || a.ControllerTerm != term || a.BrokerStatus != "ONLINE" {
			return fmt.Errorf("after version %d in term %d: got %+v", version, term, a)
		}
		version = a.MetadataVersion
		for range 4 {
			h, err := get[api.Health](ctx, p.t.Brokers[0], "/storage/health")
			if err != nil {
				return err
			}
			if !h.ControllerConnected || h.CurrentController != leader.ID {
				return fmt.Errorf("broker 101: %+v", h)
			}
			seen[h.LastHeartbeatTime] = true
			time.Sleep(p.o.Timers.Heartbeat / 4)
		}
	}
	p.fact("a heartbeat over REST, the slowest", slowest, "0.050 s (p99 0.120 s)")
	// The first was sent before, and one may have been asked for by a push.
	if took := time.Since(start); time.Duration(len(seen)-2)*p.o.Timers.Heartbeat > took+p.o.Timers.Heartbeat {
		return fmt.Errorf("broker 101 had %d heartbeats answered in %s", len(seen), took)
	}
	return nil
}

// registerForeign registers broker 201 over REST.
func (p *play) registerForeign(ctx context.Context, leader *Node) error {
	body := fmt.Sprintf(`{"id":%d,"host":"127.0.0.1","port":%d}`, foreign, p.pushed.port)
	b, err := ask[api.BrokerInfo](ctx, leader, http.MethodPost, "/metadata/brokers", body, http.StatusOK)
	if err == nil && b.Status != "ONLINE" {
		err = fmt.Errorf("registered as %+v", b)
	}
	return err
}

func (p *play) beat(ctx context.Context, leader *Node) (api.HeartbeatAnswer, error) {
	return ask[api.HeartbeatAnswer](ctx, leader, http.MethodPost, fmt.Sprintf("/metadata/heartbeat/%d", foreign), `{"metadataVersion":1}`, http.StatusOK)
}

// Scenario 7: orders, 3 partitions, RF 2: 201; leaders 101,102,101, the other replica 102,101,102; on every node's disk, which is
// where a node has synced what it shows of the metadata. A partition gets its folder with its first record.
func (p *play) topicCreation(ctx context.Context) error {
	leader, _, err := p.controller(ctx, p.t.Controllers...)
	if err != nil {
		return err
	}
	began := time.Now()
	t, err := ask[api.Topic](ctx, leader, http.MethodPost, "/metadata/topics", `{"topicName":"orders","numPartitions":3,"replicationFactor":2}`, http.StatusCreated)
	if err != nil {
		return err
	}
	p.fact("a topic of three partitions created", time.Since(began), "0.200 s (p99 0.500 s)")
	for i, want := range [][2]int32{{101, 102}, {102, 101}, {101, 102}} {
		if got := t.Partitions[i]; got.Leader != want[0] || !slices.Equal(got.Replicas, want[1:]) || !slices.Contains(got.ISR, want[0]) {
			return fmt.Errorf("partition %d: got %+v, want leader %d and replica %d", i, got, want[0], want[1])
		}
	}
	if r, err := leader.call(ctx, http.MethodPost, "/metadata/topics", `{"topicName":"orders"}`); err != nil || r.status != http.StatusConflict || !strings.Contains(r.text, "TOPIC_ALREADY_EXISTS") {
		return fmt.Errorf("created again: %d %s: %w", r.status, r.text, err)
	}
	_, err = until(ctx, "the topic is on every node", func(ctx context.Context) error {
		for _, n := range p.t.all() {
			if _, err := get[api.Topic](ctx, n, "/metadata/topics/orders"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.records(ctx)
}

// records: what kcat writes REST reads, and the other way round, on whichever node is asked.
func (p *play) records(ctx context.Context) error {
	listed, err := p.t.Brokers[0].kcat(ctx, "", "-L", "-t", "orders")
	if err != nil || !strings.Contains(listed, "3 partitions") {
		return fmt.Errorf("kcat -L: %s: %w", listed, err)
	}
	if _, err := p.t.Brokers[0].kcat(ctx, "by kcat\n", "-P", "-t", "orders", "-p", "1"); err != nil {
		return err
	}
	for _, b := range p.t.Brokers {
		if _, err := os.Stat(filepath.Join(p.o.Dir, fmt.Sprintf("data-%d", b.ID), "orders-1")); err != nil { // both have acknowledged
			return err
		}
	}
	m, err := ask[api.ConsumeAnswer](ctx, p.t.Brokers[1], http.MethodPost, "/storage/consume", `{"topic":"orders","partition":1,"offset":0,"maxWaitMs":10000}`, http.StatusOK)
	if err != nil || len(m.Messages) != 1 || string(m.Messages[0].Value) != "by kcat" {
		return fmt.Errorf("by REST: got %+v: %w", m, err)
	}
	body := `{"topic":"orders","partition":1,"messages":[{"key":"aw==","value":"YnkgUkVTVA=="}]}`
	r, err := p.t.Brokers[0].call(ctx, http.MethodPost, "/storage/messages", body)
	if err != nil || r.status != http.StatusTemporaryRedirect || r.header.Get("Location") != p.t.Brokers[1].URL+"/api/v1/storage/messages" {
		return fmt.Errorf("to the leader: %d %v: %w", r.status, r.header, err)
	}
	if _, err := ask[api.ProduceAnswer](ctx, p.t.Brokers[0], http.MethodPost, "/storage/messages?forward=true", body, http.StatusOK); err != nil {
		return err
	}
	printed, err := p.t.Brokers[0].kcat(ctx, "", "-C", "-t", "orders", "-p", "1", "-o", "beginning", "-e", "-q", "-f", "%k=%s\n")
	if err != nil || printed != "=by kcat\nk=by REST\n" {
		return fmt.Errorf("kcat -C: %q: %w", printed, err)
	}
	_, err = until(ctx, "the follower's high watermark", func(ctx context.Context) error {
		hw, err := get[int64](ctx, p.t.Brokers[0], "/storage/partitions/orders/1/high-water-mark")
		if err == nil && hw != 2 {
			err = fmt.Errorf("is %d, want 2", hw)
		}
		return err
	})
	return err
}

// Scenario 4: kill the leader with brokers attached; a higher term is won, CONTROLLER_CHANGED is pushed, the brokers beat to the
// new one; nobody intervenes, and no live broker goes OFFLINE.
func (p *play) failover(ctx context.Context) error {
	leader, term, err := p.controller(ctx, p.t.Controllers...)
	if err != nil {
		return err
	}
	if err := p.registerForeign(ctx, leader); err != nil {
		return err
	}
	offline, err := p.healthChanges()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := leader.Kill(); err != nil {
		return err
	}
	next, nextTerm, err := p.controller(ctx, without(p.t.Controllers, leader)...)
	if err != nil {
		return err
	}
	p.fact("controller killed, to another one all agree on", time.Since(began), "5-8 s")
	if nextTerm <= term {
		return fmt.Errorf("term %d after term %d", nextTerm, term)
	}
	want := fmt.Sprintf("CONTROLLER_CHANGED %d %s %d", next.ID, next.URL, nextTerm)
	if _, err := until(ctx, "the push to a broker of REST", func(context.Context) error { return p.pushed.has(want) }); err != nil {
		return err
	}
	for _, b := range p.t.Brokers {
		_, err := until(ctx, "a broker beats to the new controller", func(ctx context.Context) error {
			h, err := get[api.Health](ctx, b, "/storage/health")
			if err != nil || h.CurrentController != next.ID || !h.ControllerConnected || h.LastHeartbeatTime < began.UnixMilli() {
				return fmt.Errorf("broker %d: %+v: %w", b.ID, h, err)
			}
			if n, err := b.logged(`"event":"controller.change"`, fmt.Sprintf(`"term":%d`, nextTerm)); n == 0 {
				return fmt.Errorf("broker %d was not told: %w", b.ID, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	p.fact("controller killed, to all brokers told and beating to the new one", time.Since(began), "10-15 s")
	if a, err := p.beat(ctx, next); err != nil || a.BrokerStatus != "ONLINE" {
		return fmt.Errorf("broker 201: %+v: %w", a, err)
	}
	if now, err := p.healthChanges(); err != nil || now != offline {
		return fmt.Errorf("brokers went OFFLINE by the failover, %d times after %d: %w", now, offline, err)
	}
	return nil
}

// healthChanges counts how often controllers have seen brokers go OFFLINE.
func (p *play) healthChanges() (count int, err error) {
	for _, n := range p.t.Controllers {
		k, err := n.logged("broker is OFFLINE")
		if err != nil {
			return 0, err
		}
		count = max(count, k)
	}
	return count, nil
}

// Scenario 5: the killed node returns; a heartbeat POSTed to it gets 503 and the header names the new one.
func (p *play) oldController(ctx context.Context) error {
	var old *Node
	for _, n := range p.t.Controllers {
		select {
		case <-n.exited:
			old = n
		default:
		}
	}
	if old == nil {
		return errors.New("no controller was killed")
	}
	leader, term, err := p.controller(ctx, without(p.t.Controllers, old)...)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := old.Start(); err != nil {
		return err
	}
	_, err = until(ctx, "the old controller's refusal", func(ctx context.Context) error {
		r, err := old.call(ctx, http.MethodPost, fmt.Sprintf("/metadata/heartbeat/%d", foreign), "")
		if err != nil {
			return err
		}
		if r.status != http.StatusServiceUnavailable {
			return fmt.Errorf("answered %d %s", r.status, r.text)
		}
		var e api.Error
		if err := json.Unmarshal([]byte(r.text), &e); err != nil {
			return err
		}
		if r.header.Get("X-Controller-Leader") != fmt.Sprint(leader.ID) || r.header.Get("X-Controller-Url") != leader.URL || e.ErrorCode != "NOT_CONTROLLER" || e.ControllerTerm == nil || *e.ControllerTerm != term {
			return fmt.Errorf("refused with %s %v", r.text, r.header)
		}
		return nil
	})
	p.fact("old controller started again, to its first redirect", time.Since(began), "-")
	return err
}

// Scenario 6: a topic is created while a broker is away; when it returns it notices and catches up.
func (p *play) synchronisation(ctx context.Context) error {
	leader, _, err := p.controller(ctx, p.t.Controllers...)
	if err != nil {
		return err
	}
	away := p.t.Brokers[1]
	if err := away.Kill(); err != nil {
		return err
	}
	if _, err := awaitStatus(ctx, away.ID, "OFFLINE", leader); err != nil {
		return err
	}
	if _, err := ask[api.Topic](ctx, leader, http.MethodPost, "/metadata/topics", `{"topicName":"while-away","numPartitions":1,"replicationFactor":1}`, http.StatusCreated); err != nil {
		return err
	}
	if r, err := leader.call(ctx, http.MethodPost, "/metadata/topics", `{"topicName":"too-many","replicationFactor":2}`); err != nil || r.status != http.StatusBadRequest || !strings.Contains(r.text, "INVALID_REPLICATION_FACTOR") {
		return fmt.Errorf("two replicas with one broker: %d %s: %w", r.status, r.text, err)
	}
	all, err := get[api.ClusterMetadata](ctx, leader, "/metadata/cluster")
	if err != nil {
		return err
	}
	began := time.Now()
	if err := away.Start(); err != nil {
		return err
	}
	_, err = until(ctx, "the broker has caught up", func(ctx context.Context) error {
		h, err := get[api.Health](ctx, away, "/storage/health")
		if err != nil || h.MetadataVersion < all.Version {
			return fmt.Errorf("at version %d, want %d: %w", h.MetadataVersion, all.Version, err)
		}
		_, err = get[api.Topic](ctx, away, "/metadata/topics/while-away")
		return err
	})
	if err != nil {
		return err
	}
	p.fact("broker started again, to having caught up", time.Since(began), "2-3 s")
	if _, err := awaitStatus(ctx, away.ID, "ONLINE", p.t.all()...); err != nil {
		return err
	}
	if listed, err := away.kcat(ctx, "", "-L", "-t", "while-away"); err != nil || !strings.Contains(listed, `topic "while-away" with 1 partitions`) {
		return fmt.Errorf("kcat -L: %s: %w", listed, err)
	}
	return p.sameVersion(ctx)
}

// sameVersion: once nodes have caught up they show the same number.
func (p *play) sameVersion(ctx context.Context) error {
	_, err := until(ctx, "one metadata version", func(ctx context.Context) error {
		versions := map[int64]bool{}
		for _, n := range p.t.all() {
			m, err := get[api.ClusterMetadata](ctx, n, "/metadata/cluster")
			if err != nil {
				return err
			}
			versions[m.Version] = true
		}
		if len(versions) != 1 {
			return fmt.Errorf("versions %v", versions)
		}
		return nil
	})
	return err
}

// Scenario 8: a broker kept alive only by REST beats is marked OFFLINE through the quorum after the threshold, not before.
func (p *play) restHealth(ctx context.Context) error {
	leader, _, err := p.controller(ctx, p.t.Controllers...)
	if err != nil {
		return err
	}
	if err := p.registerForeign(ctx, leader); err != nil {
		return err
	}
	for end := time.Now().Add(2 * p.o.Timers.Heartbeat); time.Now().Before(end); time.Sleep(p.o.Timers.Heartbeat / 2) {
		if _, err := p.beat(ctx, leader); err != nil {
			return err
		}
	}
	began := time.Now()
	if a, err := p.beat(ctx, leader); err != nil || a.BrokerStatus != "ONLINE" {
		return fmt.Errorf("the last beat: %+v: %w", a, err)
	}
	if _, err := awaitStatus(ctx, foreign, "OFFLINE", leader); err != nil {
		return err
	}
	took := time.Since(began)
	p.fact("last REST beat, to OFFLINE", took, fmt.Sprintf("the threshold, here %s", p.o.Timers.Timeout))
	if took < p.o.Timers.Timeout {
		return fmt.Errorf("OFFLINE %s after the last beat, before the threshold %s", took, p.o.Timers.Timeout)
	}
	if _, err := awaitStatus(ctx, foreign, "OFFLINE", p.t.all()...); err != nil { // committed through the quorum
		return err
	}
	if a, err := p.beat(ctx, leader); err != nil || a.BrokerStatus != "ONLINE" {
		return fmt.Errorf("a beat brings it back: %+v: %w", a, err)
	}
	_, err = awaitStatus(ctx, foreign, "ONLINE", p.t.all()...)
	return err
}

// Scenario 8: a native broker goes OFFLINE at once when the dial-back is refused.
func (p *play) nativeHealth(ctx context.Context) error {
	leader, _, err := p.controller(ctx, p.t.Controllers...)
	if err != nil {
		return err
	}
	b := p.t.Brokers[0]
	began := time.Now()
	if err := b.Kill(); err != nil {
		return err
	}
	if _, err := awaitStatus(ctx, b.ID, "OFFLINE", leader); err != nil {
		return err
	}
	p.fact("native broker killed, to OFFLINE, with the dial-back", time.Since(began), "30 s")
	if n, err := p.loggedAnywhere("broker fenced: its process is gone", fmt.Sprintf(`"broker":%d`, b.ID)); n == 0 {
		return fmt.Errorf("broker %d went OFFLINE, but not by the dial-back: %w", b.ID, err)
	}
	if err := b.Start(); err != nil {
		return err
	}
	_, err = awaitStatus(ctx, b.ID, "ONLINE", p.t.all()...)
	return err
}

func (p *play) loggedAnywhere(parts ...string) (count int, err error) {
	for _, n := range p.t.Controllers {
		k, err := n.logged(parts...)
		if err != nil {
			return 0, err
		}
		count += k
	}
	return count, nil
}

// Scenario 8: dmq.broker.dialback.enable=false gives the original's timeline.
func (p *play) nativeHealthByTimeout(ctx context.Context) (err error) {
	dir := filepath.Join(p.o.Dir, "without-dialback")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	t, err := NewTopology(p.o.Bin, dir, 1, 1, p.o.Timers, "dmq.broker.dialback.enable=false")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	for _, n := range t.all() {
		if err := n.Start(); err != nil {
			return err
		}
	}
	b := t.Brokers[0]
	if _, err := awaitStatus(ctx, b.ID, "ONLINE", t.all()...); err != nil {
		return err
	}
	h, err := get[api.Health](ctx, b, "/storage/health")
	if err != nil {
		return err
	}
	began := time.Now()
	if err := b.Kill(); err != nil {
		return err
	}
	if _, err := awaitStatus(ctx, b.ID, "OFFLINE", t.Controllers[0]); err != nil {
		return err
	}
	p.fact("native broker killed, to OFFLINE, without the dial-back", time.Since(began), "30 s")
	// The controller heard of it a little before the broker had the answer.
	if silent := time.Since(time.UnixMilli(h.LastHeartbeatTime)); silent < p.o.Timers.Timeout-p.o.Timers.Heartbeat {
		return fmt.Errorf("OFFLINE %s after a heartbeat, before the threshold %s", silent, p.o.Timers.Timeout)
	}
	return nil
}

// terms watches who leads in which term, all the time.
type terms struct {
	stop func()

	mu      sync.Mutex // guards leaders
	leaders map[int64]map[int32]bool
}

func watchTerms(ctx context.Context, controllers []*Node) *terms {
	ctx, cancel := context.WithCancel(ctx)
	t := &terms{leaders: make(map[int64]map[int32]bool)}
	var watching sync.WaitGroup
	for _, n := range controllers {
		watching.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				if s, err := get[api.RaftStatus](ctx, n, "/raft/status"); err == nil && s.State == "LEADER" && s.IsLeader {
					t.add(s.CurrentTerm, n.ID)
				}
			}
		})
	}
	t.stop = func() {
		cancel()
		watching.Wait()
	}
	return t
}

func (t *terms) add(term int64, leader int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leaders[term] == nil {
		t.leaders[term] = make(map[int32]bool)
	}
	t.leaders[term][leader] = true
}

func (t *terms) check(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.leaders) < 2 {
		return fmt.Errorf("only %v was seen", t.leaders)
	}
	for term, leaders := range t.leaders {
		if len(leaders) > 1 {
			return fmt.Errorf("in term %d these led: %v", term, leaders)
		}
	}
	return nil
}

// pushed is where a broker of the original would listen.
type pushed struct {
	port    int
	server  *http.Server
	serving sync.WaitGroup

	mu   sync.Mutex // guards seen
	seen []string
}

func listenForPushes() (*pushed, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &pushed{port: l.Addr().(*net.TCPAddr).Port}
	p.server = &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(p.push)}
	p.serving.Go(func() { _ = p.server.Serve(l) }) // until close
	return p, nil
}

func (p *pushed) push(w http.ResponseWriter, r *http.Request) {
	var push api.Push
	if err := json.NewDecoder(r.Body).Decode(&push); err != nil || r.URL.Path != "/api/v1/storage/metadata" || push.ControllerID == nil || push.ControllerTerm == nil {
		http.Error(w, "no push", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.seen = append(p.seen, fmt.Sprintf("%s %d %s %d", push.UpdateType, *push.ControllerID, push.ControllerURL, *push.ControllerTerm))
	p.mu.Unlock()
	_, _ = io.WriteString(w, `{"success":true,"errorCode":"NONE"}`)
}

func (p *pushed) has(want string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.seen, want) {
		return fmt.Errorf("pushed were %q, want %q", p.seen, want)
	}
	return nil
}

func (p *pushed) close() {
	_ = p.server.Close()
	p.serving.Wait()
}
