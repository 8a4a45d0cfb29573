package main

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

func TestTopicID_IsWrittenAsKafkaDoes(t *testing.T) {
	id := kadm.TopicID{0x5c, 0xe5, 0xab, 0xde, 0x4a, 0xe4, 0x44, 0x65, 0x4f, 0xfa, 0xc2, 0xc0, 0x75, 0xf0, 0x7f, 0xff}
	if got, want := topicID(id), "XOWr3krkRGVP-sLAdfB__w"; got != want {
		t.Errorf("got %s, want %s: URL-safe base64 without padding", got, want)
	}
	if got := topicID(kadm.TopicID{}); got != "" {
		t.Errorf("got %q for no id", got)
	}
}
