package api

import (
	"context"
	"net/http"
)

// RaftStatus is this node's part in the metadata quorum.
type RaftStatus struct {
	NodeID      int32   `json:"nodeId"`
	CurrentTerm int64   `json:"currentTerm"`
	State       string  `json:"state" enum:"FOLLOWER,CANDIDATE,LEADER"`
	Leader      bool    `json:"leader" doc:"whether this node believes that it leads"`
	IsLeader    bool    `json:"isLeader" doc:"the same"`
	LeaderID    int32   `json:"leaderId" doc:"-1: none is known"`
	CommitIndex int64   `json:"commitIndex"`
	LastApplied int64   `json:"lastApplied"`
	Voters      []int32 `json:"voters"`
	Observers   []int32 `json:"observers"`
}

// StateMachineStats is what the metadata hold.
type StateMachineStats struct {
	NodeID         int32    `json:"nodeId"`
	TopicCount     int      `json:"topicCount"`
	BrokerCount    int      `json:"brokerCount"`
	PartitionCount int      `json:"partitionCount"`
	AllTopicNames  []string `json:"allTopicNames"`
}

func (a *API) raftRoutes() []route {
	return []route{
		{
			method: http.MethodGet, path: "/raft/status", id: "getRaftStatus", summary: "This node's part in the metadata quorum",
			answer: RaftStatus{}, serve: get(a.raftStatus),
		},
		{
			method: http.MethodGet, path: "/raft/state-machine/stats", id: "getStateMachineStats", heavy: true, summary: "What the metadata of this node hold",
			answer: StateMachineStats{}, serve: get(a.stateMachineStats),
		},
		{
			method: http.MethodPost, path: "/raft/{call}", id: "raftCall", summary: "The original's raft calls over HTTP: nodes have a transport of their own",
			status: http.StatusGone, failures: []int{http.StatusGone}, serve: get(func(context.Context, *http.Request) (any, error) {
				return nil, fail(http.StatusGone, codeGone, "nodes no longer speak raft over HTTP: add this one to controller.quorum.voters; see %s/raft/status", Prefix)
			}),
		},
	}
}

func (a *API) raftStatus(context.Context, *http.Request) (any, error) {
	q, ok := a.o.Cluster.Quorum()
	if !ok {
		return nil, errStarting()
	}
	self := a.o.Cluster.NodeID()
	return RaftStatus{
		NodeID: int32(self), CurrentTerm: q.Term, State: q.State, Leader: q.Leader == self, IsLeader: q.Leader == self, LeaderID: int32(q.Leader),
		CommitIndex: q.CommitIndex, LastApplied: q.AppliedIndex, Voters: ids(q.Voters), Observers: ids(q.Observers),
	}, nil
}

func (a *API) stateMachineStats(context.Context, *http.Request) (any, error) {
	img, err := a.image()
	if err != nil {
		return nil, err
	}
	out := StateMachineStats{NodeID: int32(a.o.Cluster.NodeID()), TopicCount: img.Topics.Len(), BrokerCount: len(img.Brokers), AllTopicNames: topicNames(img)}
	for t := range img.Topics.Values() {
		out.PartitionCount += len(t.Partitions)
	}
	return out, nil
}
