package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[string]time.Duration{
		"2h": 2 * time.Hour, "1h30m": 90 * time.Minute, "7d": 7 * day, "1d12h": day + 12*time.Hour, "0s": 0,
		"PT2H": 2 * time.Hour, "P1D": day, "P1DT2H30M": day + 150*time.Minute, "PT1.5S": 1500 * time.Millisecond, "PT0S": 0,
	} {
		if got, err := parseDuration(in); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "P", "PT", "P1DT", "2", "-2h", "2h1d", "d", "99999999d", "999999d", "999999999h", "P1W", "PT-2H", "yesterday"} {
		if got, err := parseDuration(in); explain(orNone(err)).code != codeUsage {
			t.Errorf("%q: got %v, %v; want a usage error", in, got, err)
		}
	}
}

// orNone keeps explain from nil.
func orNone(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

func TestParseSelections(t *testing.T) {
	got, err := parseSelections([]string{"orders", "refunds:0,2", "orders:7"})
	want := []selection{{topic: "orders"}, {topic: "refunds", partitions: []int32{0, 2}}, {topic: "orders", partitions: []int32{7}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(selection{})); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for _, in := range []string{"", ":0", "orders:", "orders:a", "orders:0,", "orders:-1", "orders:0:1", "orders:99999999999"} {
		if got, err := parseSelections([]string{in}); explain(orNone(err)).code != codeUsage {
			t.Errorf("%q: got %v, %v; want a usage error", in, got, err)
		}
	}
}

func TestReset_ReadFile(t *testing.T) {
	tests := []struct {
		name, file string
		want       map[topicPartition]int64
		fault      string
	}{
		{name: "Kafka's form", file: "orders,0,17\n\"orders\",1,0\n", want: map[topicPartition]int64{{"orders", 0}: 17, {"orders", 1}: 0}},
		{name: "with groups", file: "billing,orders,0,17\naudit,orders,0,3\n", want: map[topicPartition]int64{{"orders", 0}: 17}},
		{name: "comments, empty lines and spaces", file: "# before\n\norders, 0, 17\n", want: map[topicPartition]int64{{"orders", 0}: 17}},
		{name: "nothing", file: "", fault: "has no offsets"},
		{name: "another group only", file: "audit,orders,0,3\n", fault: "has no offsets"},
		{name: "a header", file: "topic,partition,offset\n", fault: "line 1 is not"},
		{name: "a negative offset", file: "orders,0,1\norders,1,-1\n", fault: "line 2 is not"},
		{name: "a partition twice", file: "orders,0,1\norders,0,2\n", fault: "a second time"},
		{name: "too few fields", file: "orders,0\n", fault: "line 1 is not"},
		{name: "a quote that does not end", file: "\"orders,0,1\n", fault: "extraneous or missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &app{files: func(string) ([]byte, error) { return []byte(tt.file), nil }}
			r := &reset{a: a, group: "billing", o: resetOptions{fromFile: "plan.csv"}}
			got, err := r.readFile()
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if tt.fault == "" && err != nil || tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
				t.Errorf("error %v, want %q", err, tt.fault)
			}
		})
	}
}

func TestReset_Plan(t *testing.T) {
	at := func(n int64) *int64 { return &n }
	offsets := func(n int64) kadm.ListedOffsets {
		return kadm.ListedOffsets{"orders": {0: {Topic: "orders", Offset: n}}}
	}
	tests := []struct {
		name, mode string
		o          resetOptions
		committed  int64 // -1: nothing
		timed      int64
		want       plannedOffset
		fault      string
	}{
		{name: "earliest", mode: "to-earliest", committed: 40, want: plannedOffset{Current: at(40), New: 10}},
		{name: "latest", mode: "to-latest", committed: -1, want: plannedOffset{New: 50}},
		{name: "offset", mode: "to-offset", o: resetOptions{toOffset: 20}, committed: -1, want: plannedOffset{New: 20}},
		{name: "an offset before the start", mode: "to-offset", o: resetOptions{toOffset: -3}, committed: -1, want: plannedOffset{New: 10, Note: "-3 is before the start"}},
		{name: "an offset beyond the end", mode: "to-offset", o: resetOptions{toOffset: 51}, committed: -1, want: plannedOffset{New: 50, Note: "51 is beyond the end"}},
		{name: "current", mode: "to-current", committed: 40, want: plannedOffset{Current: at(40), New: 40}},
		{name: "current that retention deleted", mode: "to-current", committed: 4, want: plannedOffset{Current: at(4), New: 10, Note: "4 is before the start"}},
		{name: "current without one", mode: "to-current", committed: -1, want: plannedOffset{New: 50, Note: "nothing is committed"}},
		{name: "shift back", mode: "shift-by", o: resetOptions{shiftBy: -5}, committed: 40, want: plannedOffset{Current: at(40), New: 35}},
		{name: "shift too far", mode: "shift-by", o: resetOptions{shiftBy: 1<<63 - 1}, committed: 40, want: plannedOffset{Current: at(40), New: 50, Note: "9223372036854775807 is beyond the end"}},
		{name: "shift far back", mode: "shift-by", o: resetOptions{shiftBy: -1 << 63}, committed: 40, want: plannedOffset{Current: at(40), New: 10, Note: "-9223372036854775768 is before the start"}},
		{name: "shift nothing", mode: "shift-by", o: resetOptions{shiftBy: 1}, committed: -1, fault: "no committed offset to shift"},
		{name: "a time", mode: "to-datetime", committed: -1, timed: 30, want: plannedOffset{New: 30}},
		{name: "a time after the last record", mode: "by-duration", committed: -1, timed: 50, want: plannedOffset{New: 50, Note: "no record since then"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &reset{group: "billing", mode: tt.mode, o: tt.o, starts: offsets(10), ends: offsets(50), timed: offsets(tt.timed)}
			if tt.committed >= 0 {
				r.committed.Add(kadm.OffsetResponse{Offset: kadm.Offset{Topic: "orders", At: tt.committed}})
			}
			tt.want.Topic = "orders"
			got, err := r.plan(topicPartition{"orders", 0})
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("error %v, want %q", err, tt.fault)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

func TestLabel(t *testing.T) {
	instance := "billing-1"
	members := []describedMember{
		{MemberID: "app-0b8a1f52-aaaa", ClientID: "app"},
		{MemberID: "app-77c0e1d2-bbbb", ClientID: "app"},
		{MemberID: "x", ClientID: "other"},
		{MemberID: "billing-1-123", InstanceID: &instance, ClientID: "app"},
		{MemberID: "kJ2", ClientID: ""},
	}
	label(members)
	var got []string
	for _, m := range members {
		got = append(got, m.label)
	}
	if diff := cmp.Diff([]string{"app/0b8a1f52", "app/77c0e1d2", "other", "billing-1", "kJ2"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLag_AsPeopleReadIt(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0s", 0.04: "0.0s", 1.43: "1.4s", 42.9: "42s", 192: "3m12s", 5*3600 + 120: "5h02m", 3*86400 + 4*3600: "3d04h"} {
		if got := behindText(&seconds); got != want {
			t.Errorf("%v: got %s, want %s", seconds, got, want)
		}
	}
	if got := behindText(nil); got != "-" {
		t.Errorf("unknown: got %s", got)
	}
	for want, values := range map[string][]int64{"": {}, "▁▁▁": {0, 0, 0}, "▁▄█": {0, 50, 100}, "█": {7}} {
		if got := sparkline(values, true); got != want {
			t.Errorf("%v: got %q, want %q", values, got, want)
		}
	}
	if got := sparkline([]int64{0, 100}, false); got != "_#" {
		t.Errorf("ASCII: got %q", got)
	}
}

func TestUnreadTimes_Behind(t *testing.T) {
	n := func(n int64) *int64 { return &n }
	now := time.UnixMilli(1_700_000_000_000)
	u := newUnreadTimes()
	u.known[topicPartition{"orders", 0}] = unread{offset: 10, at: now.Add(-90 * time.Second)}
	tests := []struct {
		name string
		lag  partitionLag
		want *float64
	}{
		{"nothing is committed", partitionLag{Topic: "orders", End: n(20)}, nil},
		{"no lag", partitionLag{Topic: "orders", Committed: n(20), End: n(20), Lag: n(0)}, new(float64)},
		{"the record is known", partitionLag{Topic: "orders", Committed: n(10), Start: n(0), End: n(20), Lag: n(10)}, new(90.0)},
		{"retention passed the group", partitionLag{Topic: "orders", Committed: n(3), Start: n(10), End: n(20), Lag: n(17)}, new(90.0)},
		{"retention deleted all of it", partitionLag{Topic: "orders", Committed: n(3), Start: n(20), End: n(20), Lag: n(17)}, new(float64)},
		{"the group moved on since", partitionLag{Topic: "orders", Committed: n(11), Start: n(0), End: n(20), Lag: n(9)}, nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, u.behind(tt.lag, now)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

// TestRedraw: a sample takes the place of the one before, and never wraps or scrolls.
func TestRedraw(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out, size: func(any) (int, int) { return 30, 7 }, env: []string{"LANG=C"}}
	r := &redraw{l: &lagView{a: a}}
	s := lagSample{Group: "billing", State: "Stable", Members: 1}
	for p := range int32(9) {
		s.Partitions = append(s.Partitions, partitionLag{Topic: "a-rather-long-topic-name", Partition: p})
	}
	if err := r.show(s); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 6 || lines[5] != "6 more partitions below" {
		t.Errorf("got %d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	for _, l := range lines {
		if len(l) >= 30 {
			t.Errorf("%q wraps", l)
		}
	}
	out.Reset()
	if err := r.show(s); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "\x1b[6A\r\x1b[J") {
		t.Errorf("begins with %q", out.String()[:12])
	}
}

func TestFromAdmin(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.EscapedPath() {
		case "/v1/groups/a%2Fb/timeline":
			_, _ = w.Write([]byte(`{"group":"a/b","events":[]}`))
		case "/v1/groups/gone/timeline":
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"detail":"group \"gone\" not found","kafka_error":"GROUP_ID_NOT_FOUND","next":"List all: dmq group list"}`))
		case "/v1/groups/elsewhere/timeline":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"detail":"node 1 is not its coordinator","kafka_error":"NOT_COORDINATOR"}`))
		case "/v1/groups/page/timeline":
			_, _ = w.Write([]byte("<html>"))
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer srv.Close()
	a := &app{timeout: timeoutFlag(30 * time.Second)}
	for path, want := range map[string]int{
		"/v1/groups/a%2Fb/timeline": codeOK, "/v1/groups/gone/timeline": codeNotFound, "/v1/groups/elsewhere/timeline": codeUnreachable, "/v1/groups/page/timeline": codeFailed, "/": codeFailed,
	} {
		var answer groupTimeline
		err := a.fromAdmin(t.Context(), srv.URL+"/", path, &answer)
		if got := codeOf(err); got != want {
			t.Errorf("%s: exit %d (%v), want %d", path, got, err, want)
		}
	}
	for base, want := range map[string]int{"localhost:9091": codeUsage, "": codeUsage, "ftp://x": codeUsage, "http://127.0.0.1:1": codeUnreachable} {
		if got := codeOf(a.fromAdmin(t.Context(), base, "/", nil)); got != want {
			t.Errorf("%q: exit %d, want %d", base, got, want)
		}
	}
}

func codeOf(err error) int {
	if err == nil {
		return codeOK
	}
	return explain(err).code
}

func TestExplain_GroupErrors(t *testing.T) {
	for err, want := range map[error]int{
		kerr.GroupIDNotFound: codeNotFound, kerr.NonEmptyGroup: codeConflict, kerr.GroupSubscribedToTopic: codeConflict, kerr.UnknownMemberID: codeConflict,
		kerr.NotCoordinator: codeUnreachable, kerr.InvalidGroupID: codeUsage, kerr.GroupAuthorizationFailed: codeDenied,
	} {
		if got := explain(err).code; got != want {
			t.Errorf("%v: exit %d, want %d", err, got, want)
		}
	}
}

// TestPrintable: what clients chose does not reach the terminal as commands.
func TestPrintable(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out, err: &out, output: "table", color: "never"}
	if err := a.print(result{table: []grid{{title: "a\nb", header: []string{"MEMBER"}, rows: [][]any{{"x\x1b[2J\ny\u009b"}}}}}); err != nil {
		t.Fatal(err)
	}
	(&failure{what: "group \x07", why: "one\ntwo\r"}).print(a)
	want := "a\\nb\nMEMBER\nx\\x1b[2J\\ny\\u009b\nError: group \\a (exit 0)\n  one\n  two\\r\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}
