package schema

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// golden is a record that Apache Kafka wrote: see testdata/README.md.
type golden struct {
	line       int
	key, value []byte // value is nil for a tombstone
}

func readGolden(tb testing.TB, file string) []golden {
	tb.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var all []golden
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if fields[0] == "marker" {
			continue
		}
		g := golden{line: n}
		if g.key, err = hex.DecodeString(fields[len(fields)-2]); err != nil {
			tb.Fatalf("%s:%d: %v", file, n, err)
		}
		if last := fields[len(fields)-1]; last != "-" {
			if g.value, err = hex.DecodeString(last); err != nil {
				tb.Fatalf("%s:%d: %v", file, n, err)
			}
		}
		all = append(all, g)
	}
	if err := lines.Err(); err != nil || len(all) == 0 {
		tb.Fatalf("%s: %d records, %v", file, len(all), err)
	}
	return all
}

// reencodeKey decodes a key and encodes it again.
func reencodeKey(b []byte) ([]byte, error) {
	switch t, err := TypeOf(b); {
	case err != nil:
		return nil, err
	case t == OffsetCommit || t == OffsetCommitLegacy:
		k, err := DecodeOffsetCommitKey(b)
		if err != nil {
			return nil, err
		}
		out := AppendOffsetCommitKey(nil, string(k.Group), string(k.Topic), k.Partition)
		out[1] = byte(t)
		return out, nil
	default:
		k, err := DecodeKey(b)
		if err != nil {
			return nil, err
		}
		return k.Append(nil), nil
	}
}

type appender interface{ Append(dst []byte) []byte }

// decodeValue decodes a value, and returns it with what encodes it in a version.
func decodeValue(t KeyType, b []byte) (appender, func(version int16) []byte, error) {
	var v appender
	var err error
	switch t {
	case OffsetCommit, OffsetCommitLegacy:
		v, err := DecodeOffsetCommitValue(b)
		return &v, func(version int16) []byte { return v.append(nil, version) }, err
	case GroupMetadata:
		v, err := DecodeGroupMetadataValue(b)
		return v, func(version int16) []byte { return v.append(nil, version) }, err
	case ConsumerGroupMetadata:
		v, err = DecodeConsumerGroupMetadataValue(b)
	case ConsumerGroupPartitionMetadata:
		v, err = DecodeConsumerGroupPartitionMetadataValue(b)
	case ConsumerGroupMemberMetadata:
		v, err = DecodeConsumerGroupMemberMetadataValue(b)
	case ConsumerGroupTargetAssignmentMetadata:
		v, err = DecodeConsumerGroupTargetAssignmentMetadataValue(b)
	case ConsumerGroupTargetAssignmentMember:
		v, err = DecodeConsumerGroupTargetAssignmentMemberValue(b)
	case ConsumerGroupCurrentMemberAssignment:
		v, err = DecodeConsumerGroupCurrentMemberAssignmentValue(b)
	case ConsumerGroupRegularExpression:
		v, err = DecodeConsumerGroupRegularExpressionValue(b)
	default:
		return nil, nil, fmt.Errorf("%s has no schema here", t)
	}
	return v, func(int16) []byte { return v.Append(nil) }, err
}

// TestGolden_Classes: what Kafka's own classes write in every version is read, and written again as the same bytes.
func TestGolden_Classes(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range readGolden(t, "classes-kafka-4.4.0.txt") {
		if key, err := reencodeKey(g.key); err != nil || !bytes.Equal(key, g.key) {
			t.Errorf("line %d: key\n%x became\n%x, %v", g.line, g.key, key, err)
		}
		typ, _ := TypeOf(g.key)
		_, encode, err := decodeValue(typ, g.value)
		if err != nil {
			t.Errorf("line %d: %v", g.line, err)
			continue
		}
		version := int16(g.value[1])
		if got := encode(version); !bytes.Equal(got, g.value) {
			t.Errorf("line %d: %s version %d\n%x became\n%x", g.line, typ, version, g.value, got)
		}
		seen[fmt.Sprint(typ, version)] = true
	}
	if len(seen) != 18 {
		t.Errorf("got %d types and versions, want 18", len(seen))
	}
}

// TestGolden_Broker: what a broker wrote is written again as the same bytes, in the version that Append chooses.
func TestGolden_Broker(t *testing.T) {
	known := 0
	for _, g := range readGolden(t, "broker-kafka-4.4.0.txt") {
		typ, err := TypeOf(g.key)
		if err != nil || !typ.Known() {
			t.Errorf("line %d: type %s, %v", g.line, typ, err)
		}
		if _, _, err := decodeValue(typ, nil); typ > ConsumerGroupCurrentMemberAssignment && typ != ConsumerGroupRegularExpression {
			if err == nil {
				t.Errorf("line %d: %s has a schema", g.line, typ)
			}
			continue
		}
		known++
		if key, err := reencodeKey(g.key); err != nil || !bytes.Equal(key, g.key) {
			t.Errorf("line %d: key\n%x became\n%x, %v", g.line, g.key, key, err)
		}
		if g.value == nil {
			continue
		}
		v, _, err := decodeValue(typ, g.value)
		if err != nil {
			t.Errorf("line %d: %v", g.line, err)
			continue
		}
		if got := v.Append(nil); !bytes.Equal(got, g.value) {
			t.Errorf("line %d: %s\n%x became\n%x", g.line, typ, g.value, got)
		}
	}
	if known < 100 {
		t.Errorf("got %d records of types with a schema, want at least 100", known)
	}
}

// TestGolden_Fields: fields have their own values, not those of a neighbour of the same type.
func TestGolden_Fields(t *testing.T) {
	var static *GroupMetadataMember
	var modern *ConsumerGroupMemberMetadataValue
	var classic *ClassicMemberMetadata
	for _, g := range readGolden(t, "broker-kafka-4.4.0.txt") {
		typ, err := TypeOf(g.key)
		if err != nil || g.value == nil {
			continue
		}
		v, _, _ := decodeValue(typ, g.value)
		switch v := v.(type) {
		case *GroupMetadataValue:
			for i := range v.Members {
				if v.Members[i].InstanceID != nil {
					static = &v.Members[i]
				}
			}
		case *ConsumerGroupMemberMetadataValue:
			if v.InstanceID != nil {
				modern = v
			}
			if v.Classic != nil {
				classic = v.Classic
			}
		}
	}
	if static == nil || modern == nil || classic == nil {
		t.Fatal("a static member, one with a rack, or a classic one is missing")
	}
	if *static.InstanceID != "instance-2" || static.ClientID != "classic-client-2" || static.ClientHost != "/127.0.0.1" ||
		static.SessionTimeoutMillis != 60000 || static.RebalanceTimeoutMillis != 50000 {
		t.Errorf("static member: %+v", static)
	}
	if s, err := DecodeSubscription(static.Subscription); err != nil || !slices.Equal(s.Topics, []string{"orders", "payments"}) || s.Generation != -1 {
		t.Errorf("subscription: %+v, %v", s, err)
	}
	if a, err := DecodeAssignment(static.Assignment); err != nil || len(a.Topics) != 1 || a.Topics[0].Topic != "orders" {
		t.Errorf("assignment: %+v, %v", a, err)
	}
	if *modern.InstanceID != "modern-instance" || *modern.RackID != "rack-a" || modern.ClientID != "modern-client-2" || *modern.ServerAssignor != "range" ||
		modern.RebalanceTimeoutMillis != 45000 || !slices.Equal(modern.SubscribedTopicNames, []string{"orders", "payments"}) {
		t.Errorf("member: %+v", modern)
	}
	if classic.SessionTimeoutMillis != 60000 || len(classic.SupportedProtocols) != 2 || classic.SupportedProtocols[1].Name != "roundrobin" {
		t.Errorf("classic member: %+v", classic)
	}
}
