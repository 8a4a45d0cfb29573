package diff

import (
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A difference that is there has to be found, wherever it is.
func TestCompare_FindsAPlantedDifference(t *testing.T) {
	session := func() *Session {
		return newSession(Target{Addr: "127.0.0.1:1", ControllerAddr: "127.0.0.1:2", DataDir: "/data"}, "diff-0000-")
	}
	answer := func(edit func(*kmsg.ProduceResponse)) []Entry {
		r := kmsg.NewPtrProduceResponse()
		r.Version = 9
		for _, topic := range []string{"a", "b"} {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic = "diff-0000-" + topic
			for p := range int32(2) {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.BaseOffset = p, 7
				rt.Partitions = append(rt.Partitions, rp)
			}
			r.Topics = append(r.Topics, rt)
		}
		edit(r)
		s := session()
		s.record("answer", s.tree(r))
		return s.transcript
	}
	tests := []struct {
		name string
		edit func(*kmsg.ProduceResponse)
		want string // path, empty when there is to be no difference
	}{
		{"nothing", func(*kmsg.ProduceResponse) {}, ""},
		{"throttle time may differ", func(r *kmsg.ProduceResponse) { r.ThrottleMillis = 9 }, ""},
		{"order may differ", func(r *kmsg.ProduceResponse) { r.Topics[0], r.Topics[1] = r.Topics[1], r.Topics[0] }, ""},
		{"error code", func(r *kmsg.ProduceResponse) { r.Topics[1].Partitions[1].ErrorCode = 3 }, "answer.Topics[Topic=diff-0000-b].Partitions[Partition=1].ErrorCode"},
		{"offset", func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions[0].BaseOffset = 8 }, "answer.Topics[Topic=diff-0000-a].Partitions[Partition=0].BaseOffset"},
		{"partition missing", func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions = r.Topics[0].Partitions[:1] }, "answer.Topics[Topic=diff-0000-a].Partitions[Partition=1]"},
		{"partition twice", func(r *kmsg.ProduceResponse) {
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
		}, "answer.Topics[Topic=diff-0000-a].Partitions[Partition=0#2]"},
		{"null message", func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions[0].ErrorMessage = ptr("") }, "answer.Topics[Topic=diff-0000-a].Partitions[Partition=0].ErrorMessage"},
		{"append time set", func(r *kmsg.ProduceResponse) { r.Topics[0].Partitions[0].LogAppendTime = 5 }, "answer.Topics[Topic=diff-0000-a].Partitions[Partition=0].LogAppendTime"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Compare("case", answer(func(*kmsg.ProduceResponse) {}), answer(tt.edit))
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("Compare = %v, want no difference", got)
			case tt.want != "" && (len(got) != 1 || got[0].Path != tt.want):
				t.Errorf("Compare = %v, want one difference at %s", got, tt.want)
			}
		})
	}
}

func TestCompare_FindsAMissingStep(t *testing.T) {
	a := []Entry{{Step: "one", Tree: "closed"}, {Step: "two", Tree: "closed"}}
	if got := Compare("case", a, a[:1]); len(got) != 1 {
		t.Errorf("Compare = %v, want one difference", got)
	}
	if got := Compare("case", a[:1], []Entry{{Step: "one", Tree: "silent"}}); len(got) != 1 {
		t.Errorf("Compare = %v, want one difference", got)
	}
}

func TestCases_HaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cases() {
		if seen[c.Name] {
			t.Errorf("two cases are called %q", c.Name)
		}
		seen[c.Name] = true
	}
	if len(seen) < 1000 {
		t.Errorf("%d cases, want at least 1000", len(seen))
	}
}

func TestExpectations_HaveReasons(t *testing.T) {
	if _, err := Expectations(); err != nil {
		t.Fatal(err)
	}
	_, err := parseExpectations("a | b\n")
	if err == nil || !strings.Contains(err.Error(), "expected.txt:1") {
		t.Errorf("an entry without a reason: got %v, want an error that names the line", err)
	}
	list, err := parseExpectations("# note\nProduce* | *.ErrorMessage | <nil> | * | ours says more\n")
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v, want one entry", list, err)
	}
	if !list[0].matches(Difference{Case: "Produce/x v3", Path: "answer.Topics[0].ErrorMessage", A: "<nil>", B: "x"}) || list[0].matches(Difference{Case: "Fetch", Path: "ErrorMessage"}) {
		t.Error("the patterns do not match as they should")
	}
}

func TestBatch_IsAValidBatch(t *testing.T) {
	for codec := range int16(5) {
		b := spec{records: records("a", "b"), codec: codec}.batch()
		s := newSession(Target{DataDir: "/data", Addr: "a", ControllerAddr: "b"}, "diff-0000-")
		got, ok := s.batches(b).([]any)
		if !ok || len(got) != 1 {
			t.Fatalf("codec %d: decoded as %v", codec, got)
		}
		if m := got[0].(map[string]any); m["crc"] != true || m["NumRecords"] != int64(2) {
			t.Errorf("codec %d: decoded as %v", codec, m)
		}
	}
}

// The table in docs/compatibility.md is the list in expected.txt: `compat differences` writes it.
func TestExpectations_AreInTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	list, err := Expectations()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), beginMark+Markdown(list)+endMark) {
		t.Error("docs/compatibility.md does not show expected.txt as it is: run `go run ./cmd/compat differences`")
	}
}

func TestLooksRandom(t *testing.T) {
	for id, want := range map[string]bool{
		"pkJghtTKSgKcXQvIgHSBBg": true,
		"3XwgIFQoSDqBgyv3v9lqSQ": true,
		"UnknownServerException": false,
		"abcdefghijklmnopqrstug": false,
		"a-word-of-22-letters--": false,
	} {
		if got := looksRandom(id); got != want {
			t.Errorf("%s: got %v, want %v", id, got, want)
		}
	}
}
