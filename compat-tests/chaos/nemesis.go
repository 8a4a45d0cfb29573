package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// nemesis does the faults of a schedule to a cluster.
type nemesis struct {
	c        *cluster
	out      io.Writer
	now      func() time.Duration
	oneByOne bool
	done     map[Fault]int

	moving sync.WaitGroup // the one reassignment that goes on while other faults come
	moved  error          // of all of them; belongs to the one that goes on
}

// supported leaves out the faults that cannot be done to nodes that are not isolated.
func supported(faults []Fault, isolated bool) (can, not []Fault) {
	for _, f := range faults {
		switch f {
		case Partition, Isolate, OneWay, Bridge, Flap, Loss, PowerCut, PowerCutAll, Reboot, DiskFull, Laggard, SlowDisk:
			if !isolated {
				not = append(not, f)
				continue
			}
		}
		can = append(can, f)
	}
	return can, not
}

// run does the steps. It returns early only when something is broken beyond what a fault may do.
func (n *nemesis) run(ctx context.Context, steps []Step) error {
	defer n.moving.Wait()
	for _, s := range steps {
		if err := pause(ctx, s.Calm); err != nil {
			return err
		}
		if err := n.c.alive(); err != nil {
			return err
		}
		if n.oneByOne {
			if err := n.c.inSync(ctx, time.Minute); err != nil {
				return err
			}
		}
		if err := n.step(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.Fault, err)
		}
		n.done[s.Fault]++
	}
	n.moving.Wait()
	return n.moved
}

func (n *nemesis) say(format string, args ...any) {
	fmt.Fprintf(n.out, "%8.3fs %s\n", n.now().Seconds(), fmt.Sprintf(format, args...))
}

// pause lets a time pass: a calm between faults, or a fault that lasts.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *nemesis) step(ctx context.Context, s Step) error {
	one := int(s.Pick%nodeCount) + 1
	rest := others(one)
	switch s.Fault {
	case Kill:
		return n.kill(ctx, s, one)
	case KillLeader:
		return n.kill(ctx, s, n.leader(ctx, s.Pick))
	case KillController:
		return n.kill(ctx, s, n.controller(ctx, one))
	case KillMajority:
		return n.kill(ctx, s, rest...)
	case KillAll:
		return n.kill(ctx, s, 1, 2, 3)
	case Pause:
		return n.pause(ctx, s, one)
	case PauseLeader:
		return n.pause(ctx, s, n.leader(ctx, s.Pick))
	case Partition:
		return n.network(ctx, s, one, bothWays(one, rest, rule{cut: true}))
	case Isolate:
		return n.network(ctx, s, one, append(bothWays(one, rest, rule{cut: true}), rule{from: anybody, to: one, cut: true}))
	case OneWay:
		return n.network(ctx, s, one, []rule{{from: rest[0], to: one, cut: true}, {from: rest[1], to: one, cut: true}})
	case Deaf:
		return n.network(ctx, s, one, []rule{{from: anybody, to: one, cut: true}})
	case Bridge:
		return n.network(ctx, s, one, bothWays(rest[0], rest[1:], rule{cut: true}))
	case Flap:
		return n.flap(ctx, s, one, bothWays(one, rest, rule{cut: true}))
	case Loss:
		return n.network(ctx, s, 0, everyLink(n.c.net, rule{loss: 5 + int(s.Pick>>8)%25}))
	case Delay:
		return n.network(ctx, s, 0, everyLink(n.c.net, rule{delay: time.Duration(20+s.Pick>>8%180) * time.Millisecond}))
	case PowerCut:
		return n.powerCut(ctx, s, one)
	case PowerCutAll:
		return n.powerCut(ctx, s, 1, 2, 3)
	case Reboot:
		return n.reboot(ctx, s, n.c.nodes[one])
	case DiskFull:
		return n.diskFull(ctx, s, n.c.nodes[one])
	case Laggard:
		behind := others(n.leader(ctx, s.Pick))
		return n.laggard(ctx, s, n.c.nodes[behind[int(s.Pick>>12)%len(behind)]])
	case SlowDisk:
		return n.slowDisk(ctx, s, n.c.nodes[one])
	case Restart:
		return n.restart(ctx, s)
	case Reassign:
		return n.reassign(ctx, s)
	}
	return errors.New("no such fault")
}

func others(one int) (ids []int) {
	for id := 1; id <= nodeCount; id++ {
		if id != one {
			ids = append(ids, id)
		}
	}
	return ids
}

func bothWays(one int, others []int, r rule) (rules []rule) {
	for _, id := range others {
		there, back := r, r
		there.from, there.to, back.from, back.to = one, id, id, one
		rules = append(rules, there, back)
	}
	return rules
}

// everyLink has a rule on every link between nodes, or, where the network cannot tell them apart, in front of every node.
func everyLink(net network, r rule) (rules []rule) {
	for id := 1; id <= nodeCount; id++ {
		r := r
		r.from, r.to = anybody, id
		if net.can(rule{from: 1, to: 2}) {
			rules = append(rules, bothWays(id, others(id)[id-1:], r)...)
		} else {
			rules = append(rules, r)
		}
	}
	return rules
}

// leader is who leads one of the partitions, or just any node when nobody says so.
func (n *nemesis) leader(ctx context.Context, pick uint32) int {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if all, err := n.c.states(ctx, loadTopics...); err == nil && len(all) > 0 {
		if l := all[int(pick>>4)%len(all)].leader; l > 0 {
			return int(l)
		}
	}
	return int(pick%nodeCount) + 1
}

func (n *nemesis) controller(ctx context.Context, orElse int) int {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if id, err := n.c.controller(ctx); err == nil && id > 0 {
		return id
	}
	return orElse
}

func (n *nemesis) kill(ctx context.Context, s Step, ids ...int) error {
	n.say("%s: kill -9 of %v for %s", s.Fault, ids, s.Lasts.Round(time.Millisecond))
	if err := n.c.each(ids, func(x *node) error { return x.Signal(syscall.SIGKILL) }); err != nil { // all at once
		return err
	}
	if err := n.c.each(ids, (*node).Kill); err != nil {
		return err
	}
	if err := pause(ctx, s.Lasts); err != nil {
		return err
	}
	return n.back(ctx, ids)
}

// back starts nodes again and waits until they serve.
func (n *nemesis) back(ctx context.Context, ids []int) error {
	if err := n.c.each(ids, (*node).start); err != nil {
		return err
	}
	return n.serve(ctx, ids)
}

func (n *nemesis) serve(ctx context.Context, ids []int) error {
	began := time.Now()
	err := n.c.ready(ctx, 60*time.Second, ids)
	n.say("          %v serve again after %s", ids, time.Since(began).Round(time.Millisecond))
	return err
}

func (n *nemesis) pause(ctx context.Context, s Step, id int) error {
	n.say("%s: SIGSTOP of %d for %s", s.Fault, id, s.Lasts.Round(time.Millisecond))
	x := n.c.nodes[id]
	if err := x.freeze(ctx); err != nil {
		return err
	}
	return errors.Join(pause(ctx, s.Lasts), x.thaw())
}

func (n *nemesis) network(ctx context.Context, s Step, id int, rules []rule) error {
	n.say("%s: %s for %s", s.Fault, describe(id, rules), s.Lasts.Round(time.Millisecond))
	if err := n.c.net.apply(ctx, rules); err != nil {
		return err
	}
	return errors.Join(pause(ctx, s.Lasts), n.c.net.apply(ctx, nil))
}

// flap puts rules in force and takes them back, again and again.
func (n *nemesis) flap(ctx context.Context, s Step, id int, rules []rule) error {
	n.say("%s: node %d for %s", s.Fault, id, s.Lasts.Round(time.Millisecond))
	for end := time.Now().Add(s.Lasts); time.Now().Before(end); {
		for _, now := range [][]rule{rules, nil} {
			if err := errors.Join(n.c.net.apply(ctx, now), pause(ctx, s.Lasts/10)); err != nil {
				return err
			}
		}
	}
	return n.c.net.apply(ctx, nil)
}

func describe(id int, rules []rule) string {
	switch r := rules[0]; {
	case r.loss > 0:
		return fmt.Sprintf("%d%% of the packets", r.loss)
	case r.delay > 0:
		return r.delay.String()
	default:
		return fmt.Sprintf("node %d", id)
	}
}

// powerCut takes the power of nodes and their disks away for a while.
func (n *nemesis) powerCut(ctx context.Context, s Step, ids ...int) error {
	n.say("%s: of %v for %s", s.Fault, ids, s.Lasts.Round(time.Millisecond))
	if err := n.powerOff(ctx, ids); err != nil {
		return err
	}
	if err := errors.Join(pause(ctx, s.Lasts), n.powerOn(ctx, ids)); err != nil {
		return err
	}
	return n.back(ctx, ids)
}

// powerOff ends nodes and what their disks have not synced. A machine that loses its power says nothing afterwards: so the
// processes are frozen before their disks go.
func (n *nemesis) powerOff(ctx context.Context, ids []int) error {
	if err := n.c.each(ids, func(x *node) error { return x.freeze(ctx) }); err != nil {
		return err
	}
	if err := n.c.each(ids, func(x *node) error { return x.disk.Cut() }); err != nil {
		return err
	}
	return n.c.each(ids, (*node).Kill)
}

// powerOn mounts the disks again.
func (n *nemesis) powerOn(ctx context.Context, ids []int) error {
	return n.c.each(ids, func(x *node) error { return errors.Join(x.disk.Down(ctx), x.disk.Up(ctx)) })
}

// reboot has a node lose what it had not synced and come back before anybody can have missed it: the controller dies with it. What
// the node is still said to be in sync with, it must not lead.
func (n *nemesis) reboot(ctx context.Context, s Step, x *node) error {
	id := n.controller(ctx, x.id)
	if id == x.id {
		id = others(x.id)[0]
	}
	n.say("%s: power cut of %d, kill -9 of %d for %s", s.Fault, x.id, id, s.Lasts.Round(time.Millisecond))
	one := []int{x.id}
	if err := n.powerOff(ctx, one); err != nil {
		return err
	}
	if err := errors.Join(n.c.nodes[id].Kill(), n.powerOn(ctx, one), x.start(), pause(ctx, s.Lasts), n.c.nodes[id].start()); err != nil {
		return err
	}
	return n.serve(ctx, []int{x.id, id})
}

// diskFull leaves no room. A node may end when it cannot write; with room again it has to come back.
func (n *nemesis) diskFull(ctx context.Context, s Step, x *node) error {
	n.say("%s: node %d for %s", s.Fault, x.id, s.Lasts.Round(time.Millisecond))
	undo, err := x.disk.Fill()
	if err != nil {
		return err
	}
	if err := errors.Join(pause(ctx, s.Lasts), undo()); err != nil {
		return err
	}
	if !x.Running() {
		n.say("          node %d had ended", x.id)
		return n.back(ctx, []int{x.id})
	}
	return nil
}

// laggard has a node fall out of sync, while it lives, and then kills the leader of a partition that it follows: the node must not
// be elected in its place.
func (n *nemesis) laggard(ctx context.Context, s Step, x *node) error {
	undo, err := x.disk.Fill()
	if err != nil {
		return err
	}
	leader, err := n.outOfSync(ctx, x)
	if err != nil {
		return errors.Join(err, undo())
	}
	if leader == 0 {
		n.say("%s: node %d leads everything by now: nobody is killed", s.Fault, x.id)
		return undo()
	}
	n.say("%s: node %d is out of sync, kill -9 of %d for %s", s.Fault, x.id, leader, s.Lasts.Round(time.Millisecond))
	y := n.c.nodes[leader]
	if err := errors.Join(y.Kill(), pause(ctx, s.Lasts), undo()); err != nil {
		return err
	}
	down := []int{y.id}
	if !x.Running() {
		down = append(down, x.id)
	}
	return n.back(ctx, down)
}

// outOfSync waits until a node is out of sync with all that others lead, and says who leads most of that: 0 when nobody does.
func (n *nemesis) outOfSync(ctx context.Context, x *node) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var leader int
	err := await(ctx, fmt.Sprintf("wait until node %d is out of sync", x.id), func() error {
		all, err := n.c.states(ctx, loadTopics...)
		if err != nil {
			return err
		}
		led := make([]int, nodeCount+1)
		for _, p := range all {
			if p.leader <= 0 || int(p.leader) == x.id || !slices.Contains(p.replicas, int32(x.id)) {
				continue
			}
			if slices.Contains(p.isr, int32(x.id)) {
				return fmt.Errorf("it is in sync with %s", p.Partition)
			}
			led[p.leader]++
		}
		leader = slices.Index(led, slices.Max(led))
		return nil
	})
	return leader, err
}

// slowDisk stalls writes for most of the time.
func (n *nemesis) slowDisk(ctx context.Context, s Step, x *node) error {
	n.say("%s: node %d for %s", s.Fault, x.id, s.Lasts.Round(time.Millisecond))
	for end := time.Now().Add(s.Lasts); time.Now().Before(end); {
		if err := x.disk.Freeze(); err != nil {
			return err
		}
		err := pause(ctx, 200*time.Millisecond)
		if err := errors.Join(err, x.disk.Thaw(), pause(ctx, 20*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// restart stops and starts one node after the other, each when all replicas are in sync again.
func (n *nemesis) restart(ctx context.Context, s Step) error {
	n.say("%s", s.Fault)
	for i := range nodeCount {
		x := n.c.nodes[(int(s.Pick)+i)%nodeCount+1]
		if err := x.Stop(); err != nil {
			return err
		}
		if err := pause(ctx, s.Lasts/nodeCount); err != nil {
			return err
		}
		if err := n.back(ctx, []int{x.id}); err != nil {
			return err
		}
		if err := n.c.inSync(ctx, 60*time.Second); err != nil {
			return err
		}
	}
	return nil
}

// reassign takes a replica of a partition away and gives it back, so that it copies everything anew. It goes on while other
// faults come; one partition moves at a time.
func (n *nemesis) reassign(ctx context.Context, s Step) error {
	n.moving.Wait()
	topic, partition := loadTopics[s.Pick%uint32(len(loadTopics))], int32(s.Pick>>8%loadPartitions)
	gone := int32(s.Pick>>16%nodeCount) + 1
	n.say("%s: %s-%d leaves %d and comes back", s.Fault, topic, partition, gone)
	var all []int32
	for id := range uint32(nodeCount) {
		all = append(all, int32((id+s.Pick>>24)%nodeCount)+1)
	}
	few := slices.DeleteFunc(slices.Clone(all), func(id int32) bool { return id == gone })
	n.moving.Go(func() {
		n.moved = errors.Join(n.moved, n.assign(ctx, topic, partition, few), pause(ctx, s.Lasts), n.assign(ctx, topic, partition, all))
	})
	return nil
}

func (n *nemesis) assign(ctx context.Context, topic string, partition int32, replicas []int32) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var req kadm.AlterPartitionAssignmentsReq
	req.Assign(topic, partition, replicas)
	if err := await(ctx, "reassign", func() error {
		resp, err := n.c.admin.AlterPartitionAssignments(ctx, req)
		if err == nil {
			err = resp.Error()
		}
		return err
	}); err != nil {
		return err
	}
	return await(ctx, fmt.Sprintf("wait until %s-%d is on %v", topic, partition, replicas), func() error {
		all, err := n.c.states(ctx, topic)
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.Partition.Partition == partition && (!slices.Equal(s.replicas, replicas) || len(s.isr) != len(replicas)) {
				return fmt.Errorf("it has replicas %v, in sync %v", s.replicas, s.isr)
			}
		}
		return nil
	})
}
