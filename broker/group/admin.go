package group

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// ListGroups returns the shard's groups, sorted by id: ListGroups v0 to v5. From v4 on the request may name states, from v5 on
// types, in any case; one that there is not matches nothing.
func (s *State) ListGroups(fx coordlog.Effects, req *kmsg.ListGroupsRequest, reply func([]kmsg.ListGroupsResponseGroup)) {
	var groups []kmsg.ListGroupsResponseGroup
	states := make([]string, len(req.StatesFilter))
	for i, state := range req.StatesFilter {
		states[i] = strings.TrimSpace(state) // of types, Kafka takes spaces for part of the name
	}
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[id]
		if !named(states, g.state()) || !named(req.TypesFilter, string(g.kind())) {
			continue
		}
		listed := kmsg.NewListGroupsResponseGroup()
		listed.Group, listed.ProtocolType, listed.GroupState, listed.GroupType = id, g.protocolType(), g.state(), string(g.kind())
		groups = append(groups, listed)
	}
	reply(groups)
}

// named reports whether a filter lets a name through; an empty one lets all.
func named(filter []string, name string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, name) })
}

// DescribeGroup returns a classic group: one of DescribeGroups v0 to v6. Others, and one that there is not, are Dead, which
// is an error (GROUP_ID_NOT_FOUND) from v6 on.
func (s *State) DescribeGroup(fx coordlog.Effects, version int16, groupID string, reply func(kmsg.DescribeGroupsResponseGroup)) {
	resp, err := s.describeGroup(groupID)
	if err != nil {
		resp = kmsg.NewDescribeGroupsResponseGroup()
		resp.Group, resp.State = groupID, "Dead"
		if version >= 6 {
			resp.ErrorCode, resp.ErrorMessage = errcode.Of(err), errcode.Message(err)
		}
	}
	reply(resp)
}

func (s *State) describeGroup(groupID string) (kmsg.DescribeGroupsResponseGroup, error) {
	g := s.groups[groupID]
	if g == nil {
		return kmsg.DescribeGroupsResponseGroup{}, groupNotFound(groupID)
	}
	return g.describe()
}

// DeleteGroup removes a group that has no members, with its offsets: one of DeleteGroups v0 to v3.
func (s *State) DeleteGroup(fx coordlog.Effects, c Caller, groupID string, reply func(kmsg.DeleteGroupsResponseGroup)) {
	resp := kmsg.NewDeleteGroupsResponseGroup()
	resp.Group, resp.ErrorCode = groupID, errcode.Of(s.deleteGroup(fx, c, groupID))
	reply(resp)
}

// deleteGroup removes the offsets first: a group is gone only when all of it is.
func (s *State) deleteGroup(fx coordlog.Effects, c Caller, groupID string) error {
	g := s.groups[groupID]
	if g == nil {
		return groupNotFound(groupID)
	}
	if err := g.checkDelete(); err != nil {
		return err
	}
	ended := s.offsets.all(groupID)
	if err := s.endOffsets(fx, ended); err != nil {
		return err
	}
	if err := appendAnswered(fx, g.tombstones()); err != nil {
		return err
	}
	s.timelines.add(groupID, Event{
		Time: fx.Now(), Kind: GroupDeleted, Epoch: g.groupEpoch(), ClientID: c.ClientID, Reason: fmt.Sprintf("a client asked for it; offsets removed with it: %d", len(ended)),
	})
	return nil
}

// all returns every offset of a group, committed or in an open transaction.
func (o *offsets) all(groupID string) []groupPartition {
	var all []groupPartition
	collect := func(g *groupOffsets) {
		for _, t := range g.topics {
			for c := range t.all() {
				all = append(all, groupPartition{groupID, t.topic, c.partition})
			}
		}
	}
	for _, store := range o.pending {
		if g := store[groupID]; g != nil {
			collect(g)
		}
	}
	if g := o.groups[groupID]; g != nil {
		collect(g)
	}
	slices.SortFunc(all, groupPartition.compare)
	return slices.Compact(all)
}
