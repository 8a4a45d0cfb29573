package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/log/vfs"
)

func TestParseFrom(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		in   string
		want position
		bad  bool
	}{
		{in: "start", want: position{start: true}},
		{in: "end", want: position{end: true}},
		{in: "17", want: position{offset: 17}},
		{in: "0", want: position{}},
		{in: "-10", want: position{end: true, back: 10}},
		{in: "-0", want: position{end: true}},
		{in: "@1767225600000", want: position{timed: true, millis: 1767225600000}},
		{in: "@2h", want: position{timed: true, millis: now.Add(-2 * time.Hour).UnixMilli()}},
		{in: "@2026-01-30T12:00:00Z", want: position{timed: true, millis: now.Add(-24 * time.Hour).UnixMilli()}},
		{in: "@yesterday", bad: true},
		{in: "@", bad: true},
		{in: "", bad: true},
		{in: "1.5", bad: true},
		{in: "@-5", bad: true},
	}
	for _, tt := range tests {
		got, err := parseFrom(tt.in, now)
		if (err != nil) != tt.bad {
			t.Errorf("%q: error %v", tt.in, err)
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(position{})); diff != "" && !tt.bad {
			t.Errorf("%q: %s", tt.in, diff)
		}
	}
}

func TestExplain_ExitCodes(t *testing.T) {
	tests := map[error]int{
		kerr.UnknownTopicOrPartition: codeNotFound, kerr.TopicAuthorizationFailed: codeDenied, kerr.RequestTimedOut: codeUnreachable, kerr.TopicAlreadyExists: codeConflict,
		kerr.InvalidConfig: codeUsage, kerr.UnknownServerError: codeFailed, errors.New("x"): codeFailed, kgo.ErrRecordTimeout: codeUnreachable,
		errors.New(`unknown command "x" for "dmq"`): codeUsage, usage("", "x"): codeUsage, errors.Join(usage("", "x"), nil): codeUsage,
	}
	for err, want := range tests {
		if got := explain(err).code; got != want {
			t.Errorf("%v: exit %d, want %d", err, got, want)
		}
	}
}

func TestSeveral(t *testing.T) {
	missing, exists := &failure{code: codeNotFound, what: "a"}, &failure{code: codeConflict, what: "b"}
	tests := []struct {
		name      string
		succeeded int
		failures  []*failure
		code      int
	}{
		{"one alone stands for itself", 0, []*failure{missing}, codeNotFound},
		{"all alike keep their code", 0, []*failure{missing, missing}, codeNotFound},
		{"all failed differently", 0, []*failure{missing, exists}, codeFailed},
		{"some succeeded", 1, []*failure{missing}, codePartly},
	}
	for _, tt := range tests {
		if got := explain(several(tt.succeeded, tt.failures)).code; got != tt.code {
			t.Errorf("%s: exit %d, want %d", tt.name, got, tt.code)
		}
	}
	if err := several(2, nil); err != nil {
		t.Error(err)
	}
}

func TestSeeds(t *testing.T) {
	for in, want := range map[string]string{"a:1, b": "a:1 b:9092", "[::1]:5": "[::1]:5", "[::1]": "[::1]:9092", "": "!", "a:b:c": "!", " , ": "!"} {
		got, err := (&app{brokers: in}).seeds()
		if want == "!" {
			if err == nil {
				t.Errorf("%q: accepted as %v", in, got)
			}
		} else if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: got %v, %v; want %s", in, got, err, want)
		}
	}
}

func TestLineReader(t *testing.T) {
	read := lineReader(strings.NewReader("a\n\nb\r\nlast"))
	var got []string
	for {
		r, err := read()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			break
		}
		got = append(got, string(r.Value))
	}
	if diff := cmp.Diff([]string{"a", "", "b\r", "last"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestJSONRecord_RoundTrip(t *testing.T) {
	records := []*kgo.Record{
		{Topic: "t", Partition: 1, Offset: 2, Timestamp: time.UnixMilli(1700000000123).UTC(), Key: []byte("k"), Value: []byte("é"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{0xff}}, {Key: "n"}}},
		{Topic: "t", Timestamp: time.UnixMilli(-1).UTC(), Value: []byte{}, Key: nil},
		{Topic: "t", Timestamp: time.UnixMilli(1 << 52).UTC(), Value: []byte{0, 0xfe}}, // the year is beyond 9999
	}
	for _, want := range records {
		line := appendJSON(nil, want)
		got, err := jsonReader(bytes.NewReader(line), true)()
		if want.Timestamp.Year() > 9999 {
			if err == nil {
				t.Errorf("%s: a year of six digits is read", line)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if !bytes.Equal(got.Key, want.Key) || !bytes.Equal(got.Value, want.Value) || (got.Key == nil) != (want.Key == nil) || (got.Value == nil) != (want.Value == nil) ||
			got.Partition != want.Partition || !got.Timestamp.Equal(want.Timestamp) || cmp.Diff(want.Headers, got.Headers) != "" {
			t.Errorf("%s: got %+v, want %+v", line, got, want)
		}
	}
}

func TestYAML_KeepsOrderAndTypes(t *testing.T) {
	var out bytes.Buffer
	err := writeYAML(&out, []configEntry{{Key: "b", Value: nil, Source: "1.5"}, {Key: "a", Value: func() *string { s := "true"; return &s }(), Source: "x: y"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "- key: b\n  value: null\n  source: \"1.5\"\n- key: a\n  value: \"true\"\n  source: 'x: y'\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func logLines(t *testing.T, o logOptions, log func(*slog.Logger)) string {
	t.Helper()
	var out bytes.Buffer
	if o.levels == nil {
		o.levels = newLogLevels(slog.LevelInfo)
	}
	if o.now == nil {
		o.now = time.Now
	}
	log(newLogger(&out, o))
	return out.String()
}

func TestLogger_Forms(t *testing.T) {
	log := func(l *slog.Logger) {
		l.With(slog.String("component", "kraft")).Info("became leader", slog.String("event", "raft.leader"), slog.Int("term", 1))
	}
	got := logLines(t, logOptions{format: "console", markers: true}, log)
	if !strings.HasSuffix(got, " INF 🎖️ became leader term=1\n") {
		t.Errorf("console: %q", got)
	}
	if got := logLines(t, logOptions{format: "console"}, log); !strings.HasSuffix(got, " INF became leader term=1\n") {
		t.Errorf("console without markers: %q", got)
	}
	got = logLines(t, logOptions{format: "json"}, log)
	if !strings.Contains(got, `"level":"INFO","msg":"became leader","subsystem":"kraft","event":"raft.leader","term":1}`) || !strings.Contains(got, `Z",`) {
		t.Errorf("json: %s", got)
	}
	if got := logLines(t, logOptions{format: "logfmt"}, log); !strings.Contains(got, `msg="became leader" subsystem=kraft event=raft.leader term=1`) {
		t.Errorf("logfmt: %s", got)
	}
}

func TestLogger_MarkersFollowLevelAndEvent(t *testing.T) {
	for event, want := range map[string]string{"node.start": "🚀", "topic.create": "📝", "broker.heartbeat.missed": "💓", "node.ready": "✅", "node.stop": "👋", "x.y": "", "": ""} {
		if got := marker(slog.LevelInfo, event); got != want {
			t.Errorf("%q: got %q, want %q", event, got, want)
		}
	}
	if marker(slog.LevelWarn, "node.start") != "⚠️" || marker(slog.LevelError, "") != "❌" {
		t.Error("a warning or an error has the wrong marker")
	}
}

func TestLogLevels(t *testing.T) {
	levels := newLogLevels(slog.LevelInfo)
	out := logLines(t, logOptions{format: "json", levels: levels}, func(l *slog.Logger) {
		kraft, wire := l.With(slog.String("component", "kraft")), l.With(slog.String("component", "listener"))
		kraft.Debug("hidden 1")
		if err := levels.SetLevel("kraft", "DEBUG"); err != nil {
			t.Error(err)
		}
		kraft.Debug("shown 1")
		wire.Debug("hidden 2")
		if err := levels.SetLevel("root", "ERROR"); err != nil {
			t.Error(err)
		}
		wire.Warn("hidden 3")
		kraft.Debug("shown 2")
		if err := levels.ResetLevel("kraft"); err != nil {
			t.Error(err)
		}
		kraft.Warn("hidden 4")
		if err := levels.ResetLevel("root"); err != nil {
			t.Error(err)
		}
		wire.Info("shown 3")
	})
	if strings.Contains(out, "hidden") || strings.Count(out, "shown") != 3 {
		t.Error(out)
	}
	if diff := cmp.Diff(map[string]string{"root": "INFO", "kraft": "INFO", "listener": "INFO"}, levels.Levels()); diff != "" {
		t.Error(diff)
	}
	if levels.SetLevel("nobody", "INFO") == nil || levels.SetLevel("kraft", "LOUD") == nil || levels.ResetLevel("nobody") == nil {
		t.Error("a logger or level that does not exist is accepted")
	}
}

func TestLogger_HoldsBackRepeatedWarnings(t *testing.T) {
	now := time.Now()
	out := logLines(t, logOptions{format: "json", now: func() time.Time { return now }}, func(l *slog.Logger) {
		for range 5 {
			l.Warn("disk is slow")
		}
		l.Warn("other")
		for _, key := range []string{"a", "b", "a"} {
			l.Warn("a setting", slog.String("key", key))
		}
		for i := range 2 * repeatSubjects {
			l.With(slog.Int("partition", i)).Warn("cut", slog.Any("err", errors.New("torn")))
			l.With(slog.Int("partition", i)).Warn("cut", slog.Any("err", errors.New("torn otherwise")))
		}
		now = now.Add(repeatWindow)
		l.Warn("disk is slow")
		l.With(slog.Int("partition", repeatSubjects)).Warn("cut")
		l.Error("always")
		l.Error("always")
	})
	if strings.Count(out, `"key":"a"`) != 1 || strings.Count(out, `"key":"b"`) != 1 {
		t.Errorf("of two properties one is not told: %s", out)
	}
	if n := strings.Count(out, `"msg":"cut"`); n != repeatSubjects+1 || !strings.Contains(out, `"partition":99`) || !strings.Contains(out, `"repeated":200`) {
		t.Errorf("%d warnings about 200 partitions, and one later: %s", n, out)
	}
	if strings.Count(out, "disk is slow") != 2 || !strings.Contains(out, `"repeated":4`) || strings.Count(out, "always") != 2 || !strings.Contains(out, "other") {
		t.Error(out)
	}
}

func TestStartFailure_SaysWhatToDo(t *testing.T) {
	c, _, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	bind := func(err error) error { return &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)} }
	for name, test := range map[string]struct {
		err  error
		code int
		next string
	}{
		"port in use":        {bind(syscall.EADDRINUSE), codeConflict, "Choose another port"},
		"foreign address":    {bind(syscall.EADDRNOTAVAIL), codeUsage, "no address of this machine"},
		"privileged port":    {bind(syscall.EACCES), codeDenied, "Ports below 1024"},
		"folder not allowed": {&os.PathError{Op: "mkdir", Path: "x", Err: syscall.EACCES}, codeDenied, "Choose another directory"},
		"folder is a file":   {&os.PathError{Op: "open", Path: "x", Err: syscall.ENOTDIR}, codeUsage, "Name a directory"},
		"folder in use":      {fmt.Errorf("open: %w", vfs.ErrLocked), codeConflict, "Another node uses"},
		"disk full":          {&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, codeFailed, "Make room"},
	} {
		if f := explain(startFailure(c, fmt.Errorf("start: %w", test.err))); f.code != test.code || !strings.Contains(f.next, test.next) {
			t.Errorf("%s: exit %d, %q", name, f.code, f.next)
		}
	}
}

func TestFacts_SayWhatIsInsecure(t *testing.T) {
	load := func(set ...string) *config.Config {
		c, _, err := config.Load(config.Sources{Set: set})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a := &app{}
	if f := a.facts(load(), bound{kafka: []string{"127.0.0.1:9092"}, admin: "127.0.0.1:9091"}); f.insecure != "no TLS and no login; only this machine can connect" || f.admin != "http://127.0.0.1:9091" || !strings.HasPrefix(f.durable, "every acknowledged record") {
		t.Errorf("%+v", f)
	}
	f := a.facts(load("listeners=PLAINTEXT://:9092", "dmq.admin.listen=:9091", "log.flush.interval.messages=9223372036854775807"), bound{kafka: []string{"[::]:9092"}})
	if f.insecure != "no TLS and no login: whoever can reach [::]:9092 can read, write and delete everything; the admin port is open to the network too" || !strings.HasPrefix(f.durable, "the operating system decides") {
		t.Errorf("%+v", f)
	}
}

func TestWrap(t *testing.T) {
	if diff := cmp.Diff([]string{"aa bb", "cccccccc", "d"}, wrap("aa bb cccccccc d", 6)); diff != "" {
		t.Error(diff)
	}
}

func TestSoftwareVersion_IsAcceptedByApiVersions(t *testing.T) {
	defer func(v string) { version = v }(version)
	for in, want := range map[string]string{"1.2.3": "1.2.3", "v1+dirty_x": "v1-dirty-x", "--": "dev"} {
		version = in
		if got := softwareVersion(); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestUntilDecided(t *testing.T) {
	unknown := &failure{what: "topic orders: timed out", cause: kerr.RequestTimedOut}
	tests := []struct {
		name    string
		answers []error
		want    error
	}{
		{name: "done", answers: []error{nil}},
		{name: "the controller changes", answers: []error{unknown, kerr.NotController, unknown, nil}},
		{name: "refused", answers: []error{unknown, kerr.InvalidConfig}, want: kerr.InvalidConfig},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			err := untilDecided(t.Context(), time.Millisecond, func() error {
				asked++
				return tt.answers[asked-1]
			})
			if !errors.Is(err, tt.want) || asked != len(tt.answers) {
				t.Errorf("%v after %d answers of %d", err, asked, len(tt.answers))
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := untilDecided(ctx, time.Hour, func() error {
		cancel()
		return unknown
	})
	if !errors.Is(err, unknown) {
		t.Errorf("without a decision in time: %v", err)
	}
}

// A broker may hold replicas that whoever is asked for the cluster's state does not know of yet.
func TestClusterState_KnowsReplicas(t *testing.T) {
	s := &clusterState{Partitions: []partitionState{{Topic: "a", Replicas: []int32{1, 2}}, {Topic: "a", Partition: 1, Replicas: []int32{2}}}}
	tests := []struct {
		held []int32 // of topic a
		want bool
	}{
		{want: true},
		{held: []int32{0}, want: true},
		{held: []int32{0, 1}}, // the other one is known, and not there
		{held: []int32{2}},    // made a moment ago
	}
	for _, tt := range tests {
		partitions := make(map[int32]kadm.DescribedLogDirPartition)
		for _, p := range tt.held {
			partitions[p] = kadm.DescribedLogDirPartition{Topic: "a", Partition: p}
		}
		dirs := kadm.DescribedLogDirs{"/data": {Topics: kadm.DescribedLogDirTopics{"a": partitions}}}
		if got := s.knowsReplicas(1, dirs); got != tt.want {
			t.Errorf("holds %v: %v", tt.held, got)
		}
	}
}
