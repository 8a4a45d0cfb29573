package logdir

import (
	"bytes"
	"strings"
	"testing"

	"github.com/distributedmq/dmq/protocol"
)

const unique = "0123456789abcdef0123456789abcdef"

func TestClassify(t *testing.T) {
	cases := []struct {
		name string
		kind folderKind
		tp   string
	}{
		{"t-0", folderPartition, "t-0"},
		{"my.topic_name-x-12", folderPartition, "my.topic_name-x-12"},
		{"__consumer_offsets-49", folderPartition, "__consumer_offsets-49"},
		{"t-2147483647", folderPartition, "t-2147483647"},
		{"t-delete-0", folderPartition, "t-delete-0"},
		{"__cluster_metadata-0", folderMetadata, ""},
		{"__dmq_metadata-0", folderMetadata, ""},
		{"t-0." + unique + "-delete", folderDeleted, "t-0"},
		{"t-0." + unique + "-stray", folderStray, "t-0"},
		{"t-0." + unique + "-future", folderFuture, "t-0"},
		{"a.b-3." + unique + "-delete", folderDeleted, "a.b-3"},
		{"t-0." + unique[1:] + "-delete", folderUnknown, ""},
		{"t-0." + unique + "0-delete", folderUnknown, ""},
		{"t-0.g" + unique[1:] + "-delete", folderUnknown, ""},
		{"t-0-delete", folderUnknown, ""},
		{"." + unique + "-delete", folderUnknown, ""},
		{"t." + unique + "-delete", folderUnknown, ""},
		{"t-0" + unique + "-delete", folderUnknown, ""},
		{"t", folderUnknown, ""},
		{"t-", folderUnknown, ""},
		{"-0", folderUnknown, ""},
		{"t--1", folderPartition, "t--1"}, // topic "t-", partition 1
		{"t-00", folderUnknown, ""},
		{"t-01", folderUnknown, ""},
		{"t-+1", folderUnknown, ""},
		{"t-2147483648", folderUnknown, ""},
		{"t t-0", folderUnknown, ""},
		{"lost+found", folderUnknown, ""},
		{"remote-log-index-cache", folderUnknown, ""},
		{"..-0", folderUnknown, ""},
		{strings.Repeat("a", 249) + "-0", folderPartition, strings.Repeat("a", 249) + "-0"},
		{strings.Repeat("a", 250) + "-0", folderUnknown, ""},
	}
	for _, c := range cases {
		kind, tp := classify(c.name)
		got := ""
		if kind != folderUnknown && kind != folderMetadata {
			got = tp.String()
		}
		if kind != c.kind || got != c.tp {
			t.Errorf("%q: got %d %q, want %d %q", c.name, kind, got, c.kind, c.tp)
		}
	}
}

func TestAsideName(t *testing.T) {
	random := func() *bytes.Reader { return bytes.NewReader(bytes.Repeat([]byte{0xab}, 16)) }
	tp := protocol.TopicPartition{Topic: "t.x", Partition: 7}
	got, err := asideName(random(), tp, deleteSuffix)
	if want := "t.x-7." + strings.Repeat("ab", 16) + "-delete"; err != nil || got != want {
		t.Errorf("got %q %v, want %q", got, err, want)
	}
	long := protocol.TopicPartition{Topic: strings.Repeat("a", 249), Partition: 2147483647}
	for _, suffix := range []string{deleteSuffix, straySuffix} {
		got, err := asideName(random(), long, suffix)
		if err != nil || len(got) != 255 {
			t.Errorf("a long topic: %d characters, want 255 (%v)", len(got), err)
		}
		if kind, _ := classify(got); kind != folderDeleted && kind != folderStray {
			t.Errorf("%q is not recognised", got)
		}
	}
	if _, err := asideName(bytes.NewReader(nil), tp, deleteSuffix); err == nil {
		t.Error("a name was made without randomness")
	}
}

// FuzzClassify: what is taken for a partition has exactly its name, and what is removed was named by us or by Kafka.
func FuzzClassify(f *testing.F) {
	for _, seed := range []string{"t-0", "t-0." + unique + "-delete", "__cluster_metadata-0", "a-b.c-7." + unique + "-stray", "x-00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		kind, tp := classify(name)
		switch kind {
		default: // left alone
		case folderPartition:
			if tp.String() != name || protocol.ValidateTopicName(tp.Topic) != nil || tp.Partition < 0 {
				t.Errorf("%q is taken for partition %q", name, tp)
			}
		case folderDeleted:
			if !strings.HasPrefix(name, tp.String()+".") || !strings.HasSuffix(name, deleteSuffix) || len(name) != len(tp.String())+1+32+len(deleteSuffix) {
				t.Errorf("%q would be removed as %q", name, tp)
			}
		}
	})
}
