package history_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distributedmq/dmq/compat-tests/history"
)

const (
	ms       = time.Millisecond
	writer   = 1 // idempotent
	plain    = 2 // a producer that is not
	consumer = 10
	member   = 11
	watcher  = 12
	final    = 20 // of node 1; the next of node 2
)

var p0 = history.Partition{Topic: "t"}

func v(producer int32, seq int64) history.Value { return history.NewValue(producer, seq) }

func recs(pairs ...any) (out []history.Record) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, history.Record{Offset: int64(pairs[i].(int)), Value: pairs[i+1].(history.Value)})
	}
	return out
}

// The places of the operations of good.
const (
	sendA = 2 + iota
	sendB
	sendC // unknown, and there
	sendD // refused
	sendE // of the plain producer
	assignConsumer
	pollConsumer
	pollConsumerMore
	assignMember
	pollMember
	commitMember
	committedMember
	endFirst
	endSecond
	final1
	finished1
	final2
	finished2
	drained
)

// good is a history without a fault: a partition with five records, of which one is not known to be there.
func good() []history.Op {
	at := time.Duration(0)
	op := func(o history.Op) history.Op {
		at += 2 * ms
		o.Start, o.End = at-ms, at
		if o.Outcome == "" {
			o.Outcome = history.OK
		}
		o.Partition = p0
		return o
	}
	send := func(outcome history.Outcome, offset int64, value history.Value) history.Op {
		return op(history.Op{Kind: history.Send, Proc: value.Producer(), Outcome: outcome, Offset: offset, Value: value})
	}
	all := recs(0, v(writer, 0), 1, v(writer, 1), 2, v(writer, 2), 3, v(plain, 0))
	finalPoll := func(node int32) history.Op {
		return op(history.Op{Kind: history.Poll, Proc: final + node, Final: true, Node: node, Records: slices.Clone(all)})
	}
	finished := func(node int32) history.Op {
		return op(history.Op{Kind: history.Finished, Proc: final + node, Node: node, Offset: 4})
	}
	return []history.Op{
		{Kind: history.Producer, Proc: writer, Idempotent: true},
		{Kind: history.Producer, Proc: plain},
		sendA:            send(history.OK, 0, v(writer, 0)),
		sendB:            send(history.OK, 1, v(writer, 1)),
		sendC:            send(history.Unknown, -1, v(writer, 2)),
		sendD:            send(history.Fail, -1, v(writer, 3)),
		sendE:            send(history.OK, 3, v(plain, 0)),
		assignConsumer:   op(history.Op{Kind: history.Assign, Proc: consumer}),
		pollConsumer:     op(history.Op{Kind: history.Poll, Proc: consumer, Records: slices.Clone(all[:2])}),
		pollConsumerMore: op(history.Op{Kind: history.Poll, Proc: consumer, Records: slices.Clone(all[2:])}),
		assignMember:     op(history.Op{Kind: history.Assign, Proc: member, Offset: -1, Group: "g"}),
		pollMember:       op(history.Op{Kind: history.Poll, Proc: member, Records: slices.Clone(all)}),
		commitMember:     op(history.Op{Kind: history.Commit, Proc: member, Group: "g", Offset: 4}),
		committedMember:  op(history.Op{Kind: history.Committed, Proc: watcher, Group: "g", Offset: 4}),
		endFirst:         op(history.Op{Kind: history.End, Proc: watcher, LeaderEpoch: 1, Offset: 3}),
		endSecond:        op(history.Op{Kind: history.End, Proc: watcher, LeaderEpoch: 2, Offset: 4}),
		final1:           finalPoll(1),
		finished1:        finished(1),
		final2:           finalPoll(2),
		finished2:        finished(2),
		drained:          op(history.Op{Kind: history.Drained, Group: "g", Offset: 4}),
	}
}

type edit func([]history.Op) []history.Op

func change(i int, f func(*history.Op)) edit {
	return func(h []history.Op) []history.Op { f(&h[i]); return h }
}

func without(places ...int) edit {
	return func(h []history.Op) []history.Op {
		for _, i := range slices.Backward(places) {
			h = slices.Delete(h, i, i+1)
		}
		return h
	}
}

// inAll changes the record at an offset wherever it was shown.
func inAll(offset int, f func(*history.Record)) edit {
	return func(h []history.Op) []history.Op {
		for i := range h {
			for j := range h[i].Records {
				if h[i].Records[j].Offset == int64(offset) {
					f(&h[i].Records[j])
				}
			}
		}
		return h
	}
}

// nowhere takes the record at an offset out of all that was shown.
func nowhere(offset int64) edit {
	return func(h []history.Op) []history.Op {
		for i := range h {
			h[i].Records = slices.DeleteFunc(h[i].Records, func(r history.Record) bool { return r.Offset == offset })
		}
		return h
	}
}

func both(edits ...edit) edit {
	return func(h []history.Op) []history.Op {
		for _, e := range edits {
			h = e(h)
		}
		return h
	}
}

func show(i int, records ...history.Record) edit {
	return change(i, func(o *history.Op) { o.Records = records })
}

// A checker that finds nothing proves nothing: each anomaly has to be found in a history that has it, and nothing else.
func TestCheck(t *testing.T) {
	tests := []struct {
		name string
		edit edit
		want string // kinds, sorted; "": none
	}{
		{"a good history", func(h []history.Op) []history.Op { return h }, ""},
		{"an acknowledged record is nowhere", nowhere(1), "lost"},
		{"its place was given to another", inAll(1, func(r *history.Record) { r.Value = v(writer, 2) }), "duplicated lost"},
		{"its place was given to an unknown one", both(inAll(1, func(r *history.Record) { r.Value = v(writer, 2) }), nowhere(2)), "lost"},
		{"one node does not have it", show(final2, recs(0, v(writer, 0), 2, v(writer, 2), 3, v(plain, 0))...), "lost"},
		{"one node does not have the first", show(final2, recs(1, v(writer, 1), 2, v(writer, 2), 3, v(plain, 0))...), "lost"},
		{"no node has what a consumer was shown", both(
			show(final1, recs(0, v(writer, 0), 1, v(writer, 1), 3, v(plain, 0))...), show(final2, recs(0, v(writer, 0), 1, v(writer, 1), 3, v(plain, 0))...)), "lost"},
		{"the end of one node's log is missing below the end that it tells", show(final2, recs(0, v(writer, 0), 1, v(writer, 1), 2, v(writer, 2))...), "lost"},
		{"a client is told of data loss", change(endSecond, func(o *history.Op) { o.Kind = history.DataLoss }), "lost"},
		{"an unknown record is not there", nowhere(2), ""},
		{"final reads end early", both(
			show(final2, recs(0, v(writer, 0), 1, v(writer, 1), 2, v(writer, 2))...), change(finished2, func(o *history.Op) { o.Offset = 3 })), "unseen"},
		{"an acknowledged record was seen by nobody", both(nowhere(3), change(finished1, func(o *history.Op) { o.Offset = 3 }), change(finished2, func(o *history.Op) { o.Offset = 3 })), "unseen"},
		{"nobody read at the end", without(final1, finished1, final2, finished2), "unread"},
		{"a record of an idempotent producer is there twice", both(
			inAll(2, func(r *history.Record) { r.Value = v(writer, 0) })), "duplicated"},
		{"a record of a producer that is not idempotent is there twice", both(inAll(2, func(r *history.Record) { r.Value = v(plain, 0) })), ""},
		{"a producer's later record has the lower offset", both(
			change(sendA, func(o *history.Op) { o.Offset = 1 }), change(sendB, func(o *history.Op) { o.Offset = 0 }),
			inAll(0, func(r *history.Record) { r.Value = v(writer, 1) }), inAll(1, func(r *history.Record) { r.Value = v(writer, 0) })), "reordered"},
		{"a consumer is shown a record again", show(pollConsumerMore, recs(1, v(writer, 1), 2, v(writer, 2), 3, v(plain, 0))...), "reordered"},
		{"a consumer that is given the partition anew is shown a record again", both(
			show(pollConsumerMore, recs(1, v(writer, 1), 2, v(writer, 2), 3, v(plain, 0))...),
			func(h []history.Op) []history.Op {
				return slices.Insert(h, pollConsumerMore, history.Op{Kind: history.Assign, Proc: consumer, Partition: p0, Offset: 1})
			}), ""},
		{"a consumer passes over a record", show(pollConsumerMore, recs(3, v(plain, 0))...), "skipped"},
		{"a consumer passes over the first record", show(pollConsumer, recs(1, v(writer, 1))...), "skipped"},
		{"a consumer passes over what is no record", both(nowhere(2), show(pollConsumerMore, recs(3, v(plain, 0))...)), ""},
		{"a group passes over the first record", show(pollMember, recs(1, v(writer, 1), 2, v(writer, 2), 3, v(plain, 0))...), "skipped"},
		{"a group passes over the last record", show(pollMember, recs(0, v(writer, 0), 1, v(writer, 1), 2, v(writer, 2))...), "skipped"},
		{"a group is not done yet", both(without(drained), show(pollMember, recs(0, v(writer, 0))...)), ""},
		{"two consumers are shown different records at an offset", show(pollConsumerMore, recs(2, v(plain, 0), 3, v(plain, 0))...), "disagreeing"},
		{"two nodes hold different records at an offset", show(final2, recs(0, v(writer, 0), 1, v(writer, 1), 2, v(plain, 0), 3, v(plain, 0))...), "disagreeing"},
		{"a record is not where it was acknowledged", both(
			change(sendE, func(o *history.Op) { o.Offset = 7 })), "disagreeing"},
		{"a record is not in the partition where it was sent", change(sendE, func(o *history.Op) { o.Topic, o.Offset = "u", 3 }), "disagreeing unread"},
		{"a refused record is there", inAll(2, func(r *history.Record) { r.Value = v(writer, 3) }), "unsent"},
		{"a record comes out of nowhere", inAll(2, func(r *history.Record) { r.Value = v(77, 0) }), "unsent"},
		{"a record does not hold what it was sent with", inAll(2, func(r *history.Record) { r.Value = -1 }), "corrupted"},
		{"an offset cannot be", show(pollConsumerMore, recs(2, v(writer, 2), 3, v(plain, 0), -5, v(writer, 9))...), "corrupted"},
		{"the end goes back in an epoch", change(endSecond, func(o *history.Op) { o.LeaderEpoch, o.Offset = 1, 2 }), "watermark back"},
		{"the end goes back in the next epoch", change(endSecond, func(o *history.Op) { o.Offset = 2 }), "watermark back"},
		{"a leader that does not know that it was deposed tells an older end", change(endSecond, func(o *history.Op) { o.LeaderEpoch, o.Offset = 0, 2 }), ""},
		{"another client is told an older end", change(endSecond, func(o *history.Op) { o.Proc, o.Offset = watcher+1, 2 }), ""},
		{"an acknowledged commit is gone", change(committedMember, func(o *history.Op) { o.Offset = -1 }), "commit back"},
		{"an older commit is back", change(committedMember, func(o *history.Op) { o.Offset = 3 }), "commit back"},
		{"a commit that was on its way is not there yet", change(committedMember, func(o *history.Op) { o.Offset, o.Start = 3, o.Start-3*ms }), ""},
		{"a commit that may have been refused is not there", both(
			change(commitMember, func(o *history.Op) { o.Outcome = history.Unknown }), change(committedMember, func(o *history.Op) { o.Offset = -1 })), ""},
		{"a commit out of nowhere", change(committedMember, func(o *history.Op) { o.Offset = 9 }), "unsent"},
		{"a refused commit is there", change(commitMember, func(o *history.Op) { o.Outcome = history.Fail }), "unsent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := history.Check(tt.edit(good()))
			var kinds []string
			for _, k := range slices.Sorted(maps.Keys(res.Anomalies)) {
				kinds = append(kinds, string(k))
			}
			if got := strings.Join(kinds, " "); got != tt.want {
				t.Errorf("Check found %q, want %q\n%v", got, tt.want, res.Err())
			}
			if (res.Err() == nil) != (tt.want == "") {
				t.Errorf("Err = %v", res.Err())
			}
		})
	}
}

func TestCheckCounts(t *testing.T) {
	res := history.Check(good())
	got := fmt.Sprint(res.Acked, res.Refused, res.Unknown, res.Read, res.Final, res.Commits)
	if want := "3 1 1 4 8 1"; got != want {
		t.Errorf("acked, refused, unknown, read, final, commits = %s, want %s", got, want)
	}
	res = history.Check(nowhere(1)(good()))
	if n := res.Anomalies[history.Lost]; n != 1 {
		t.Errorf("a record that two nodes lost is counted %d times", n)
	}
	if text := res.Err().Error(); !strings.Contains(text, "1/1 was acknowledged in t-0 at 1, where now is nothing") {
		t.Errorf("Err = %s", text)
	}
}
