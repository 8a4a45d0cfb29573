package protocol

import (
	"strings"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// maxTopicNameLength keeps <topic>-<partition>.<uuid>-delete within the 255 bytes of a file name.
const maxTopicNameLength = 249

// ValidateTopicName checks Kafka's rule for topic names; the error is INVALID_TOPIC_EXCEPTION. A name that passes is safe
// as part of a file name.
func ValidateTopicName(name string) error {
	switch {
	case name == "":
		return errcode.New(errcode.KindInvalidTopicException, "Topic name is invalid: the empty string is not allowed")
	case name == "." || name == "..":
		return errcode.New(errcode.KindInvalidTopicException, "Topic name is invalid: '.' or '..' is not allowed")
	case len(name) > maxTopicNameLength:
		return errcode.New(errcode.KindInvalidTopicException,
			"Topic name is invalid: the length of '%s' is longer than the max allowed length %d", name, maxTopicNameLength)
	}
	for i := range len(name) {
		c := name[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' {
			continue
		}
		return errcode.New(errcode.KindInvalidTopicException,
			"Topic name is invalid: '%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
	}
	return nil
}

// TopicNameCollides reports whether two different names would give the same metric names: '.' and '_' are one there.
func TopicNameCollides(a, b string) bool {
	return a != b && strings.ReplaceAll(a, ".", "_") == strings.ReplaceAll(b, ".", "_")
}

// The topics that coordinators keep their state in.
const (
	ConsumerOffsetsTopic  = "__consumer_offsets"
	TransactionStateTopic = "__transaction_state"
	ShareGroupStateTopic  = "__share_group_state"
)

// InternalTopic reports whether the topic belongs to a coordinator.
func InternalTopic(name string) bool {
	switch name {
	case ConsumerOffsetsTopic, TransactionStateTopic, ShareGroupStateTopic:
		return true
	}
	return false
}
