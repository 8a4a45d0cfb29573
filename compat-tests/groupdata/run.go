package groupdata

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/compat-tests/peer"
)

// Run writes the test data of the repository at root anew, in the scratch folder dir.
func Run(ctx context.Context, home peer.Home, root, dir string) (err error) {
	data := filepath.Join(root, "broker", "group", "schema", "testdata")
	classes := exec.CommandContext(ctx, "java", "-cp", home.BrokerClasspath(), filepath.Join(root, "compat-tests", "groupdata", "Records.java"),
		"0", "1", "2", "3", "4", "5", "6", "7", "8", "16")
	classes.Stderr = os.Stderr
	lines, err := classes.Output()
	if err != nil {
		return fmt.Errorf("records of Kafka's classes: %w", err)
	}
	if err := os.WriteFile(filepath.Join(data, "classes-kafka-4.4.0.txt"), lines, 0o644); err != nil {
		return err
	}
	answers, lines, err := played(ctx, home, dir)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "broker-kafka-4.4.0.txt"), lines, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(data, "broker-kafka-4.4.0.json"), answers, 0o644)
}

// Properties are those of the broker: one partition has all groups, and nothing waits.
func Properties() map[string]string {
	return map[string]string{
		"offsets.topic.num.partitions": "1", "group.initial.rebalance.delay.ms": "0", "group.consumer.assignment.interval.ms": "0",
	}
}

// played has Kafka write a partition, and returns what it says of the groups and the records.
func played(ctx context.Context, home peer.Home, dir string) (answers, lines []byte, err error) {
	b, err := peer.StartKafka(ctx, home, peer.Options{Dir: dir, Properties: Properties()})
	if err != nil {
		return nil, nil, err
	}
	w := &writer{addr: b.Addr}
	err = w.play(ctx, append(w.served(), step{"transactions", w.transactions}, step{"groups of other kinds", w.others}))
	if err == nil {
		answers, err = w.answers(ctx)
	}
	if err == nil {
		lines, err = w.dump(ctx)
	}
	w.close()
	return answers, lines, errors.Join(err, b.Stop())
}

// Answer is what Kafka says of a group.
type Answer struct {
	Listed   kmsg.ListGroupsResponseGroup
	Offsets  []kmsg.OffsetFetchResponseGroupTopic // all
	Stable   []kmsg.OffsetFetchResponseGroupTopic // all, with RequireStable
	Classic  kmsg.DescribeGroupsResponseGroup
	Consumer *kmsg.ConsumerGroupDescribeResponseGroup `json:",omitempty"`
}

func (w *writer) answers(ctx context.Context) ([]byte, error) {
	cl, err := w.client("asking", byName)
	if err != nil {
		return nil, err
	}
	listed, err := ask[*kmsg.ListGroupsResponse](ctx, cl, kmsg.NewPtrListGroupsRequest())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(listed.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return bytes.Compare([]byte(a.Group), []byte(b.Group)) })
	all := make([]Answer, 0, len(listed.Groups))
	for _, g := range listed.Groups {
		a := Answer{Listed: g}
		var err1, err2 error
		a.Offsets, err1 = fetchAll(ctx, cl, g.Group, false)
		a.Stable, err2 = fetchAll(ctx, cl, g.Group, true)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Groups = []string{g.Group}
		classic, err := ask[*kmsg.DescribeGroupsResponse](ctx, cl, describe)
		if err != nil {
			return nil, err
		}
		a.Classic = classic.Groups[0]
		if g.GroupType == "consumer" {
			describe := kmsg.NewPtrConsumerGroupDescribeRequest()
			describe.Groups = []string{g.Group}
			consumer, err := ask[*kmsg.ConsumerGroupDescribeResponse](ctx, cl, describe)
			if err != nil {
				return nil, err
			}
			a.Consumer = &consumer.Groups[0]
		}
		all = append(all, a)
	}
	return lines(all)
}

// lines encodes the answers, each in a line of its own.
func lines(all []Answer) ([]byte, error) {
	var out bytes.Buffer
	for i, a := range all {
		b, err := json.Marshal(a)
		if err != nil {
			return nil, err
		}
		out.WriteString(map[bool]string{true: "[\n", false: ",\n"}[i == 0])
		out.Write(b)
	}
	out.WriteString("\n]\n")
	return out.Bytes(), nil
}

// dump returns the records of the partition as lines:
//
//	record OFFSET TIMESTAMP PRODUCER-ID PRODUCER-EPOCH KEY VALUE
//	marker OFFSET PRODUCER-ID PRODUCER-EPOCH commit|abort
//
// Keys and values are in hex; "-" stands for no value.
func (w *writer) dump(ctx context.Context) ([]byte, error) {
	const topic = "__consumer_offsets"
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.addr), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	end, _ := ends.Lookup(topic, 0)
	var out bytes.Buffer
	for at := int64(0); at < end.Offset; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		for r := range fetches.RecordsAll() {
			at = r.Offset + 1
			line(&out, r)
		}
	}
	return out.Bytes(), nil
}

func line(out *bytes.Buffer, r *kgo.Record) {
	if r.Attrs.IsControl() {
		verdict := map[byte]string{0: "abort", 1: "commit"}[r.Key[3]]
		fmt.Fprintf(out, "marker %d %d %d %s\n", r.Offset, r.ProducerID, r.ProducerEpoch, verdict)
		return
	}
	value := "-"
	if r.Value != nil {
		value = hex.EncodeToString(r.Value)
	}
	fmt.Fprintf(out, "record %d %d %d %d %x %s\n", r.Offset, r.Timestamp.UnixMilli(), r.ProducerID, r.ProducerEpoch, r.Key, value)
}
