package fetchsession_test

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/distributedmq/dmq/broker/fetchsession"
	"github.com/distributedmq/dmq/protocol"
)

// The scenarios follow those of Kafka's FetchSessionTest.

const (
	errNotFound = 70
	errEpoch    = 71
	errTopicID  = 106
)

var (
	start = time.Unix(1_700_000_000, 0)
	fooID = protocol.TopicID{1}
	barID = protocol.TopicID{2}
	names = map[protocol.TopicID]string{fooID: "foo", barID: "bar"}
)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func topicName(id protocol.TopicID) (string, bool) {
	name, ok := names[id]
	return name, ok
}

func newCache(slots int) *fetchsession.Cache {
	return fetchsession.New(fetchsession.Options{Slots: slots, MinEvict: time.Second, Rand: rand.New(rand.NewPCG(1, 2))})
}

// part is a partition of foo.
func part(partition int32) fetchsession.Partition { return partOf("foo", fooID, partition) }

func partOf(topic string, id protocol.TopicID, partition int32) fetchsession.Partition {
	return fetchsession.Partition{
		TopicIDPartition: protocol.TopicIDPartition{ID: id, Topic: topic, Partition: partition},
		FetchOffset:      10, MaxBytes: 100, LogStartOffset: -1, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1,
	}
}

func parts(n int) []fetchsession.Partition {
	out := make([]fetchsession.Partition, n)
	for i := range out {
		out[i] = part(int32(i))
	}
	return out
}

// quiet answers every partition with a high watermark of 100 and no records.
func quiet(x *fetchsession.Context) []fetchsession.Result {
	out := make([]fetchsession.Result, len(x.Partitions))
	for i := range out {
		out[i] = fetchsession.Result{HighWatermark: 100}
	}
	return out
}

// create makes a session of n partitions and returns its id, 0 if it was not granted.
func create(c *fetchsession.Cache, ms, n int, follower bool) int32 {
	x := c.Open(at(ms), fetchsession.Request{Version: 18, Follower: follower, Partitions: parts(n)})
	return x.Finish(at(ms), quiet(x)).SessionID
}

// client sends incremental fetches with the right epochs.
type client struct {
	t     *testing.T
	cache *fetchsession.Cache
	id    int32
	epoch int32
}

func (c *client) fetch(ms int, parts []fetchsession.Partition, forgotten ...fetchsession.Partition) *fetchsession.Context {
	c.t.Helper()
	x := c.cache.Open(at(ms), fetchsession.Request{
		Version: 18, SessionID: c.id, Epoch: c.epoch, Partitions: parts, Forgotten: ids(forgotten), TopicName: topicName,
	})
	if x.ErrorCode != 0 {
		c.t.Fatalf("epoch %d: got session error %d", c.epoch, x.ErrorCode)
	}
	c.epoch++
	return x
}

func ids(parts []fetchsession.Partition) []protocol.TopicIDPartition {
	var out []protocol.TopicIDPartition
	for _, p := range parts {
		out = append(out, p.TopicIDPartition)
	}
	return out
}

func wantParts(t *testing.T, x *fetchsession.Context, want ...fetchsession.Partition) {
	t.Helper()
	if d := cmp.Diff(want, x.Partitions, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("partitions to fetch (-want +got):\n%s", d)
	}
}

func wantAnswer(t *testing.T, got, want fetchsession.Answer) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
}

// alive lists which of the sessions exist. It uses an epoch that no session has, so that nothing is touched.
func alive(c *fetchsession.Cache, sessions ...int32) []bool {
	out := make([]bool, len(sessions))
	for i, id := range sessions {
		x := c.Open(start, fetchsession.Request{Version: 18, SessionID: id, Epoch: math.MaxInt32 - 1})
		out[i] = x.ErrorCode == errEpoch
	}
	return out
}

func wantAlive(t *testing.T, c *fetchsession.Cache, sessions []int32, want ...bool) {
	t.Helper()
	if d := cmp.Diff(want, alive(c, sessions...)); d != "" {
		t.Errorf("sessions alive (-want +got):\n%s", d)
	}
}

func TestCache_LifeOfASession(t *testing.T) {
	c := newCache(10)
	x := c.Open(at(0), fetchsession.Request{Version: 18, Epoch: -1, Partitions: parts(1)})
	wantParts(t, x, part(0))
	wantAnswer(t, x.Finish(at(0), quiet(x)), fetchsession.Answer{})

	x = c.Open(at(0), fetchsession.Request{Version: 18, Partitions: parts(2)})
	wantParts(t, x, part(0), part(1))
	id := x.Finish(at(0), quiet(x)).SessionID
	if id <= 0 || c.Len() != 1 || c.Partitions() != 2 {
		t.Fatalf("got session %d, %d sessions with %d partitions, want one with 2", id, c.Len(), c.Partitions())
	}
	for _, bad := range []struct {
		name      string
		id, epoch int32
		version   int16
		want      int16
	}{
		{"wrong epoch", id, 5, 18, errEpoch},
		{"epoch of the past", id, -5, 18, errEpoch},
		{"no such session", id + 1, 1, 18, errNotFound},
		{"negative session", -7, 1, 18, errNotFound},
		{"names in a session of ids", id, 1, 12, errTopicID},
	} {
		x := c.Open(at(0), fetchsession.Request{Version: bad.version, SessionID: bad.id, Epoch: bad.epoch, Partitions: parts(3)})
		if x.ErrorCode != bad.want || len(x.Partitions) != 0 {
			t.Errorf("%s: got error %d and %d partitions, want %d and none", bad.name, x.ErrorCode, len(x.Partitions), bad.want)
		}
		wantAnswer(t, x.Finish(at(0), nil), fetchsession.Answer{ErrorCode: bad.want})
	}
	cl := &client{t, c, id, 1}
	x = cl.fetch(0, nil)
	wantParts(t, x, part(0), part(1))
	wantAnswer(t, x.Finish(at(0), quiet(x)), fetchsession.Answer{SessionID: id, Omit: []bool{true, true}})
	x = cl.fetch(0, nil)
	wantAnswer(t, x.Throttled(), fetchsession.Answer{SessionID: id})

	x = c.Open(at(0), fetchsession.Request{Version: 18, SessionID: id, Epoch: -1, Partitions: parts(1)})
	wantParts(t, x, part(0))
	wantAnswer(t, x.Finish(at(0), quiet(x)), fetchsession.Answer{})
	if c.Len() != 0 || c.Partitions() != 0 {
		t.Errorf("got %d sessions with %d partitions after closing, want none", c.Len(), c.Partitions())
	}
}

func TestCache_ReplacesTheSessionAFullFetchNames(t *testing.T) {
	c := newCache(10)
	id := create(c, 0, 2, false)
	x := c.Open(at(0), fetchsession.Request{Version: 18, SessionID: id, Epoch: 0, Partitions: parts(3)})
	next := x.Finish(at(0), quiet(x)).SessionID
	if next == 0 || next == id || c.Len() != 1 || c.Partitions() != 3 {
		t.Errorf("got session %d after %d, %d sessions with %d partitions, want another one with 3", next, id, c.Len(), c.Partitions())
	}
}

func TestCache_NamesInASession(t *testing.T) {
	c := newCache(10)
	byName := func(p fetchsession.Partition) fetchsession.Partition {
		p.ID = protocol.TopicID{}
		return p
	}
	x := c.Open(at(0), fetchsession.Request{Version: 12, Partitions: []fetchsession.Partition{byName(part(0)), byName(part(1))}})
	id := x.Finish(at(0), quiet(x)).SessionID
	if x := c.Open(at(0), fetchsession.Request{Version: 13, SessionID: id, Epoch: 1}); x.ErrorCode != errTopicID {
		t.Errorf("got error %d for ids in a session of names, want %d", x.ErrorCode, errTopicID)
	}
	x = c.Open(at(0), fetchsession.Request{
		Version: 7, SessionID: id, Epoch: 1,
		Partitions: []fetchsession.Partition{byName(partOf("bar", barID, 0))}, Forgotten: ids([]fetchsession.Partition{byName(part(0))}),
	})
	wantParts(t, x, byName(part(1)), byName(partOf("bar", barID, 0)))
}

func TestCache_UpdatesWhatIsFetched(t *testing.T) {
	c := newCache(10)
	id := create(c, 0, 3, false)
	cl := &client{t, c, id, 1}
	changed := part(1)
	changed.FetchOffset, changed.MaxBytes, changed.CurrentLeaderEpoch, changed.LastFetchedEpoch, changed.LogStartOffset = 99, 7, 6, 5, 4
	bar := partOf("bar", barID, 0)
	x := cl.fetch(0, []fetchsession.Partition{changed, bar}, part(0), part(77))
	wantParts(t, x, changed, part(2), bar)
	wantAnswer(t, x.Finish(at(0), quiet(x)), fetchsession.Answer{SessionID: id, Omit: []bool{false, true, false}})
	if c.Partitions() != 3 {
		t.Errorf("got %d partitions cached, want 3", c.Partitions())
	}
	wantParts(t, cl.fetch(0, nil), changed, part(2), bar)

	x = cl.fetch(0, nil, part(1), part(2), bar)
	wantParts(t, x)
	wantAnswer(t, x.Finish(at(0), nil), fetchsession.Answer{})
	if c.Len() != 0 {
		t.Error("a session without partitions is kept")
	}
}

func TestCache_ResolvesNamesLater(t *testing.T) {
	c := newCache(10)
	unknown := partOf("", barID, 0)
	x := c.Open(at(0), fetchsession.Request{Version: 18, Partitions: []fetchsession.Partition{part(0), unknown}})
	id := x.Finish(at(0), quiet(x)).SessionID
	none := func(protocol.TopicID) (string, bool) { return "", false }
	x = c.Open(at(0), fetchsession.Request{Version: 18, SessionID: id, Epoch: 1, TopicName: none})
	wantParts(t, x, part(0), unknown)
	cl := &client{t, c, id, 2}
	wantParts(t, cl.fetch(0, nil), part(0), partOf("bar", barID, 0))
	// The name is kept, and does not matter for what is forgotten.
	x = c.Open(at(0), fetchsession.Request{Version: 18, SessionID: id, Epoch: 3, TopicName: none, Partitions: []fetchsession.Partition{unknown}})
	wantParts(t, x, part(0), partOf("bar", barID, 0))
	cl.epoch = 4
	wantParts(t, cl.fetch(0, nil, unknown), part(0))
}

func TestContext_SendsNews(t *testing.T) {
	c := newCache(10)
	const base = 100
	for _, tc := range []struct {
		name string
		r    fetchsession.Result
		sent bool
		next bool // sent again when the following answer is as at first
	}{
		{"nothing", fetchsession.Result{HighWatermark: base}, false, false},
		{"records", fetchsession.Result{HighWatermark: base, RecordBytes: 1}, true, false},
		{"high watermark", fetchsession.Result{HighWatermark: base + 1}, true, true},
		{"log start offset", fetchsession.Result{HighWatermark: base, LogStartOffset: 1}, true, true},
		{"error", fetchsession.Result{HighWatermark: base, ErrorCode: 6}, true, true},
		{"diverging epoch or preferred replica", fetchsession.Result{HighWatermark: base, MustSend: true}, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cl := &client{t, c, create(c, 0, 2, false), 1}
			x := cl.fetch(0, nil)
			a := x.Finish(at(0), []fetchsession.Result{{HighWatermark: base}, tc.r})
			wantAnswer(t, a, fetchsession.Answer{SessionID: cl.id, Omit: []bool{true, !tc.sent}})
			x = cl.fetch(0, nil)
			a = x.Finish(at(0), quiet(x))
			wantAnswer(t, a, fetchsession.Answer{SessionID: cl.id, Omit: []bool{true, !tc.next}})
		})
	}
}

// A follower drops an answer that comes after it has heard of another leader epoch, and the high watermark with it.
func TestContext_SendsTheHighWatermarkAgainInANewLeaderEpoch(t *testing.T) {
	c := newCache(10)
	cl := &client{t, c, create(c, 0, 2, true), 1}
	later := part(1)
	later.CurrentLeaderEpoch = 7
	for _, omitted := range []bool{false, true} { // once in the epoch
		x := cl.fetch(0, []fetchsession.Partition{part(0), later})
		wantAnswer(t, x.Finish(at(0), quiet(x)), fetchsession.Answer{SessionID: cl.id, Omit: []bool{true, omitted}})
	}
}

func TestContext_MovesPartitionsWithRecordsToTheEnd(t *testing.T) {
	c := newCache(10)
	cl := &client{t, c, create(c, 0, 3, false), 1}
	x := cl.fetch(0, nil)
	x.Finish(at(0), []fetchsession.Result{{HighWatermark: 120, RecordBytes: 5}, {HighWatermark: 130}, {HighWatermark: 100}})
	x = cl.fetch(0, nil)
	wantParts(t, x, part(1), part(2), part(0))
	x.Finish(at(0), []fetchsession.Result{{HighWatermark: 130, RecordBytes: 5}, {HighWatermark: 100}, {HighWatermark: 120, RecordBytes: 5}})
	wantParts(t, cl.fetch(0, nil), part(2), part(1), part(0))
}

func TestContext_RefusesToAnswerASupersededRequest(t *testing.T) {
	c := newCache(10)
	cl := &client{t, c, create(c, 0, 1, false), 1}
	first, second := cl.fetch(0, nil), cl.fetch(0, nil)
	wantAnswer(t, first.Finish(at(0), quiet(first)), fetchsession.Answer{ErrorCode: errEpoch, SessionID: cl.id})
	wantAnswer(t, first.Throttled(), fetchsession.Answer{ErrorCode: errEpoch, SessionID: cl.id})
	wantAnswer(t, second.Finish(at(0), quiet(second)), fetchsession.Answer{SessionID: cl.id, Omit: []bool{true}})
}

func TestCache_KeepsTheLastMentionOfAPartition(t *testing.T) {
	again := part(0)
	again.FetchOffset = 99
	x := newCache(10).Open(at(0), fetchsession.Request{Version: 18, Partitions: []fetchsession.Partition{part(0), part(1), again}})
	wantParts(t, x, again, part(1))
}

func TestCache_EvictsTheLeastValuable(t *testing.T) {
	c := newCache(3)
	s := []int32{create(c, 0, 10, false), create(c, 100, 20, false), create(c, 200, 30, false)}
	if create(c, 300, 40, false) != 0 || create(c, 400, 5, false) != 0 {
		t.Error("a session was created at the cost of a recent one")
	}
	wantAlive(t, c, s, true, true, true)

	one := &client{t, c, s[0], 1}
	one.fetch(1500, nil)
	s = append(s, create(c, 1600, 11, false)) // evicts the second, which is stale
	wantAlive(t, c, s, true, false, true, true)

	three, four := &client{t, c, s[2], 1}, &client{t, c, s[3], 1}
	one.fetch(2700, nil)
	three.fetch(2600, nil)
	four.fetch(2700, nil)
	s = append(s, create(c, 2710, 50, false)) // evicts the smallest
	wantAlive(t, c, s, false, false, true, true, true)
	if create(c, 2710, 5, false) != 0 {
		t.Error("a small session was created at the cost of a larger one")
	}
	s = append(s, create(c, 2710, 5, true)) // a follower's evicts any consumer's
	wantAlive(t, c, s, false, false, true, false, true, true)
	if c.Evictions() != 3 {
		t.Errorf("got %d evictions, want 3", c.Evictions())
	}
}

func TestCache_EvictsByTime(t *testing.T) {
	c := newCache(2)
	s := []int32{create(c, 0, 2, false), create(c, 500, 2, false)}
	(&client{t, c, s[0], 1}).fetch(1000, nil)
	s = append(s, create(c, 1501, 2, false))
	wantAlive(t, c, s, true, false, true)
}

func TestCache_PrefersFollowers(t *testing.T) {
	c := newCache(2)
	s := []int32{create(c, 0, 2, true), create(c, 500, 2, false)}
	s = append(s, create(c, 1000, 2, true)) // evicts the consumer's, though the follower's is older
	wantAlive(t, c, s, true, false, true)
	s = append(s, create(c, 1501, 2, true)) // evicts the follower's that is stale
	wantAlive(t, c, s, false, false, true, true)
}

func TestCache_BoundsPartitions(t *testing.T) {
	c := fetchsession.New(fetchsession.Options{Partitions: 100, MinEvict: time.Second, Rand: rand.New(rand.NewPCG(1, 2))})
	if create(c, 0, 101, false) != 0 {
		t.Error("a session larger than the cache was created")
	}
	s := []int32{create(c, 0, 60, false), create(c, 0, 40, false)}
	if create(c, 10, 1, false) != 0 {
		t.Error("a session was created beyond the limit")
	}
	x := c.Open(at(10), fetchsession.Request{Version: 18, SessionID: s[1], Epoch: 1, Partitions: parts(41)})
	if x.ErrorCode != errNotFound {
		t.Errorf("got error %d for a session that outgrows the cache, want %d", x.ErrorCode, errNotFound)
	}
	wantAlive(t, c, s, true, false)
	if c.Partitions() != 60 {
		t.Errorf("got %d partitions cached, want 60", c.Partitions())
	}
	none := fetchsession.New(fetchsession.Options{Slots: -1, Rand: rand.New(rand.NewPCG(1, 2))})
	if create(none, 0, 1, true) != 0 {
		t.Error("a session was created in a cache without slots")
	}
}

// Two connections use one session, while others create sessions that evict it.
func TestCache_Concurrent(t *testing.T) {
	c := fetchsession.New(fetchsession.Options{Slots: 4, MinEvict: time.Millisecond, Rand: rand.New(rand.NewPCG(1, 2))})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			id, epoch := int32(0), int32(0)
			for i := range 2000 {
				x := c.Open(at(i), fetchsession.Request{Version: 18, SessionID: id, Epoch: epoch, Partitions: parts(1 + (i+w)%5)})
				a := x.Finish(at(i), quiet(x))
				if a.ErrorCode != 0 || a.SessionID == 0 {
					id, epoch = 0, 0
					continue
				}
				id, epoch = a.SessionID, epoch+1
			}
		})
	}
	wg.Wait()
	if c.Len() > 4 {
		t.Errorf("got %d sessions, want at most 4", c.Len())
	}
}

func BenchmarkIncremental(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(map[int]string{1: "partitions=1", 100: "partitions=100", 1000: "partitions=1000"}[n], func(b *testing.B) {
			c := fetchsession.New(fetchsession.Options{Rand: rand.New(rand.NewPCG(1, 2))})
			id, epoch := create(c, 0, n, false), int32(1)
			results := make([]fetchsession.Result, n)
			b.ReportAllocs()
			for b.Loop() {
				x := c.Open(start, fetchsession.Request{Version: 18, SessionID: id, Epoch: epoch, TopicName: topicName})
				x.Finish(start, results)
				epoch++
			}
		})
	}
}
