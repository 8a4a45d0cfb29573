package assignor_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/protocol"
)

func topicID(n int) (id protocol.TopicID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func mustByName(tb testing.TB, name string) assignor.Assignor {
	tb.Helper()
	a, ok := assignor.ByName(name)
	if !ok || a.Name() != name {
		tb.Fatalf("no assignor %q", name)
	}
	return a
}

func TestByName_Unknown(t *testing.T) {
	if _, ok := assignor.ByName("sticky"); ok {
		t.Error("there is no assignor of that name")
	}
}

// TestKafka compares with what Kafka's assignors did.
func TestKafka(t *testing.T) {
	f, err := os.Open("testdata/kafka.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var (
		name  string
		line  int
		start int
		spec  assignor.Spec
		want  []assignor.Assignment
		cases int
	)
	check := func() {
		if name == "" {
			return
		}
		cases++
		for i, got := range mustByName(t, name).Assign(spec) {
			if !got.Equal(want[i]) {
				t.Errorf("line %d: %s gives %s\n%v\nKafka's gives\n%v", start, name, spec.Members[i].ID, got, want[i])
			}
		}
	}
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		line++
		words := strings.Fields(scanner.Text())
		switch words[0] {
		case "case":
			check()
			name, start, spec, want = words[1], line, assignor.Spec{Homogeneous: len(words) > 2}, nil
		case "topics":
			for _, w := range words[1:] {
				n, partitions, _ := strings.Cut(w, ":")
				spec.Topics = append(spec.Topics, assignor.Topic{ID: topicID(atoi(t, n)), Partitions: int32(atoi(t, partitions))})
			}
		case "member":
			m, gets := parseMember(t, spec, words)
			spec.Members = append(spec.Members, m)
			want = append(want, gets)
		}
	}
	check()
	if cases != 300 {
		t.Errorf("%d cases, want 300", cases)
	}
}

func parseMember(t *testing.T, spec assignor.Spec, words []string) (m assignor.Member, gets assignor.Assignment) {
	t.Helper()
	m.ID = words[1]
	if words[2] != "-" {
		m.InstanceID = words[2]
	}
	section := ""
	for _, w := range words[3:] {
		switch {
		case w == "topics" || w == "target" || w == "gets":
			section = w
		case section == "topics":
			m.Topics = append(m.Topics, topicIndex(spec, topicID(atoi(t, w))))
		case section == "target":
			m.Target = append(m.Target, parsePartitions(t, w))
		default:
			gets = append(gets, parsePartitions(t, w))
		}
	}
	return m, gets
}

func parsePartitions(t *testing.T, s string) assignor.TopicPartitions {
	t.Helper()
	topic, list, _ := strings.Cut(s, ":")
	tp := assignor.TopicPartitions{TopicID: topicID(atoi(t, topic))}
	for p := range strings.SplitSeq(list, ",") {
		tp.Partitions = append(tp.Partitions, int32(atoi(t, p)))
	}
	return tp
}

func topicIndex(spec assignor.Spec, id protocol.TopicID) int32 {
	return int32(slices.IndexFunc(spec.Topics, func(t assignor.Topic) bool { return t.ID == id }))
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// drawSpec draws a group, with targets that may come from another life of it: of topics that nobody is subscribed to, beyond
// the partitions there are, or of two members.
func drawSpec(t *rapid.T) assignor.Spec {
	spec := assignor.Spec{Homogeneous: rapid.Bool().Draw(t, "homogeneous")}
	members := rapid.IntRange(1, 12).Draw(t, "members")
	subscribed := make(map[int][]int)
	for topic := range rapid.IntRange(0, 6).Draw(t, "topics") {
		by := make([]int, 0, members)
		for m := range members {
			if spec.Homogeneous || rapid.Bool().Draw(t, "subscribed") {
				by = append(by, m)
			}
		}
		if len(by) == 0 {
			continue
		}
		for _, m := range by {
			subscribed[m] = append(subscribed[m], len(spec.Topics))
		}
		spec.Topics = append(spec.Topics, assignor.Topic{ID: topicID(2 * topic), Partitions: int32(rapid.IntRange(1, 30).Draw(t, "partitions"))})
	}
	for m := range members {
		member := assignor.Member{ID: fmt.Sprintf("m%03d", m)}
		if rapid.IntRange(0, 3).Draw(t, "static") == 0 {
			member.InstanceID = fmt.Sprintf("i%03d", members-m)
		}
		if !spec.Homogeneous {
			for _, topic := range subscribed[m] {
				member.Topics = append(member.Topics, int32(topic))
			}
		}
		for topic := range 13 {
			if p := rapid.SliceOfNDistinct(rapid.Int32Range(0, 33), 0, 8, rapid.ID).Draw(t, "target"); len(p) > 0 {
				slices.Sort(p)
				member.Target = append(member.Target, assignor.TopicPartitions{TopicID: topicID(topic), Partitions: p})
			}
		}
		spec.Members = append(spec.Members, member)
	}
	return spec
}

type topicPartition struct {
	topic, partition int32
}

// checkComplete checks invariant 1 and the form of assignments, and returns the owner of each partition.
func checkComplete(tb rapid.TB, spec assignor.Spec, got []assignor.Assignment) map[topicPartition]int {
	tb.Helper()
	if len(got) != len(spec.Members) {
		tb.Fatalf("%d assignments for %d members", len(got), len(spec.Members))
	}
	owner := make(map[topicPartition]int)
	for m, a := range got {
		if !slices.IsSortedFunc(a, func(x, y assignor.TopicPartitions) int { return assignor.CompareIDs(x.TopicID, y.TopicID) }) {
			tb.Fatalf("topics of %v are not in order", a)
		}
		for _, tp := range a {
			topic := topicIndex(spec, tp.TopicID)
			if topic < 0 || !spec.Homogeneous && !slices.Contains(spec.Members[m].Topics, topic) {
				tb.Fatalf("member %d got %v, to which it is not subscribed", m, tp)
			}
			if len(tp.Partitions) == 0 || !slices.IsSorted(tp.Partitions) {
				tb.Fatalf("member %d got %v", m, tp)
			}
			for _, p := range tp.Partitions {
				if p < 0 || p >= spec.Topics[topic].Partitions {
					tb.Fatalf("member %d got partition %d of %d", m, p, spec.Topics[topic].Partitions)
				}
				if other, twice := owner[topicPartition{topic, p}]; twice {
					tb.Fatalf("partition %d-%d is assigned to %d and %d", topic, p, other, m)
				}
				owner[topicPartition{topic, p}] = m
			}
		}
	}
	for topic, desc := range spec.Topics {
		for p := range desc.Partitions {
			if _, ok := owner[topicPartition{int32(topic), p}]; !ok {
				tb.Fatalf("partition %d-%d is not assigned", topic, p)
			}
		}
	}
	return owner
}

func TestUniform_Properties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		got := assignor.Uniform{}.Assign(spec)
		checkComplete(t, spec, got)
		checkBalance(t, spec, got)

		for m := range spec.Members {
			spec.Members[m].Target = got[m]
		}
		for m, again := range (assignor.Uniform{}).Assign(spec) {
			if !again.Equal(got[m]) {
				t.Fatalf("a group in balance is left alone: member %d had %v and gets %v", m, got[m], again)
			}
		}
	})
}

// checkBalance checks that no partition could go from a member to one that has at least two fewer.
func checkBalance(tb rapid.TB, spec assignor.Spec, got []assignor.Assignment) {
	tb.Helper()
	for m, a := range got {
		for other, b := range got {
			if a.Count() <= b.Count()+1 {
				continue
			}
			for _, tp := range a {
				if spec.Homogeneous || slices.Contains(spec.Members[other].Topics, topicIndex(spec, tp.TopicID)) {
					tb.Fatalf("member %d has %d partitions and could give %v to %d, which has %d", m, a.Count(), tp, other, b.Count())
				}
			}
		}
	}
}

// TestUniform_Sticky checks that no more partitions move than balance asks for, when one member comes or goes.
func TestUniform_Sticky(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		spec.Homogeneous = true
		before := assignor.Uniform{}.Assign(spec)
		for m := range spec.Members {
			spec.Members[m].Target = before[m]
		}
		owner := checkComplete(t, spec, before)
		joins := rapid.Bool().Draw(t, "joins")
		gone := rapid.IntRange(0, len(spec.Members)-1).Draw(t, "leaver")
		if joins {
			spec.Members = append(spec.Members, assignor.Member{ID: "new"})
			gone = -1
		} else if len(spec.Members) > 1 {
			spec.Members = slices.Delete(spec.Members, gone, gone+1)
		} else {
			return
		}
		moved := 0
		for tp, m := range checkComplete(t, spec, assignor.Uniform{}.Assign(spec)) {
			old := owner[tp]
			if old == gone {
				continue // has to move
			}
			if gone >= 0 && old > gone {
				old--
			}
			if m != old {
				moved++
			}
		}
		most := 0
		if joins {
			most = len(owner) / len(spec.Members) // what the new one has to get
			if len(owner)%len(spec.Members) > 0 {
				most++
			}
		}
		if moved > most {
			t.Fatalf("%d partitions moved between members that stayed, at most %d have to", moved, most)
		}
	})
}

func TestRange_Properties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		got := assignor.Range{}.Assign(spec)
		checkComplete(t, spec, got)
		for _, a := range got {
			for _, tp := range a {
				if last := len(tp.Partitions) - 1; int(tp.Partitions[last]-tp.Partitions[0]) != last {
					t.Fatalf("%v is not a range", tp)
				}
			}
		}
		for topic := range spec.Topics {
			fewest, most := -1, 0
			for m, a := range got {
				if !spec.Homogeneous && !slices.Contains(spec.Members[m].Topics, int32(topic)) {
					continue
				}
				n := len(a.Partitions(spec.Topics[topic].ID))
				if fewest < 0 || n < fewest {
					fewest = n
				}
				most = max(most, n)
			}
			if most-fewest > 1 {
				t.Fatalf("subscribers of topic %d have from %d to %d partitions", topic, fewest, most)
			}
		}
	})
}

func TestAssign_NoMembers(t *testing.T) {
	for _, name := range []string{"uniform", "range"} {
		spec := assignor.Spec{Topics: []assignor.Topic{{ID: topicID(1), Partitions: 3}}}
		if got := mustByName(t, name).Assign(spec); len(got) != 0 {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// bigSpec is a group of 1,000 members with 10,000 partitions in 100 topics. In a heterogeneous one, each member is subscribed
// to nine in ten of the topics, so that subscriptions overlap in as many ways as there are members.
func bigSpec(homogeneous bool) assignor.Spec {
	random := rand.New(rand.NewPCG(1, 2))
	spec := assignor.Spec{Homogeneous: homogeneous}
	for topic := range 100 {
		spec.Topics = append(spec.Topics, assignor.Topic{ID: topicID(topic), Partitions: 100})
	}
	for m := range 1000 {
		member := assignor.Member{ID: fmt.Sprintf("member-%04d", m)}
		for topic := range 100 {
			if !homogeneous && random.IntN(10) > 0 {
				member.Topics = append(member.Topics, int32(topic))
			}
		}
		spec.Members = append(spec.Members, member)
	}
	return spec
}

func TestAssign_Big(t *testing.T) {
	for _, homogeneous := range []bool{true, false} {
		spec := bigSpec(homogeneous)
		for _, name := range []string{"uniform", "range"} {
			checkComplete(t, spec, mustByName(t, name).Assign(spec))
		}
	}
}

func BenchmarkAssign(b *testing.B) {
	for _, bench := range []struct {
		name        string
		assignor    string
		homogeneous bool
		fresh       bool // nothing is assigned yet; else one member joined
	}{
		{"uniform/homogeneous/first", "uniform", true, true},
		{"uniform/homogeneous/join", "uniform", true, false},
		{"uniform/heterogeneous/first", "uniform", false, true},
		{"uniform/heterogeneous/join", "uniform", false, false},
		{"range/homogeneous/first", "range", true, true},
		{"range/heterogeneous/first", "range", false, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			spec := bigSpec(bench.homogeneous)
			a := mustByName(b, bench.assignor)
			if !bench.fresh {
				for m, got := range a.Assign(assignor.Spec{Topics: spec.Topics, Members: spec.Members[:999], Homogeneous: spec.Homogeneous}) {
					spec.Members[m].Target = got
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				a.Assign(spec)
			}
		})
	}
}
