package group

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// gathered collects the answers of several operations, in the order in which they were asked for.
type gathered[R any] struct {
	answers []R
	left    atomic.Int32
	done    func([]R)
}

// gather runs n operations and calls done with their answers.
func gather[R any](n int, start func(i int, reply func(R)), done func([]R)) {
	if n == 0 {
		done(nil)
		return
	}
	g := &gathered[R]{answers: make([]R, n), done: done}
	g.left.Store(int32(n))
	for i := range n {
		start(i, func(answer R) {
			g.answers[i] = answer
			if g.left.Add(-1) == 0 {
				g.done(g.answers)
			}
		})
	}
}

// ListGroups lists the groups that this broker coordinates. While some of its partitions load, the answer is that.
func (c *Coordinator) ListGroups(req *kmsg.ListGroupsRequest, reply func(*kmsg.ListGroupsResponse)) {
	type answer struct {
		groups []kmsg.ListGroupsResponseGroup
		err    error
	}
	req.StatesFilter = shortFilter(req.StatesFilter, strings.TrimSpace, stateNames)
	req.TypesFilter = shortFilter(req.TypesFilter, func(name string) string { return name }, kindNames)
	partitions := c.runtime.Partitions()
	gather(len(partitions), func(i int, reply func(answer)) {
		coordlog.Submit(c.runtime, partitions[i], func(fx coordlog.Effects, s *State, reply func([]kmsg.ListGroupsResponseGroup)) {
			s.ListGroups(fx, req, reply)
		}, func(groups []kmsg.ListGroupsResponseGroup, err error) { reply(answer{groups, err}) })
	}, func(answers []answer) {
		resp := kmsg.NewPtrListGroupsResponse()
		resp.Groups = []kmsg.ListGroupsResponseGroup{}
		for _, a := range answers {
			switch kind := errcode.KindOf(a.err); kind {
			case errcode.KindNone:
				resp.Groups = append(resp.Groups, a.groups...)
			case errcode.KindNotCoordinator: // not any more: another broker lists them
			default:
				resp.ErrorCode = int16(kind)
			}
		}
		if resp.ErrorCode != 0 {
			resp.Groups = []kmsg.ListGroupsResponseGroup{}
		}
		reply(resp)
	})
}

// What the filters of ListGroups may name.
var (
	stateNames = []string{"PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty", "Assigning", "Reconciling"}
	kindNames  = []string{string(classicKind), string(consumerKind)}
)

// shortFilter returns a filter that lets the same names through, so that a long one does not make work at each group.
func shortFilter(filter []string, trim func(string) string, names []string) []string {
	if len(filter) == 0 {
		return nil
	}
	var known []string
	for _, name := range names {
		if slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(trim(f), name) }) {
			known = append(known, name)
		}
	}
	if known == nil {
		return filter[:1] // no group has that
	}
	return known
}

// DescribeGroups describes classic groups, in the order of the request.
func (c *Coordinator) DescribeGroups(version int16, groupIDs []string, reply func([]kmsg.DescribeGroupsResponseGroup)) {
	gather(len(groupIDs), func(i int, reply func(kmsg.DescribeGroupsResponseGroup)) {
		submit(c, groupIDs[i], func(fx coordlog.Effects, s *State, reply func(kmsg.DescribeGroupsResponseGroup)) {
			s.DescribeGroup(fx, version, groupIDs[i], reply)
		}, func(err error) kmsg.DescribeGroupsResponseGroup {
			resp := kmsg.NewDescribeGroupsResponseGroup()
			resp.Group, resp.ErrorCode = groupIDs[i], errcode.Of(err)
			return resp
		}, reply)
	}, reply)
}

// ConsumerGroupDescribe describes consumer groups, in the order of the request.
func (c *Coordinator) ConsumerGroupDescribe(version int16, groupIDs []string, reply func([]kmsg.ConsumerGroupDescribeResponseGroup)) {
	served := c.current.Load().settings.ConsumerGroupsServed
	gather(len(groupIDs), func(i int, reply func(kmsg.ConsumerGroupDescribeResponseGroup)) {
		refused := func(err error) kmsg.ConsumerGroupDescribeResponseGroup {
			resp := kmsg.NewConsumerGroupDescribeResponseGroup()
			resp.Group, resp.ErrorCode = groupIDs[i], errcode.Of(err)
			return resp
		}
		switch {
		case !served:
			reply(refused(errNotServed))
		case groupIDs[i] == "":
			reply(refused(&errcode.Error{Kind: errcode.KindInvalidGroupID}))
		default:
			submit(c, groupIDs[i], func(fx coordlog.Effects, s *State, reply func(kmsg.ConsumerGroupDescribeResponseGroup)) {
				s.ConsumerGroupDescribe(fx, version, groupIDs[i], reply)
			}, refused, reply)
		}
	}, reply)
}

// DeleteGroups removes groups that have no members, with their offsets, in the order of the request.
func (c *Coordinator) DeleteGroups(who Caller, groupIDs []string, reply func([]kmsg.DeleteGroupsResponseGroup)) {
	gather(len(groupIDs), func(i int, reply func(kmsg.DeleteGroupsResponseGroup)) {
		submit(c, groupIDs[i], func(fx coordlog.Effects, s *State, reply func(kmsg.DeleteGroupsResponseGroup)) {
			s.DeleteGroup(fx, who, groupIDs[i], reply)
		}, func(err error) kmsg.DeleteGroupsResponseGroup {
			resp := kmsg.NewDeleteGroupsResponseGroup()
			resp.Group, resp.ErrorCode = groupIDs[i], errcode.Of(err)
			return resp
		}, reply)
	}, reply)
}

// Ask asks every partition that is coordinated here, and returns the answers of those that are loaded.
func Ask[R any](ctx context.Context, c *Coordinator, question func(s *State) R) ([]R, error) {
	partitions := c.runtime.Partitions()
	done := make(chan []*R, 1)
	gather(len(partitions), func(i int, reply func(*R)) {
		coordlog.Submit(c.runtime, partitions[i], func(_ coordlog.Effects, s *State, reply func(*R)) {
			answer := question(s)
			reply(&answer)
		}, func(answer *R, _ error) { reply(answer) })
	}, func(answers []*R) { done <- answers })
	select {
	case answers := <-done:
		out := make([]R, 0, len(answers))
		for _, a := range answers {
			if a != nil {
				out = append(out, *a)
			}
		}
		return out, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// AskGroup asks the partition of one group. The error carries a kind.
func AskGroup[R any](ctx context.Context, c *Coordinator, groupID string, question func(s *State) R) (R, error) {
	return coordlog.Call(ctx, c.runtime, c.Partition(groupID), func(_ coordlog.Effects, s *State, reply func(R)) { reply(question(s)) })
}

// Timeline returns what this coordinator remembers of a group, the oldest event first. The error carries a kind.
func (c *Coordinator) Timeline(ctx context.Context, groupID string) ([]Event, error) {
	return AskGroup(ctx, c, groupID, func(s *State) []Event { return s.Timeline(groupID) })
}
