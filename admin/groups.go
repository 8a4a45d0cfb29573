package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// Groups is what is shown of the groups that this node coordinates. Its errors carry an errcode.Kind.
type Groups interface {
	// List returns the groups, sorted by name.
	List(ctx context.Context) ([]Group, error)
	// Describe returns one group with its offsets.
	Describe(ctx context.Context, group string) (GroupDetail, error)
	// Timeline returns what is remembered of a group, the oldest event first.
	Timeline(ctx context.Context, group string) ([]GroupEvent, error)
	// Coordinator is the node that coordinates a group; ok is false when none does now.
	Coordinator(group string) (node int32, ok bool)
}

// Group is a group in a list.
type Group struct {
	Name         string `json:"name"`
	Type         string `json:"type"` // classic or consumer
	State        string `json:"state"`
	ProtocolType string `json:"protocol_type"`
	Members      int    `json:"members"`
}

// GroupDetail is a group and how far it has come. What is not known is null.
type GroupDetail struct {
	Group

	Coordinator   int32         `json:"coordinator"`
	TotalLag      int64         `json:"total_lag"`      // of the partitions whose end is known
	BehindSeconds *float64      `json:"behind_seconds"` // of the partition that is furthest behind
	Partitions    []GroupOffset `json:"partitions"`     // with a committed offset, sorted
}

// GroupOffset is how far a group has come in one partition.
type GroupOffset struct {
	Topic         string   `json:"topic"`
	Partition     int32    `json:"partition"`
	Committed     int64    `json:"committed"`
	End           *int64   `json:"end"`
	Lag           *int64   `json:"lag"`
	BehindSeconds *float64 `json:"behind_seconds"`
}

// GroupEvent is something that happened to a group.
type GroupEvent struct {
	Time        time.Time `json:"time"`
	Kind        string    `json:"kind"`
	Epoch       int32     `json:"epoch"` // the generation or group epoch after it
	MemberID    string    `json:"member_id"`
	InstanceID  string    `json:"instance_id"`
	ClientID    string    `json:"client_id"`
	Reason      string    `json:"reason"`
	TookSeconds float64   `json:"took_seconds"` // of rebalance-completed
}

// groupTimeout bounds how long a coordinator may take.
const groupTimeout = 10 * time.Second

func (s *Server) groupRoutes(mux *http.ServeMux) {
	g := s.o.Groups
	mux.HandleFunc("GET /v1/groups", s.answer(func(ctx context.Context, _ string) (any, error) {
		groups, err := g.List(ctx)
		return map[string]any{"groups": orEmpty(groups)}, err
	}))
	mux.HandleFunc("GET /v1/groups/{group}", s.answer(func(ctx context.Context, name string) (any, error) {
		d, err := g.Describe(ctx, name)
		d.Partitions = orEmpty(d.Partitions)
		return d, err
	}))
	mux.HandleFunc("GET /v1/groups/{group}/timeline", s.answer(func(ctx context.Context, name string) (any, error) {
		events, err := g.Timeline(ctx, name)
		return map[string]any{"group": name, "events": orEmpty(events)}, err
	}))
}

// orEmpty makes no list an empty one: a JSON array is never null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// answer serves what get returns for the group of the path.
func (s *Server) answer(get func(ctx context.Context, group string) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), groupTimeout)
		defer cancel()
		name := r.PathValue("group")
		body, err := get(ctx, name)
		if err != nil {
			writeProblem(w, s.groupProblem(name, err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(body) // the peer may be gone
	}
}

// groupProblem words what went wrong with a group.
func (s *Server) groupProblem(name string, err error) problem {
	code := errcode.Of(err)
	p := problem{Status: http.StatusInternalServerError, Detail: err.Error(), KafkaError: errcode.Name(code)}
	switch errcode.Kind(code) {
	case errcode.KindGroupIDNotFound:
		p.Status, p.Detail = http.StatusNotFound, fmt.Sprintf("group %q not found", short(name))
		p.Next = "List all: dmq group list"
	case errcode.KindInvalidGroupID:
		p.Status, p.Detail = http.StatusBadRequest, fmt.Sprintf("%q cannot be a group's name", short(name))
	case errcode.KindNotCoordinator:
		p.Status, p.Detail = http.StatusServiceUnavailable, fmt.Sprintf("this node does not coordinate group %q", short(name))
		p.Next = "No node does at the moment: try again"
		if node, ok := s.o.Groups.Coordinator(name); ok {
			p.Next = fmt.Sprintf("Ask node %d, which does", node)
		}
	case errcode.KindCoordinatorLoadInProgress, errcode.KindCoordinatorNotAvailable, errcode.KindRequestTimedOut:
		p.Status, p.Next = http.StatusServiceUnavailable, "Try again: the coordinator is not ready yet"
	default: // a fault of this node
	}
	return p
}

// maxShown is how much of a name that may be anything is shown.
const maxShown = 100

func short(name string) string {
	runes := []rune(name)
	if len(runes) <= maxShown {
		return name
	}
	return string(runes[:maxShown]) + "…"
}
