package protocol_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestTopicID_Text(t *testing.T) {
	for range 200 {
		id, err := protocol.NewTopicID(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		text := id.String()
		if len(text) != 22 || text[0] == '-' {
			t.Errorf("got %q, want 22 characters that do not begin with '-'", text)
		}
		if back, err := protocol.ParseTopicID(text); err != nil || back != id {
			t.Errorf("ParseTopicID(%q): got %v and %v, want %v", text, back, err, id)
		}
	}
	if got := (protocol.TopicID{15: 1}).String(); got != "AAAAAAAAAAAAAAAAAAAAAQ" { // Kafka's reserved metadata topic id
		t.Errorf("got %q", got)
	}
	for _, bad := range []string{"", "AAAA", "AAAAAAAAAAAAAAAAAAAAAQ==", "AAAAAAAAAAAAAAAAAAAAA!", strings.Repeat("A", 23)} {
		if id, err := protocol.ParseTopicID(bad); err == nil {
			t.Errorf("ParseTopicID(%q): got %v, want an error", bad, id)
		}
	}
	if _, err := protocol.NewTopicID(bytes.NewReader(make([]byte, 3))); err == nil {
		t.Error("NewTopicID from an empty source: got no error")
	}
	dash := bytes.Repeat([]byte{0xf8}, 16)
	id, err := protocol.NewTopicID(bytes.NewReader(append(dash, bytes.Repeat([]byte{1}, 16)...)))
	if err != nil || id[0] != 1 {
		t.Errorf("an id that begins with '-': got %v and %v, want the next one", id, err)
	}
}

func TestValidateTopicName(t *testing.T) {
	for _, good := range []string{"a", "orders.eu_1-x", "__consumer_offsets", "...", strings.Repeat("x", 249)} {
		if err := protocol.ValidateTopicName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", "a b", "ä", "a\x00", "../x", strings.Repeat("x", 250)} {
		err := protocol.ValidateTopicName(bad)
		if !errors.Is(err, &errcode.Error{Kind: errcode.KindInvalidTopicException}) {
			t.Errorf("%q: got %v, want INVALID_TOPIC_EXCEPTION", bad, err)
		}
	}
	if !protocol.TopicNameCollides("a.b", "a_b") || protocol.TopicNameCollides("a.b", "a.b") || protocol.TopicNameCollides("a.b", "a-b") {
		t.Error("TopicNameCollides: '.' and '_' alone collide")
	}
	if !protocol.InternalTopic("__consumer_offsets") || protocol.InternalTopic("__mine") {
		t.Error("InternalTopic: the coordinators' topics, and no others, are internal")
	}
}

func TestTopicPartition_Text(t *testing.T) {
	tp := protocol.TopicIDPartition{Topic: "my-topic", Partition: 12}.TopicPartition()
	if tp.String() != "my-topic-12" {
		t.Errorf("got %q", tp)
	}
}
