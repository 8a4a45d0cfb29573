package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
)

// clusterState is a cluster at one moment, as its own APIs tell it.
type clusterState struct {
	ID         string
	Controller int32            // the quorum's leader; -1: none is known
	Brokers    []brokerState    // sorted by id
	Quorum     *quorumState     // nil: it did not answer
	QuorumErr  error            // why
	Partitions []partitionState // sorted by topic and number
}

// The states of a broker.
const (
	brokerUp     = "up"
	brokerFenced = "fenced" // registered, but it sends no heartbeats or is not caught up: it serves nobody
	// brokerSilent is up as far as the metadata tells, which nobody keeps up to date while there is no quorum, but does not answer.
	brokerSilent  = "unreachable"
	brokerUnknown = "unknown" // it holds replicas, but is not registered, or the cluster does not tell of fenced brokers
)

type brokerState struct {
	ID         int32  `json:"id"`
	Host       string `json:"host"` // "" when it is not known
	Port       int32  `json:"port"`
	Rack       string `json:"rack"`
	State      string `json:"state"`
	Controller bool   `json:"controller"` // it leads the quorum

	Leaders         int `json:"leaders"`           // partitions it leads
	PreferredLeader int `json:"preferred_leaders"` // partitions it should lead
	Replicas        int `json:"replicas"`
	OutOfSync       int `json:"out_of_sync"` // of those
}

func (b *brokerState) address() string {
	if b.Host == "" {
		return "-"
	}
	return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
}

// partitionState is one partition. The eligible leaders are filled in by eligibleLeaders alone.
type partitionState struct {
	Topic           string  `json:"topic"`
	Partition       int32   `json:"partition"`
	Leader          int32   `json:"leader"` // -1: none
	LeaderEpoch     int32   `json:"leader_epoch"`
	Replicas        []int32 `json:"replicas"`
	InSync          []int32 `json:"in_sync_replicas"`
	Offline         []int32 `json:"offline_replicas"`
	Eligible        []int32 `json:"eligible_leader_replicas"`
	LastKnown       []int32 `json:"last_known_eligible_leader_replicas"`
	Adding          []int32 `json:"adding_replicas"`
	Removing        []int32 `json:"removing_replicas"`
	MinInSync       int     `json:"min_in_sync_replicas"` // 0: not known
	Internal        bool    `json:"internal"`
	UnderReplicated bool    `json:"under_replicated"`
}

func (p *partitionState) offline() bool { return p.Leader < 0 }

func (p *partitionState) underMinISR() bool { return len(p.InSync) < p.MinInSync }

// atMinISR is one replica away from refusing acks=all.
func (p *partitionState) atMinISR() bool { return p.MinInSync > 0 && len(p.InSync) == p.MinInSync }

// preferred reports whether the first replica leads.
func (p *partitionState) preferred() bool { return len(p.Replicas) > 0 && p.Leader == p.Replicas[0] }

// notPreferred reports whether a replica leads that is not the first.
func (p *partitionState) notPreferred() bool { return !p.offline() && !p.preferred() }

func (p *partitionState) reassigning() bool { return len(p.Adding)+len(p.Removing) > 0 }

func (p *partitionState) tp() topicPartition { return topicPartition{p.Topic, p.Partition} }

// quorumTimeout is how long the quorum may take to answer a question: without a leader it cannot, and the rest is still worth
// showing.
const quorumTimeout = 5 * time.Second

// clusterState asks the cluster for everything but what only single brokers know.
func (a *app) clusterState(ctx context.Context, cl *kgo.Client) (*clusterState, error) {
	s := &clusterState{Controller: -1}
	var quorum sync.WaitGroup
	quorum.Go(func() { s.Quorum, s.QuorumErr = a.askQuorumAlone(ctx) }) // without a leader it takes the longest
	err := s.askMetadata(ctx, cl)
	quorum.Wait()
	if err != nil {
		return nil, err
	}
	if s.Quorum != nil {
		s.Controller = s.Quorum.Leader
	}
	if s.hasQuorum() { // else nobody can tell what moves: it is the controller who knows
		err = s.askReassignments(ctx, cl)
	} else {
		s.askWhoAnswers(ctx, cl)
	}
	if err != nil {
		return nil, err
	}
	s.count()
	return s, nil
}

// askQuorumAlone is askQuorum on a connection of its own: requests behind one that waits for a leader would wait as well.
func (a *app) askQuorumAlone(ctx context.Context) (*quorumState, error) {
	cl, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return askQuorum(ctx, cl)
}

// hasQuorum reports whether somebody decides for the cluster, as far as can be told.
func (s *clusterState) hasQuorum() bool { return s.Quorum != nil || unsupported(s.QuorumErr) }

// askMetadata asks for what every broker knows.
func (s *clusterState) askMetadata(ctx context.Context, cl *kgo.Client) error {
	if err := s.askTopics(ctx, kadm.NewClient(cl)); err != nil {
		return err
	}
	if err := s.askBrokers(ctx, cl); err != nil {
		return err
	}
	return s.askMinISR(ctx, cl)
}

// answerTimeout is how long a broker may take to show that it is there.
const answerTimeout = 2 * time.Second

// askWhoAnswers finds out which brokers are there, where no controller keeps track of them.
func (s *clusterState) askWhoAnswers(ctx context.Context, cl *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var asking sync.WaitGroup
	for i := range s.Brokers {
		if b := &s.Brokers[i]; b.State == brokerUp {
			asking.Go(func() {
				if _, err := cl.Broker(int(b.ID)).Request(ctx, kmsg.NewPtrApiVersionsRequest()); err != nil {
					b.State = brokerSilent
				}
			})
		}
	}
	asking.Wait()
}

func (s *clusterState) askTopics(ctx context.Context, adm *kadm.Client) error {
	topics, err := adm.ListTopicsWithInternal(ctx)
	if err != nil {
		return err
	}
	for _, t := range topics.Sorted() {
		for _, p := range t.Partitions.Sorted() {
			s.Partitions = append(s.Partitions, partitionState{
				Topic: t.Topic, Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, Internal: t.IsInternal,
				Replicas: orEmpty(p.Replicas), InSync: orEmpty(p.ISR), Offline: orEmpty(p.OfflineReplicas),
				Eligible: []int32{}, LastKnown: []int32{}, Adding: []int32{}, Removing: []int32{},
			})
		}
	}
	return nil
}

// askBrokers lists the registered brokers, and those that only partitions tell of.
func (s *clusterState) askBrokers(ctx context.Context, cl *kgo.Client) error {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.IncludeFencedBrokers = true
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	s.ID = resp.ClusterID
	for _, b := range resp.Brokers {
		state := brokerState{ID: b.NodeID, Host: b.Host, Port: b.Port, State: brokerUp}
		if b.IsFenced {
			state.State = brokerFenced
		}
		if b.Rack != nil {
			state.Rack = *b.Rack
		}
		s.Brokers = append(s.Brokers, state)
	}
	for _, p := range s.Partitions {
		for _, id := range p.Replicas {
			if s.broker(id) == nil {
				s.Brokers = append(s.Brokers, brokerState{ID: id, State: brokerUnknown})
			}
		}
	}
	slices.SortFunc(s.Brokers, func(x, y brokerState) int { return cmp.Compare(x.ID, y.ID) })
	return nil
}

func (s *clusterState) broker(id int32) *brokerState {
	if i := slices.IndexFunc(s.Brokers, func(b brokerState) bool { return b.ID == id }); i >= 0 {
		return &s.Brokers[i]
	}
	return nil
}

// up counts the brokers that are up.
func (s *clusterState) up() int {
	n := 0
	for i := range s.Brokers {
		if s.Brokers[i].State == brokerUp {
			n++
		}
	}
	return n
}

// minISRKey is the topic property that says how many replicas have to be in sync.
const minISRKey = "min.insync.replicas"

// askMinISR fetches min.insync.replicas of every topic.
func (s *clusterState) askMinISR(ctx context.Context, cl *kgo.Client) error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for i, p := range s.Partitions {
		if i > 0 && s.Partitions[i-1].Topic == p.Topic {
			continue
		}
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, p.Topic, []string{minISRKey}
		req.Resources = append(req.Resources, r)
	}
	if len(req.Resources) == 0 {
		return nil
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	minimum := make(map[string]int)
	for _, r := range resp.Resources {
		for _, c := range r.Configs {
			if c.Name == minISRKey && c.Value != nil {
				minimum[r.ResourceName], _ = strconv.Atoi(*c.Value) // 0, not known, is also what nobody can tell
			}
		}
	}
	for i := range s.Partitions {
		// Kafka never asks for more replicas than there are.
		s.Partitions[i].MinInSync = min(minimum[s.Partitions[i].Topic], len(s.Partitions[i].Replicas))
	}
	return nil
}

// askReassignments notes which partitions move. A cluster that cannot move any has none.
func (s *clusterState) askReassignments(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, quorumTimeout)
	defer cancel()
	moves, err := listReassignments(ctx, cl)
	if errors.Is(err, context.DeadlineExceeded) { // the controller that answered before is gone
		s.Quorum, s.QuorumErr, s.Controller = nil, err, -1
		return nil
	}
	if err != nil {
		return err
	}
	for i := range s.Partitions {
		if m, ok := moves[s.Partitions[i].tp()]; ok {
			s.Partitions[i].Adding, s.Partitions[i].Removing = orEmpty(m.AddingReplicas), orEmpty(m.RemovingReplicas)
		}
	}
	return nil
}

type reassignments = map[topicPartition]kmsg.ListPartitionReassignmentsResponseTopicPartition

// listReassignments lists what moves now.
func listReassignments(ctx context.Context, cl *kgo.Client) (reassignments, error) {
	req := kmsg.NewPtrListPartitionReassignmentsRequest()
	req.Topics = nil // all
	resp, err := req.RequestWith(ctx, cl)
	if unsupported(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	out := make(reassignments)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			out[topicPartition{t.Topic, p.Partition}] = p
		}
	}
	return out, nil
}

// unsupported reports whether no broker serves the request.
func unsupported(err error) bool {
	if err == nil {
		return false
	}
	return errors.Is(err, kerr.UnsupportedVersion) || strings.Contains(err.Error(), "broker is too old") // the client exports no value for it
}

func (s *clusterState) count() {
	for i := range s.Brokers {
		s.Brokers[i].Controller = s.Brokers[i].ID == s.Controller
	}
	for n := range s.Partitions {
		p := &s.Partitions[n]
		p.UnderReplicated = len(p.InSync) < len(p.Replicas)-len(p.Adding) // Kafka's tools do not expect those that are being added either
		for i, id := range p.Replicas {
			b := s.broker(id)
			b.Replicas++
			if i == 0 {
				b.PreferredLeader++
			}
			if id == p.Leader {
				b.Leaders++
			}
			if !slices.Contains(p.InSync, id) {
				b.OutOfSync++
			}
		}
	}
}

// partitionCounts are the partitions of a cluster by what is wrong with them.
type partitionCounts struct {
	Topics             int `json:"topics"`
	Partitions         int `json:"partitions"`
	UnderReplicated    int `json:"under_replicated"`
	Offline            int `json:"offline"`
	UnderMinISR        int `json:"under_min_isr"`
	AtMinISR           int `json:"at_min_isr"` // of those that could have more
	LeaderNotPreferred int `json:"leader_not_preferred"`
	Reassigning        int `json:"reassigning"`
}

func (s *clusterState) partitionCounts() partitionCounts {
	var c partitionCounts
	for i := range s.Partitions {
		p := &s.Partitions[i]
		c.Partitions++
		if i == 0 || s.Partitions[i-1].Topic != p.Topic {
			c.Topics++
		}
		for n, is := range map[*int]bool{
			&c.UnderReplicated: p.UnderReplicated, &c.Offline: p.offline(), &c.UnderMinISR: p.underMinISR(), &c.AtMinISR: p.atMinISR() && len(p.Replicas) > p.MinInSync,
			&c.LeaderNotPreferred: p.notPreferred(), &c.Reassigning: p.reassigning(),
		} {
			if is {
				*n++
			}
		}
	}
	return c
}

// eligibleLeaders fills in who may lead partitions that have no in-sync replica left. Clusters that do not know tell
// nothing.
func (s *clusterState) eligibleLeaders(ctx context.Context, cl *kgo.Client, wanted func(*partitionState) bool) error {
	at := make(map[topicPartition]*partitionState)
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	for i := range s.Partitions {
		p := &s.Partitions[i]
		if !wanted(p) {
			continue
		}
		at[p.tp()] = p
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.Topic {
			t := kmsg.NewDescribeTopicPartitionsRequestTopic()
			t.Topic = p.Topic
			req.Topics = append(req.Topics, t)
		}
	}
	for len(req.Topics) > 0 {
		resp, err := req.RequestWith(ctx, cl)
		if unsupported(err) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, t := range resp.Topics {
			if t.Topic == nil {
				continue
			}
			for _, p := range t.Partitions {
				if state := at[topicPartition{*t.Topic, p.Partition}]; state != nil {
					state.Eligible, state.LastKnown = orEmpty(p.EligibleLeaderReplicas), orEmpty(p.LastKnownELR)
				}
			}
		}
		if resp.NextCursor == nil {
			return nil
		}
		cursor := kmsg.NewDescribeTopicPartitionsRequestCursor()
		cursor.Topic, cursor.Partition = resp.NextCursor.Topic, resp.NextCursor.Partition
		req.Cursor = &cursor
	}
	return nil
}

// quorumState is the metadata quorum.
type quorumState struct {
	Leader        int32          `json:"leader"` // -1: none
	LeaderEpoch   int32          `json:"leader_epoch"`
	HighWatermark int64          `json:"high_watermark"`
	Replicas      []quorumMember `json:"replicas"`
}

// The roles in the quorum.
const (
	roleLeader   = "leader"
	roleVoter    = "voter"
	roleObserver = "observer"
)

type quorumMember struct {
	ID           int32      `json:"id"`
	DirectoryID  string     `json:"directory_id"` // "" when it is not known
	Role         string     `json:"role"`
	LogEndOffset int64      `json:"log_end_offset"` // -1: not known
	Lag          int64      `json:"lag"`            // in records, behind the leader; -1: not known
	LastFetch    *time.Time `json:"last_fetch"`     // null: not since the leader leads
	LastCaughtUp *time.Time `json:"last_caught_up"`
	Endpoints    []string   `json:"endpoints"` // as far as the quorum knows them

	silent time.Duration // since the last fetch, by the leader's clock; -1: not known
}

func (m *quorumMember) voter() bool { return m.Role != roleObserver }

// followTimeout is how long a member may be silent before it counts as gone: members that follow are heard of many times
// a second.
const followTimeout = 5 * time.Second

// following reports whether the member keeps up with the leader.
func (m *quorumMember) following() bool {
	return m.Role == roleLeader || m.silent >= 0 && m.silent < followTimeout
}

// askQuorum describes the quorum.
func askQuorum(ctx context.Context, cl *kgo.Client) (*quorumState, error) {
	ctx, cancel := context.WithTimeout(ctx, quorumTimeout)
	defer cancel()
	req := kmsg.NewPtrDescribeQuorumRequest()
	t, p := kmsg.NewDescribeQuorumRequestTopic(), kmsg.NewDescribeQuorumRequestTopicPartition()
	t.Topic, t.Partitions = "__cluster_metadata", append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	code := resp.ErrorCode
	if code == 0 && len(resp.Topics) == 1 && len(resp.Topics[0].Partitions) == 1 {
		code = resp.Topics[0].Partitions[0].ErrorCode
	}
	if err := kerr.ErrorForCode(code); err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, errors.New("the answer does not describe the quorum")
	}
	return newQuorumState(&resp.Topics[0].Partitions[0], resp.Nodes, time.Now()), nil
}

func newQuorumState(p *kmsg.DescribeQuorumResponseTopicPartition, nodes []kmsg.DescribeQuorumResponseNode, now time.Time) *quorumState {
	q := &quorumState{Leader: p.LeaderID, LeaderEpoch: p.LeaderEpoch, HighWatermark: p.HighWatermark, Replicas: []quorumMember{}}
	end := p.HighWatermark
	for _, r := range p.CurrentVoters {
		if r.ReplicaID == p.LeaderID {
			end = max(end, r.LogEndOffset)
			if r.LastFetchTimestamp > 0 { // the leader's own clock is what the others' times were taken by
				now = time.UnixMilli(r.LastFetchTimestamp)
			}
		}
	}
	add := func(r kmsg.DescribeQuorumResponseTopicPartitionReplicaState, role string) {
		m := quorumMember{
			ID: r.ReplicaID, Role: role, LogEndOffset: r.LogEndOffset, Lag: -1, LastFetch: timestamp(r.LastFetchTimestamp), LastCaughtUp: timestamp(r.LastCaughtUpTimestamp),
			Endpoints: []string{}, silent: -1,
		}
		if id := protocol.TopicID(r.ReplicaDirectoryID); id != (protocol.TopicID{}) {
			m.DirectoryID = id.String()
		}
		if r.LogEndOffset >= 0 {
			m.Lag = max(0, end-r.LogEndOffset)
		}
		if m.LastFetch != nil {
			m.silent = max(0, now.Sub(*m.LastFetch))
		}
		for _, n := range nodes {
			if n.NodeID == r.ReplicaID {
				for _, l := range n.Listeners {
					m.Endpoints = append(m.Endpoints, l.Name+"://"+net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port))))
				}
			}
		}
		q.Replicas = append(q.Replicas, m)
	}
	for _, r := range p.CurrentVoters {
		role := roleVoter
		if r.ReplicaID == p.LeaderID {
			role = roleLeader
		}
		add(r, role)
	}
	for _, r := range p.Observers {
		add(r, roleObserver)
	}
	slices.SortFunc(q.Replicas, func(x, y quorumMember) int {
		switch {
		case x.voter() == y.voter():
			return cmp.Compare(x.ID, y.ID)
		case x.voter():
			return -1
		}
		return 1
	})
	return q
}

// timestamp is a time in milliseconds; nil when it is not known.
func timestamp(millis int64) *time.Time {
	if millis <= 0 {
		return nil
	}
	t := time.UnixMilli(millis).UTC()
	return &t
}

// voters counts the voters, and those of them that follow.
func (q *quorumState) voters() (all, following int) {
	for i := range q.Replicas {
		if m := &q.Replicas[i]; m.voter() {
			all++
			if m.following() {
				following++
			}
		}
	}
	return all, following
}
