package diff

import (
	"fmt"
	"regexp"
	"strings"
)

// What may differ between two brokers of the same behaviour is replaced here, and nowhere else.

// dropped fields say nothing about behaviour.
var dropped = map[string]bool{"ThrottleMillis": true}

// sized fields depend on the machine or on what else the broker holds: only their sign is compared.
var sized = map[string]bool{
	"TotalBytes": true, "UsableBytes": true, "BrokerEpoch": true, "FinalizedFeaturesEpoch": true,
	"LastFetchTimestamp": true, "LastCaughtUpTimestamp": true, "ProducerIDStart": true, "SessionID": true, "SessionLifetimeMillis": true,
}

// number replaces numbers that may differ.
func (s *Session) number(field string, n int64) any {
	switch {
	case sized[field]:
		return sign(n)
	case field == "ControllerID" && n > 0 && len(s.target.Nodes) > 0:
		return "<node>" // any: Kafka's brokers name one at random
	case field == "Port" && n > 0:
		return "<port>"
	case field == "LogAppendTime" && n > 0, field == "LastTimestamp" && n > 0:
		return "<time>"
	case field == "ProducerID" && n >= 0 && n < 1<<40:
		return s.label("producer", fmt.Sprint(n))
	}
	return n
}

func sign(n int64) any {
	if n > 0 {
		return "positive"
	}
	return n
}

// text replaces addresses, folders and names of this case.
func (s *Session) text(field, v string) any {
	switch field {
	case "ClusterID":
		if v != "" {
			return "<cluster>"
		}
	case "Host":
		return "<host>"
	case "Documentation":
		return "<documentation>" // Kafka's sentences are its own
	}
	return s.clean(v)
}

var (
	longUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	uuidText = regexp.MustCompile(`\b[A-Za-z0-9_-]{22}\b`)
	millis   = regexp.MustCompile(`\b1[78]\d{11}\b|-922337\d{13}\b`)
)

// clean replaces what a text says about this one broker and this one moment.
func (s *Session) clean(v string) string {
	for text, name := range s.names {
		v = strings.ReplaceAll(v, text, name)
	}
	v = longUUID.ReplaceAllString(v, "<uuid>")
	if s.target.DataDir != "" {
		v = strings.ReplaceAll(v, s.target.DataDir, "<dir>")
	}
	v = strings.ReplaceAll(v, s.target.ControllerAddr, "<controller>")
	v = strings.ReplaceAll(v, s.target.Addr, "<broker>")
	v = millis.ReplaceAllString(v, "<millis>")
	v = uuidText.ReplaceAllStringFunc(v, func(id string) string {
		if looksRandom(id) && !strings.Contains(id, s.prefix) {
			return "<uuid>"
		}
		return id
	})
	return v
}

// looksRandom tells 16 random bytes in base64 from a word of 22 letters. One id in a hundred has letters only; those change
// their case more often than words do, and end as 16 bytes do.
func looksRandom(id string) bool {
	upper := 0
	for _, c := range id {
		if 'A' <= c && c <= 'Z' {
			upper++
		}
	}
	return strings.ContainsAny(id, "0123456789-_") && upper > 0 || upper >= 4 && strings.ContainsAny(id[len(id)-1:], "AQgw")
}

// foreign tells whether an element of a struct type belongs to another case that runs at the same time.
func (s *Session) foreign(kind, key string) bool {
	field, name, _ := strings.Cut(key, "=")
	switch {
	case field == "Topic", field == "ResourceName", field == "Group", kind == "ListConfigResourcesResponseConfigResource":
	default:
		return false
	}
	switch {
	case kind == "DescribeLogDirsResponseDirTopic" && name == "__consumer_offsets": // grows with every case
		return true
	case kind == "ListGroupsResponseGroup" && name == "": // a case of its own makes it
		return true
	}
	return strings.HasPrefix(name, casePrefix) && !strings.HasPrefix(name, s.prefix)
}

// normaliseStruct looks at a struct as a whole.
func (s *Session) normaliseStruct(name string, m map[string]any) {
	switch name {
	case "DescribeQuorumResponseTopicPartition":
		// How far the metadata log got depends on what every other case did.
		sized := []string{"HighWatermark", "LeaderEpoch"}
		if len(s.target.Nodes) > 0 {
			sized = append(sized, "LeaderID") // who won the election is chance
		}
		for _, f := range sized {
			if n, ok := m[f].(int64); ok {
				m[f] = sign(n)
			}
		}
	case "UpdateRaftVoterResponseCurrentLeader": // how often there was an election is chance
		if n, ok := m["LeaderEpoch"].(int64); ok {
			m["LeaderEpoch"] = sign(n)
		}
	case "DescribeQuorumResponseTopicPartitionReplicaState":
		if n, ok := m["LogEndOffset"].(int64); ok {
			m["LogEndOffset"] = sign(n)
		}
	}
	// Kafka's sentences are its own: whether a message is there is compared, not its words.
	for _, f := range []string{"ErrorMessage", "BatchIndexErrorMessage"} {
		if text, ok := m[f].(string); ok && text != "" {
			m[f] = "<message>"
		}
	}
}
