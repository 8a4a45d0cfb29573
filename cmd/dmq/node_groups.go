package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/distributedmq/dmq/admin"
	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/group/lag"
)

// nodeGroups shows a broker's groups on the admin port (admin.Groups).
type nodeGroups struct{ broker.Groups }

func (g nodeGroups) List(ctx context.Context) ([]admin.Group, error) {
	found, err := g.Groups.List(ctx)
	out := make([]admin.Group, len(found))
	for i := range found {
		out[i] = adminGroup(&found[i])
	}
	slices.SortFunc(out, func(x, y admin.Group) int { return strings.Compare(x.Name, y.Name) })
	return out, err
}

func adminGroup(s *group.Snapshot) admin.Group {
	return admin.Group{Name: s.ID, Type: s.Type, State: s.State, ProtocolType: s.ProtocolType, Members: s.Members}
}

func (g nodeGroups) Describe(ctx context.Context, name string) (admin.GroupDetail, error) {
	found, partitions, err := g.Groups.Describe(ctx, name)
	if err != nil {
		return admin.GroupDetail{}, err
	}
	total, behind := lag.Total(partitions)
	coordinator, _ := g.Coordinator(name)
	out := admin.GroupDetail{Group: adminGroup(found), Coordinator: coordinator, TotalLag: total, BehindSeconds: seconds(behind)}
	for _, p := range partitions {
		out.Partitions = append(out.Partitions, admin.GroupOffset{
			Topic: p.Topic, Partition: p.Partition, Committed: p.Committed, End: orNil(p.End), Lag: orNil(p.Lag), BehindSeconds: seconds(p.Behind),
		})
	}
	return out, nil
}

func orNil(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func seconds(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	s := d.Round(time.Millisecond).Seconds()
	return &s
}

func (g nodeGroups) Timeline(ctx context.Context, name string) ([]admin.GroupEvent, error) {
	events, err := g.Groups.Timeline(ctx, name)
	out := make([]admin.GroupEvent, len(events))
	for i, e := range events {
		out[i] = admin.GroupEvent{
			Time: e.Time.UTC(), Kind: string(e.Kind), Epoch: e.Epoch, MemberID: e.MemberID, InstanceID: e.InstanceID, ClientID: e.ClientID,
			Reason: e.Reason, TookSeconds: e.Took.Seconds(),
		}
	}
	return out, err
}

func (g nodeGroups) Coordinator(name string) (int32, bool) {
	id, ok := g.Groups.Coordinator(name)
	return int32(id), ok
}
