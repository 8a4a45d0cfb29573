package group

import (
	"bufio"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
	"github.com/distributedmq/dmq/kraft/image"
)

// kafkaAnswer is what Apache Kafka said of a group: see schema/testdata/README.md.
type kafkaAnswer struct {
	Listed          kmsg.ListGroupsResponseGroup
	Offsets, Stable []kmsg.OffsetFetchResponseGroupTopic
	Classic         kmsg.DescribeGroupsResponseGroup
	Consumer        *kmsg.ConsumerGroupDescribeResponseGroup
}

func readKafkaAnswers(t *testing.T) (answers []kafkaAnswer) {
	t.Helper()
	b, err := os.ReadFile("schema/testdata/broker-kafka-4.4.0.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &answers); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(answers, func(a kafkaAnswer) bool { return a.Listed.GroupType == "share" || a.Listed.GroupType == "streams" })
}

// kafkaTopics is an image with the topics that the answers name.
func kafkaTopics(answers []kafkaAnswer) *image.Image {
	img := &image.Image{}
	for _, a := range answers {
		if a.Consumer == nil {
			continue
		}
		for _, m := range a.Consumer.Members {
			for _, tp := range slices.Concat(m.Assignment.TopicPartitions, m.TargetAssignment.TopicPartitions) {
				t := &image.Topic{Name: tp.Topic, ID: tp.TopicID, Partitions: make([]image.Partition, 3)}
				img.Topics, img.TopicNames = img.Topics.With(tp.Topic, t), img.TopicNames.With(tp.TopicID, tp.Topic)
			}
		}
	}
	return img
}

// replayKafkaPartition has s replay the partition that Apache Kafka wrote.
func replayKafkaPartition(t *testing.T, s *State) (records []coordlog.Record) {
	t.Helper()
	f, err := os.Open("schema/testdata/broker-kafka-4.4.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r coordlog.Record
		var kind, key, value string
		if m := (coordlog.Marker{}); strings.HasPrefix(lines.Text(), "marker") {
			if _, err := fmt.Sscan(lines.Text(), &kind, &m.Offset, &m.ProducerID, &m.Epoch, &value); err != nil {
				t.Fatal(err)
			}
			m.Commit = value == "commit"
			if err := s.ReplayMarker(m); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if _, err := fmt.Sscan(lines.Text(), &kind, &r.Offset, &r.Timestamp, &r.ProducerID, &r.Epoch, &key, &value); err != nil {
			t.Fatal(err)
		}
		if r.Key, err = hex.DecodeString(key); err == nil && value != "-" {
			r.Value, err = hex.DecodeString(value)
		}
		if err := cmp.Or(err, s.Replay(r)); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		records = append(records, r)
	}
	return records
}

// TestLoad_KafkaPartition: a partition that Apache Kafka wrote, with groups of every kind in it, loads, and clients are told
// what Kafka told them.
func TestLoad_KafkaPartition(t *testing.T) {
	answers := readKafkaAnswers(t)
	img := kafkaTopics(answers)
	settings := classicSettings()
	settings.Assignors = []string{"uniform", "range"}
	s := NewState(Env{
		Settings: func() Settings { return settings }, Image: func() *image.Image { return img }, Rand: rand.New(rand.NewPCG(1, 2)),
		GroupSettings: func(string) ConsumerSettings {
			return ConsumerSettings{SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second}
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	replayKafkaPartition(t, s)
	shard := coordtest.New(s)
	var got []kafkaAnswer
	shard.Do(func(fx coordlog.Effects, s *State) {
		s.ListGroups(fx, kmsg.NewPtrListGroupsRequest(), func(groups []kmsg.ListGroupsResponseGroup) {
			for _, g := range groups {
				got = append(got, kafkaAnswer{Listed: g})
			}
		})
		for i := range got {
			a := &got[i]
			fetch := kmsg.NewOffsetFetchRequestGroup()
			fetch.Group = a.Listed.Group
			s.OffsetFetch(fx, &fetch, false, func(resp kmsg.OffsetFetchResponseGroup) { a.Offsets = resp.Topics })
			s.OffsetFetch(fx, &fetch, true, func(resp kmsg.OffsetFetchResponseGroup) { a.Stable = resp.Topics })
			s.DescribeGroup(fx, 6, fetch.Group, func(resp kmsg.DescribeGroupsResponseGroup) { a.Classic = resp })
			if a.Listed.GroupType == "consumer" {
				s.ConsumerGroupDescribe(fx, 1, fetch.Group, func(resp kmsg.ConsumerGroupDescribeResponseGroup) { a.Consumer = &resp })
			}
		}
	})
	sorted := func(less any) gocmp.Option { return cmpopts.SortSlices(less) }
	diff := gocmp.Diff(answers, got, cmpopts.EquateEmpty(),
		gocmp.Comparer(func(a, b kmsg.Tags) bool { return true }),
		gocmp.FilterPath(func(p gocmp.Path) bool { return p.Last().String() == ".ErrorMessage" }, gocmp.Ignore()), // in our own words
		cmpopts.IgnoreFields(kmsg.OffsetFetchResponseGroupTopic{}, "TopicID"),                                     // the handler's, from the metadata
		sorted(func(a, b string) bool { return a < b }),
		sorted(func(a, b kmsg.OffsetFetchResponseGroupTopic) bool { return a.Topic < b.Topic }),
		sorted(func(a, b kmsg.OffsetFetchResponseGroupTopicPartition) bool { return a.Partition < b.Partition }),
		sorted(func(a, b kmsg.DescribeGroupsResponseGroupMember) bool { return a.MemberID < b.MemberID }),
		sorted(func(a, b kmsg.ConsumerGroupDescribeResponseGroupMember) bool { return a.MemberID < b.MemberID }),
		sorted(func(a, b kmsg.AssignmentTopicPartition) bool { return a.Topic < b.Topic }),
	)
	if diff != "" {
		t.Errorf("(-Kafka +ours)\n%s", diff)
	}
}
