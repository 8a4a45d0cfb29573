package history_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/distributedmq/dmq/compat-tests/history"
)

// cluster makes good histories: a log for each partition, that everything agrees with.
type cluster struct {
	rng  *rand.Rand
	logs [][]history.Value
	next []int64 // sequence of each producer
	at   []int64 // of the consumer, in each partition
	ops  []history.Op
}

func (c *cluster) add(op history.Op) {
	op.Start, op.End = time.Duration(len(c.ops))*10*ms, time.Duration(len(c.ops))*10*ms+ms
	if op.Outcome == "" {
		op.Outcome = history.OK
	}
	c.ops = append(c.ops, op)
}

func named(p int) history.Partition { return history.Partition{Topic: "t", Partition: int32(p)} }

// step does one thing that clients of a cluster do.
func (c *cluster) step() {
	p := c.rng.IntN(len(c.logs))
	switch c.rng.IntN(6) {
	case 0, 1, 2:
		from := c.rng.IntN(len(c.next))
		value := history.NewValue(int32(from+1), c.next[from])
		c.next[from]++
		op := history.Op{Kind: history.Send, Proc: int32(from + 1), Partition: named(p), Value: value, Offset: -1}
		switch c.rng.IntN(8) {
		case 0:
			op.Outcome = history.Fail
		case 1:
			op.Outcome = history.Unknown
		case 2:
			op.Outcome = history.Unknown
			c.logs[p] = append(c.logs[p], value)
		default:
			op.Offset = int64(len(c.logs[p]))
			c.logs[p] = append(c.logs[p], value)
		}
		c.add(op)
	case 3:
		c.add(history.Op{Kind: history.Poll, Proc: 50, Partition: named(p), Records: c.from(p, c.at[p])})
		c.at[p] = int64(len(c.logs[p]))
		c.add(history.Op{Kind: history.Commit, Proc: 50, Partition: named(p), Group: "g", Offset: c.at[p]})
	case 4:
		c.add(history.Op{Kind: history.End, Proc: 51, Partition: named(p), Offset: int64(len(c.logs[p])), LeaderEpoch: int32(len(c.ops) / 50)})
	case 5:
		c.add(history.Op{Kind: history.Committed, Proc: 51, Partition: named(p), Group: "g", Offset: c.at[p]})
	}
}

func (c *cluster) from(p int, offset int64) (out []history.Record) {
	for o := offset; o < int64(len(c.logs[p])); o++ {
		out = append(out, history.Record{Offset: o, Value: c.logs[p][o]})
	}
	return out
}

func goodHistory(seed uint64, steps int) []history.Op {
	c := &cluster{rng: rand.New(rand.NewPCG(seed, 1)), logs: make([][]history.Value, 3), next: make([]int64, 4), at: make([]int64, 3)}
	for i := range c.next {
		c.add(history.Op{Kind: history.Producer, Proc: int32(i + 1), Idempotent: true})
	}
	for p := range c.logs {
		c.add(history.Op{Kind: history.Assign, Proc: 50, Partition: named(p), Group: "g"})
	}
	for range steps {
		c.step()
	}
	for p := range c.logs {
		c.add(history.Op{Kind: history.Poll, Proc: 50, Partition: named(p), Records: c.from(p, c.at[p])})
		c.add(history.Op{Kind: history.Drained, Partition: named(p), Group: "g", Offset: int64(len(c.logs[p]))})
		for node := range int32(3) {
			c.add(history.Op{Kind: history.Poll, Proc: 60 + node, Partition: named(p), Final: true, Node: node, Records: c.from(p, 0)})
			c.add(history.Op{Kind: history.Finished, Proc: 60 + node, Partition: named(p), Node: node, Offset: int64(len(c.logs[p]))})
		}
	}
	return c.ops
}

func TestCheckRandomGoodHistories(t *testing.T) {
	for seed := range uint64(200) {
		ops := goodHistory(seed, 300)
		if err := history.Check(ops).Err(); err != nil {
			t.Fatalf("seed %d: a good history has %v", seed, err)
		}
	}
}

// Whatever acknowledged record is taken out of a node's log, or out of all of them, it is found.
func TestCheckRandomLosses(t *testing.T) {
	for seed := range uint64(200) {
		ops := goodHistory(seed, 200)
		rng := rand.New(rand.NewPCG(seed, 2))
		var sent []history.Op
		for _, op := range ops {
			if op.Kind == history.Send && op.Outcome == history.OK {
				sent = append(sent, op)
			}
		}
		victim, node := sent[rng.IntN(len(sent))], rng.Int32N(4) // 3: of all nodes, and of the group
		for i := range ops {
			if op := &ops[i]; op.Partition == victim.Partition && (node == 3 || op.Final && op.Node == node) {
				op.Records = slices.DeleteFunc(op.Records, func(r history.Record) bool { return r.Offset == victim.Offset })
			}
		}
		res := history.Check(ops)
		if len(res.Anomalies) != 1 || res.Anomalies[history.Lost] != 1 {
			t.Fatalf("seed %d: one lost record, found %v", seed, res.Err())
		}
	}
}

func TestLines(t *testing.T) {
	var file bytes.Buffer
	w := history.NewWriter(&file)
	ops := goodHistory(7, 200)
	for _, op := range ops {
		w.Add(op)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	c := history.NewChecker()
	i := 0
	if err := history.ReadLines(bytes.NewReader(file.Bytes()), func(op history.Op) {
		c.Add(op)
		want := ops[i]
		if i++; op.Kind != want.Kind || op.Partition != want.Partition || op.Offset != want.Offset || op.Value != want.Value || !slices.Equal(op.Records, want.Records) || op.Outcome != want.Outcome {
			t.Fatalf("operation %d is %+v, want %+v", i, op, want)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if i != len(ops) {
		t.Errorf("%d operations came back of %d", i, len(ops))
	}
	if err := history.ReadLines(bytes.NewReader(file.Bytes()[:file.Len()-10]), func(history.Op) {}); err == nil {
		t.Error("a torn history is read without an error")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriterKeepsItsError(t *testing.T) {
	w := history.NewWriter(failing{})
	w.Add(history.Op{Kind: history.Send})
	if w.Flush() == nil {
		t.Error("Flush returned nil, want the error of the writer below")
	}
}

// Whatever a file says, the checker comes to an end without a panic.
func FuzzCheck(f *testing.F) {
	for seed := range uint64(3) {
		var file bytes.Buffer
		w := history.NewWriter(&file)
		for _, op := range goodHistory(seed, 20) {
			w.Add(op)
		}
		if err := w.Flush(); err != nil {
			f.Fatal(err)
		}
		f.Add(file.Bytes())
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		c := history.NewChecker()
		if err := history.ReadLines(bytes.NewReader(file), c.Add); err != nil {
			return
		}
		res := c.Finish()
		if (res.Err() == nil) != (len(res.Anomalies) == 0) {
			t.Errorf("Err = %v with %v", res.Err(), res.Anomalies)
		}
	})
}

// TestCheckMemory bounds what an operation costs: ten million have to fit into a small machine.
func TestCheckMemory(t *testing.T) {
	const n = 200_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	c := history.NewChecker()
	stream(c, n)
	perOp := float64(heap()-before) / n
	if perOp > 64 {
		t.Errorf("an operation costs %.0f bytes, want at most 64", perOp)
	}
	if res := c.Finish(); res.Err() != nil || res.Acked != n {
		t.Errorf("%d acknowledged, %v", res.Acked, res.Err())
	}
}

// stream has n records sent and read, without keeping the operations.
func stream(c *history.Checker, n int) {
	c.Add(history.Op{Kind: history.Producer, Proc: 1, Idempotent: true})
	c.Add(history.Op{Kind: history.Assign, Proc: 9, Partition: p0})
	for i := range int64(n) {
		value := history.NewValue(1, i)
		c.Add(history.Op{Kind: history.Send, Proc: 1, Outcome: history.OK, Partition: p0, Offset: i, Value: value})
		c.Add(history.Op{Kind: history.Poll, Proc: 9, Outcome: history.OK, Partition: p0, Final: true, Records: []history.Record{{Offset: i, Value: value}}})
	}
	c.Add(history.Op{Kind: history.Finished, Proc: 9, Partition: p0, Offset: int64(n)})
}

func BenchmarkCheck(b *testing.B) {
	b.ReportAllocs()
	c := history.NewChecker()
	stream(c, b.N)
	if err := c.Finish().Err(); err != nil {
		b.Fatal(err)
	}
}
