package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/distributedmq/dmq/admin"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// fakeGroups knows one group, and has names for what may go wrong.
type fakeGroups struct{ known string }

func (f fakeGroups) find(group string) error {
	switch group {
	case f.known:
		return nil
	case "elsewhere", "nowhere":
		return errcode.New(errcode.KindNotCoordinator, "not here")
	case "loading":
		return errcode.New(errcode.KindCoordinatorLoadInProgress, "loading")
	case "slow":
		return context.DeadlineExceeded
	case "":
		return errcode.New(errcode.KindInvalidGroupID, "the group id is empty")
	case "broken":
		return errors.New("no kind")
	default:
		return errcode.New(errcode.KindGroupIDNotFound, "no such group")
	}
}

func (f fakeGroups) List(context.Context) ([]admin.Group, error) {
	return []admin.Group{{Name: f.known, Type: "classic", State: "Stable", ProtocolType: "consumer", Members: 1}}, nil
}

func (f fakeGroups) Describe(_ context.Context, group string) (admin.GroupDetail, error) {
	return admin.GroupDetail{Group: admin.Group{Name: group, Type: "classic", State: "Empty"}, Coordinator: 1}, f.find(group)
}

func (f fakeGroups) Timeline(_ context.Context, group string) ([]admin.GroupEvent, error) {
	at := time.Date(2026, 1, 31, 10, 14, 2, 113_000_000, time.UTC)
	return []admin.GroupEvent{{Time: at, Kind: "rebalance-completed", Epoch: 3, TookSeconds: 0.25}}, f.find(group)
}

func (f fakeGroups) Coordinator(group string) (int32, bool) { return 2, group == "elsewhere" }

func startGroups(t *testing.T, g admin.Groups) string {
	t.Helper()
	s := admin.New(admin.Options{Address: "127.0.0.1:0", Groups: g, Listen: new(net.ListenConfig).Listen, Logger: slog.New(slog.DiscardHandler)})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr().String()
}

func get(t *testing.T, url string) (status int, contentType, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(text)
}

func TestGroups(t *testing.T) {
	url := startGroups(t, fakeGroups{known: "billing/é"})
	for _, tt := range []struct {
		name, path string
		status     int
		parts      []string
	}{
		{"a list", "/v1/groups", 200, []string{`{"groups":[{"name":"billing/é","type":"classic","state":"Stable","protocol_type":"consumer","members":1}]}`}},
		{"one group: arrays are never null", "/v1/groups/billing%2F%C3%A9", 200, []string{`"coordinator":1`, `"behind_seconds":null`, `"partitions":[]`}},
		{"its timeline", "/v1/groups/billing%2F%C3%A9/timeline", 200, []string{`"group":"billing/é"`, `"time":"2026-01-31T10:14:02.113Z"`, `"took_seconds":0.25`}},
		{"an unknown group", "/v1/groups/gone/timeline", 404, []string{`"detail":"group \"gone\" not found"`, `"kafka_error":"GROUP_ID_NOT_FOUND"`, `"next":"List all: dmq group list"`}},
		{"another node's group", "/v1/groups/elsewhere/timeline", 503, []string{`"kafka_error":"NOT_COORDINATOR"`, `"next":"Ask node 2, which does"`}},
		{"nobody's group", "/v1/groups/nowhere", 503, []string{`No node does at the moment`}},
		{"a coordinator that loads", "/v1/groups/loading", 503, []string{`"kafka_error":"COORDINATOR_LOAD_IN_PROGRESS"`}},
		{"a coordinator that does not answer", "/v1/groups/slow", 503, []string{`"kafka_error":"REQUEST_TIMED_OUT"`}},
		{"a fault without a kind", "/v1/groups/broken", 500, []string{`"kafka_error":"UNKNOWN_SERVER_ERROR"`}},
		{"no name", "/v1/groups//timeline", 307, nil},
		{"a path above", "/v1/groups/../../etc/passwd", 307, nil},
		{"an escaped path above", "/v1/groups/..%2F..%2Fetc%2Fpasswd/timeline", 404, []string{`group \"../../etc/passwd\" not found`}},
		{"bytes that are no text", "/v1/groups/%ff%00%0a/timeline", 404, []string{"not found"}},
		{"a long name is not echoed", "/v1/groups/" + strings.Repeat("x", 40_000) + "/timeline", 404, []string{strings.Repeat("x", 100) + "…"}},
		{"more than there is", "/v1/groups/a/b/c", 404, []string{"there is nothing at"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, contentType, body := get(t, url+tt.path)
			if status != tt.status {
				t.Errorf("got %d, want %d: %.300s", status, tt.status, body)
			}
			for _, part := range tt.parts {
				if !strings.Contains(body, part) {
					t.Errorf("got %.300s, want %s in it", body, part)
				}
			}
			if len(body) > 1000 {
				t.Errorf("the answer has %d bytes", len(body))
			}
			if status >= 400 {
				var p struct{ Status int }
				if err := json.Unmarshal([]byte(body), &p); err != nil || p.Status != status || contentType != "application/problem+json" {
					t.Errorf("%s: %v, status %d in the body", contentType, err, p.Status)
				}
			}
		})
	}
}

func TestGroups_WithoutThem(t *testing.T) {
	if status, _, _ := get(t, startGroups(t, nil)+"/v1/groups"); status != http.StatusNotFound {
		t.Errorf("got %d, want 404", status)
	}
}
