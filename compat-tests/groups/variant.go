package groups

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/compat-tests/go/member"
	"github.com/distributedmq/dmq/compat-tests/report"
)

// Variant is one way of one client to be in a group.
type Variant struct {
	Client   string
	Protocol string // classic or consumer
	Assignor string // empty is the client's own choice
	Static   string // why there are no static members; empty when there are
	// LateCommits is why members commit only now and then; empty when they do after each poll.
	LateCommits string
	Short       bool // it is part of the short run
	// Start starts a process that hosts members of the client.
	Start func() (Host, error)
}

func (v Variant) String() string {
	if v.Assignor == "" {
		return v.Client + ", " + v.Protocol
	}
	return v.Client + ", " + v.Protocol + " " + v.Assignor
}

// wait is how long a group may take for one step. It takes a moment when the machine is idle.
const wait = 90 * time.Second

// longSession is of members that nobody kills, shortSession of those that are killed: the group has to wait that long.
const (
	longSession  = 45 * time.Second
	shortSession = 4 * time.Second
)

// life is a variant while it is played.
type life struct {
	Variant
	r      *report.Report
	out    bytes.Buffer // of the report
	addr   string
	group  string
	topic  string
	client *kgo.Client
	admin  *kadm.Client
	ledger *ledger
	home   Host // of the members that nobody kills
	ends   map[int32]int64
	sent   int
}

// newLife makes the topic and what writes to it.
func newLife(ctx context.Context, v Variant, addr, name string, verbose bool) (*life, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return nil, err
	}
	l := &life{Variant: v, addr: addr, group: name, topic: name, client: cl, admin: kadm.NewClient(cl), ledger: newLedger(), ends: map[int32]int64{}}
	l.r = report.New(&l.out, "groups")
	l.r.Verbose = verbose
	resp, err := l.admin.CreateTopic(ctx, 6, -1, nil, l.topic)
	if err = errors.Join(err, resp.Err); err != nil {
		return nil, err
	}
	for p := range int32(6) {
		l.ends[p] = 0
	}
	if v.Protocol == "consumer" { // where the group says how long a silent member stays
		if err := l.shortSessions(ctx); err != nil {
			return nil, err
		}
	}
	l.home, err = v.Start()
	return l, err
}

// shortSessions has the group miss a silent member soon.
func (l *life) shortSessions(ctx context.Context) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeGroupConfig, l.group
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Op, c.Value = "consumer.session.timeout.ms", kmsg.IncrementalAlterConfigOpSet, kmsg.StringPtr(fmt.Sprint(shortSession.Milliseconds()))
	res.Configs = append(res.Configs, c)
	req.Resources = append(req.Resources, res)
	resp, err := req.RequestWith(ctx, l.client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Resources[0].ErrorCode)
}

func (l *life) close() error {
	l.admin.Close()
	if l.home == nil {
		return nil
	}
	return l.home.Close()
}

// step is one check; what follows makes no sense when it fails.
func (l *life) step(name string, fn func(ctx context.Context) error) bool {
	return l.r.Check(l.String()+": "+name, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		return fn(ctx)
	})
}

func (l *life) join(h Host, name, instance string, session time.Duration) error {
	return h.Join(l.topic+"."+name, member.Options{Group: l.group, Topic: l.topic, Protocol: l.Protocol, Assignor: l.Assignor, Instance: instance, Session: session}, l.ledger)
}

func (l *life) leave(ctx context.Context, name string) error {
	if err := l.home.Leave(l.topic + "." + name); err != nil {
		return err
	}
	return l.ledger.without(ctx, l.topic+"."+name)
}

// flow waits until partitions are shared as wanted, sends records everywhere, and waits until they are read and committed.
func (l *life) flow(ctx context.Context, want map[string]int) error {
	full := map[string]int{}
	for name, n := range want {
		full[l.topic+"."+name] = n
	}
	if err := l.ledger.shared(ctx, full); err != nil {
		return err
	}
	if err := l.send(ctx); err != nil {
		return err
	}
	if l.LateCommits != "" {
		return l.ledger.drained(ctx, l.ends)
	}
	return l.settled(ctx)
}

// send writes some records to every partition. It does so with a client of its own, which knows of partitions that are new.
func (l *life) send(ctx context.Context) error {
	writer, err := kgo.NewClient(kgo.SeedBrokers(l.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer writer.Close()
	var list []*kgo.Record
	for p := range l.ends {
		for range 5 {
			l.sent++
			list = append(list, &kgo.Record{Topic: l.topic, Partition: p, Value: fmt.Appendf(nil, "v%d", l.sent)})
		}
	}
	results := writer.ProduceSync(ctx, list...)
	for _, r := range results {
		if r.Err == nil {
			l.ends[r.Record.Partition] = max(l.ends[r.Record.Partition], r.Record.Offset+1)
		}
	}
	return results.FirstErr()
}

// settled waits until everything that was sent is read and committed.
func (l *life) settled(ctx context.Context) error {
	if err := l.ledger.drained(ctx, l.ends); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		promised := l.ledger.promised()
		got, behind := map[int32]int64{}, 0
		offsets, err := l.admin.FetchOffsets(ctx, l.group)
		var refused *kerr.Error
		if errors.As(err, &refused) { // else a connection is of before a restart
			return err
		}
		for p, end := range l.ends {
			o, ok := offsets.Lookup(l.topic, p)
			if ok && o.Err == nil && o.At >= 0 {
				got[p] = o.At
			}
			if got[p] != end {
				behind++
			}
		}
		l.ledger.brokerSays(got, promised)
		if err == nil && behind == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until everything is committed: %w: have %v, want %v", ctx.Err(), got, l.ends)
		}
	}
}

// play is the life of a group, up to the kill of the broker.
func (l *life) play() bool {
	return l.step("two members share", func(ctx context.Context) error {
		if err := errors.Join(l.join(l.home, "a", "", longSession), l.join(l.home, "b", "", longSession)); err != nil {
			return err
		}
		return l.flow(ctx, map[string]int{"a": 3, "b": 3})
	}) && l.killed() && l.step("partitions are added", func(ctx context.Context) error {
		resp, err := l.admin.CreatePartitions(ctx, 2, l.topic)
		if err = errors.Join(err, resp.Error()); err != nil {
			return err
		}
		l.ends[6], l.ends[7] = 0, 0
		return l.flow(ctx, map[string]int{"a": 8})
	}) && l.step("nobody is there, and then one goes on where the others ended", func(ctx context.Context) error {
		if err := errors.Join(l.leave(ctx, "a"), l.settled(ctx), l.send(ctx)); err != nil {
			return err
		}
		before := l.ledger.twice()
		if err := errors.Join(l.join(l.home, "d", "", longSession), l.flow(ctx, map[string]int{"d": 8})); err != nil {
			return err
		}
		if again := l.ledger.twice() - before; again > 0 {
			return fmt.Errorf("%d records were read twice, although all were committed", again)
		}
		return l.leave(ctx, "d")
	}) && (l.Static != "" || l.static())
}

// killed has a third member join in a process of its own, another leave, and then kills the process.
func (l *life) killed() bool {
	var victim Host
	ok := l.step("a third member joins", func(ctx context.Context) (err error) {
		if victim, err = l.Start(); err != nil {
			return err
		}
		return errors.Join(l.join(victim, "c", "", shortSession), l.flow(ctx, map[string]int{"a": 2, "b": 2, "c": 2}))
	}) && l.step("one leaves", func(ctx context.Context) error {
		return errors.Join(l.leave(ctx, "b"), l.flow(ctx, map[string]int{"a": 3, "c": 3}))
	}) && l.step("one is killed", func(ctx context.Context) error {
		victim.Kill()
		return l.flow(ctx, map[string]int{"a": 6})
	})
	if victim != nil {
		victim.Kill()
	}
	return ok
}

// static lets a static member come back, without the other noticing, and has an operator remove both. A classic one is killed; a
// consumer's has to say that it will be back.
func (l *life) static() bool {
	var first, second Host
	defer func() {
		for _, h := range []Host{first, second} {
			if h != nil {
				h.Kill()
			}
		}
	}()
	return l.step("a static member comes back", func(ctx context.Context) (err error) {
		if first, err = l.Start(); err != nil {
			return err
		}
		err = errors.Join(l.join(l.home, "x", "one", longSession), l.join(first, "y", "two", longSession), l.flow(ctx, map[string]int{"x": 4, "y": 4}))
		if err != nil {
			return err
		}
		had, _ := l.ledger.holding(l.topic + ".y")
		_, before := l.ledger.holding(l.topic + ".x")
		if l.Protocol == "consumer" {
			err = errors.Join(first.Leave(l.topic+".y"), l.ledger.without(ctx, l.topic+".y"))
		} else {
			first.Kill()
		}
		if err != nil {
			return err
		}
		if second, err = l.Start(); err != nil {
			return err
		}
		if err := errors.Join(l.join(second, "z", "two", longSession), l.flow(ctx, map[string]int{"x": 4, "z": 4})); err != nil {
			return err
		}
		has, _ := l.ledger.holding(l.topic + ".z")
		if _, after := l.ledger.holding(l.topic + ".x"); l.Protocol == "classic" && (after != before || !slices.Equal(had, has)) {
			return fmt.Errorf("it came back to %v and had %v; the other's partitions changed %d times", has, had, after-before)
		}
		return nil
	}) && l.step("an operator removes static members", func(ctx context.Context) error {
		if l.Protocol == "consumer" { // they leave by themselves, for a while
			return l.leave(ctx, "x")
		}
		second.Kill()
		if err := l.leave(ctx, "x"); err != nil {
			return err
		}
		left, err := l.admin.LeaveGroup(ctx, kadm.LeaveGroup(l.group).InstanceIDs("one", "two").Reason("by hand"))
		if err != nil {
			return err
		}
		return left.Error()
	})
}

// settleAgain is a new group of the variant, which is to live through a kill of the broker.
func (l *life) settleAgain() bool {
	l.group += "-restart"
	l.ledger = newLedger()
	return l.step("two members share, before the broker is killed", func(ctx context.Context) error {
		if l.Protocol == "consumer" {
			if err := l.shortSessions(ctx); err != nil {
				return err
			}
		}
		if err := errors.Join(l.join(l.home, "r", "", longSession), l.join(l.home, "s", "", longSession)); err != nil {
			return err
		}
		return l.flow(ctx, map[string]int{"r": 4, "s": 4})
	})
}

// afterRestart goes on when the broker is back.
func (l *life) afterRestart() bool {
	return l.step("the broker was killed", func(ctx context.Context) error {
		return l.flow(ctx, map[string]int{"r": 4, "s": 4})
	}) && l.step("all leave, and the group is deleted", func(ctx context.Context) error {
		if err := errors.Join(l.leave(ctx, "r"), l.leave(ctx, "s")); err != nil {
			return err
		}
		return l.deleted(ctx)
	})
}

// deleted deletes the group, when the broker has seen that it is empty.
func (l *life) deleted(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := l.admin.DeleteGroup(ctx, l.group)
		err = errors.Join(err, resp.Err)
		var refused *kerr.Error
		switch {
		case err == nil, errors.Is(err, kerr.GroupIDNotFound): // the first answer may have been lost
			return nil
		case errors.As(err, &refused) && !errors.Is(err, kerr.NonEmptyGroup): // else a member is still leaving, or a connection is of before the restart
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
