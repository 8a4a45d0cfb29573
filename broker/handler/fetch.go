package handler

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/fetchsession"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// serveFetch answers with batches as they lie in the log.
//
// Fetch: v4-v18
//
// Behaviour:
//   - the session (KIP-227) says what is fetched and what of the answer is news; see fetchsession
//   - partitions are filled in their order up to max_bytes, but no more than fetch.max.bytes; the first that has
//     anything gives a whole batch whatever the limits
//   - records up to the high watermark, or with read_committed up to the last stable offset; a follower's, to the log end
//   - a follower's fetch offset is where its log ends: what it has acknowledged; see replica.Manager.Read
//   - the fetch offset is out of range only below the log start and above the log end
//   - an isolation level that does not exist, and a negative limit: UNKNOWN_SERVER_ERROR; a negative max_bytes hits the
//     first partition only
//   - partitions that were not read stand behind those that were
//
// When it is answered:
//   - Case A: nothing can be read (unknown partitions only, session error), or max_wait is not positive: at once
//   - Case B: there are min_bytes, an error, a diverging epoch or a replica to prefer among what was read: at once
//   - Case C: else when B becomes true, or max_wait has passed, with what can be read then
//
// Version notes:
//   - v5 log start offset; before v6 KAFKA_STORAGE_ERROR is sent as NOT_LEADER_OR_FOLLOWER
//   - v7 sessions and top-level error; v9 leader epoch checks
//   - v11 rack id: the leader may name a follower to read from (KIP-392), and followers answer consumers, up to their own high
//     watermark
//   - v12 last fetched epoch: the diverging epoch instead of records (KIP-595)
//   - v13 topics by id (KIP-516): UNKNOWN_TOPIC_ID; v15 replica state instead of replica id
//   - v16 leader and its address with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH (KIP-951)
//   - v17, v18 a follower's directory and high watermark, which are not used
//
// Differences from Apache Kafka: batches are always whole: Kafka cuts the last one off at the limit, for clients to drop.
func (d *dataHandler) serveFetch(_ context.Context, r *listener.Request) listener.Response {
	req, ok := r.Body.(*kmsg.FetchRequest)
	if !ok {
		return listener.Close{Err: fmt.Errorf("fetch decoded as %T", r.Body)}
	}
	c := newFetchCall(d, r, req)
	img := d.h.images.Image()
	c.open(img)
	if c.session.ErrorCode != 0 {
		return c.sessionError(c.session.ErrorCode)
	}
	failed := c.plan(img)
	if len(c.parts) == 0 {
		return c.answer()
	}
	if !isolationKnown(req.IsolationLevel) {
		return c.requestError(errcode.KindUnknown)
	}
	c.read()
	if failed || req.MaxWaitMillis <= 0 || d.replicas.Enough(c.opts, c.results) {
		return c.answer()
	}
	c.closeRecords()
	return c.wait()
}

// wait promises the answer for when there is enough, or the time is up.
func (c *fetchCall) wait() listener.Response {
	pending := listener.NewPending(false)
	c.pending = pending
	deadline := c.received.Add(time.Duration(c.req.MaxWaitMillis) * time.Millisecond)
	// c is answered on the connection's goroutine, which is this one: it stays ours until the promise is returned.
	if w := c.d.replicas.AwaitRead(c.opts, c.parts, deadline, c.done); w != nil {
		pending.OnAbandon(w.Cancel)
	}
	return pending
}

// fetchCall is one Fetch on its way. Calls are reused: c belongs to whoever answers it.
type fetchCall struct {
	d            *dataHandler
	req          *kmsg.FetchRequest
	listenerName string
	received     time.Time
	replicaID    protocol.NodeID
	replicaEpoch protocol.BrokerEpoch
	session      *fetchsession.Context
	pending      *listener.Pending

	asked    []fetchsession.Partition // the request's partitions
	opts     replica.ReadOptions
	parts    []replica.ReadPartition // what is read
	results  []replica.ReadResult    // parallel to parts
	refusals []int16                 // parallel to session.Partitions: why one is not read, or 0
	news     []fetchsession.Result   // parallel to session.Partitions
	places   []int                   // parallel to session.Partitions: where in resp.Partitions
	mustSend []bool                  // parallel to parts
	resp     fetchResponse
	hints    leaderHints

	done    func()            // c.complete
	respond listener.Deferred // c.readAgain
}

func newFetchCall(d *dataHandler, r *listener.Request, req *kmsg.FetchRequest) *fetchCall {
	c, ok := d.fetchCalls.Get().(*fetchCall)
	if !ok {
		c = new(fetchCall)
		c.done, c.respond = c.complete, c.readAgain
	}
	c.d, c.req, c.listenerName, c.received = d, req, r.Conn.ListenerName, r.Received
	c.replicaID, c.replicaEpoch = protocol.NodeID(req.ReplicaID), replica.Unset
	if req.Version >= 15 {
		c.replicaID, c.replicaEpoch = protocol.NodeID(req.ReplicaState.ID), protocol.BrokerEpoch(req.ReplicaState.Epoch)
	}
	return c
}

// recycle gives the call back. What it points to must not stay alive.
func (c *fetchCall) recycle() {
	clear(c.asked)
	clear(c.parts)
	clear(c.results)
	clear(c.resp.Partitions)
	clear(c.hints.nodes)
	d := c.d
	c.d, c.req, c.session, c.pending = nil, nil, nil, nil
	c.asked, c.parts, c.results = c.asked[:0], c.parts[:0], c.results[:0]
	c.refusals, c.news, c.places, c.mustSend = c.refusals[:0], c.news[:0], c.places[:0], c.mustSend[:0]
	c.resp = fetchResponse{Partitions: c.resp.Partitions[:0]}
	c.hints = leaderHints{nodes: c.hints.nodes[:0]}
	d.fetchCalls.Put(c)
}

// open finds out from the session what is fetched.
func (c *fetchCall) open(img *image.Image) {
	for i := range c.req.Topics {
		t := &c.req.Topics[i]
		tp := protocol.TopicIDPartition{Topic: t.Topic}
		if c.req.Version >= 13 {
			tp.ID = t.TopicID
			tp.Topic, _ = topicName(img, tp.ID)
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			tp.Partition = p.Partition
			c.asked = append(c.asked, fetchsession.Partition{
				TopicIDPartition: tp, FetchOffset: p.FetchOffset, LogStartOffset: p.LogStartOffset, MaxBytes: p.PartitionMaxBytes,
				CurrentLeaderEpoch: p.CurrentLeaderEpoch, LastFetchedEpoch: p.LastFetchedEpoch,
			})
		}
	}
	q := fetchsession.Request{
		Version: c.req.Version, SessionID: c.req.SessionID, Epoch: c.req.SessionEpoch, Follower: c.replicaID >= 0,
		Partitions: c.asked, Forgotten: forgotten(img, c.req),
	}
	if q.Epoch > 0 && c.req.Version >= 13 { // names are only looked up for what a session held before
		q.TopicName = func(id protocol.TopicID) (string, bool) { return topicName(img, id) }
	}
	c.session = c.d.sessions.Open(time.Now(), q)
}

func topicName(img *image.Image, id protocol.TopicID) (string, bool) {
	name, ok := img.TopicNames.Lookup(id)
	return name, ok
}

func forgotten(img *image.Image, req *kmsg.FetchRequest) []protocol.TopicIDPartition {
	var out []protocol.TopicIDPartition
	for i := range req.ForgottenTopics {
		t := &req.ForgottenTopics[i]
		tp := protocol.TopicIDPartition{ID: t.TopicID, Topic: t.Topic}
		if req.Version >= 13 {
			tp.Topic, _ = topicName(img, tp.ID)
		}
		for _, p := range t.Partitions {
			tp.Partition = p
			out = append(out, tp)
		}
	}
	return out
}

// plan sorts out the partitions that cannot be read and says how the others are. failed says that the log would have refused
// one, so that nothing is waited for.
func (c *fetchCall) plan(img *image.Image) (failed bool) {
	for i := range c.session.Partitions {
		p := &c.session.Partitions[i]
		switch {
		case p.Topic == "" && c.req.Version >= 13:
			c.refusals = append(c.refusals, int16(errcode.KindUnknownTopicID))
			continue
		case img.Partition(p.TopicPartition()) == nil:
			c.refusals = append(c.refusals, int16(errcode.KindUnknownTopicOrPartition))
			continue
		case p.MaxBytes < 0, c.req.MaxBytes < 0 && !failed: // the first one only: what is left of the limit is 0 then
			c.refusals = append(c.refusals, int16(errcode.KindUnknown))
			failed = true
			continue
		}
		c.refusals = append(c.refusals, 0)
		// Fetch alone takes every negative epoch for none; elsewhere only -1 is.
		c.parts = append(c.parts, replica.ReadPartition{
			TopicIDPartition: p.TopicIDPartition, FetchOffset: p.FetchOffset, MaxBytes: int(p.MaxBytes),
			CurrentLeaderEpoch: protocol.LeaderEpoch(max(p.CurrentLeaderEpoch, -1)), LastFetchedEpoch: protocol.LeaderEpoch(max(p.LastFetchedEpoch, -1)),
			LogStartOffset: p.LogStartOffset,
		})
	}
	most := max(min(int(c.req.MaxBytes), int(c.d.h.config.FetchMaxBytes)), 0)
	c.opts = replica.ReadOptions{
		ReplicaID: c.replicaID, BrokerEpoch: c.replicaEpoch, AnyReplica: c.anyReplica(), Rack: c.req.Rack, Listener: c.listenerName,
		Isolation: isolationOf(c.replicaID, c.req.IsolationLevel),
		MinBytes:  min(int(c.req.MinBytes), most), MaxBytes: most,
	}
	return failed
}

// anyReplica says whether a replica that does not lead may answer: consumers from v11 on, and whoever is neither a consumer
// nor a follower.
func (c *fetchCall) anyReplica() bool {
	return c.replicaID < replica.Unset || c.replicaID == replica.Unset && c.req.Version >= 11
}

// isolationKnown reports whether the level exists: 0 read_uncommitted, 1 read_committed.
func isolationKnown(level int8) bool { return level == 0 || level == 1 }

// futureReplica is the replica id of a broker that moves a log between its own directories.
const futureReplica = -3

// isolationOf is how far a reader sees.
func isolationOf(replicaID protocol.NodeID, level int8) replica.Isolation {
	switch {
	case replicaID >= 0 || replicaID == futureReplica:
		return replica.ReadLogEnd
	case level == 1:
		return replica.ReadCommitted
	default:
		return replica.ReadUncommitted
	}
}

func (c *fetchCall) read() { c.results = c.d.replicas.Read(c.results[:0], c.opts, c.parts) }

// closeRecords lets go of what was read.
func (c *fetchCall) closeRecords() {
	for i := range c.results {
		if rec := c.results[i].Records; rec != nil {
			_ = rec.Close() // it was only read
			c.results[i].Records = nil
		}
	}
}

// complete ends the wait: what there is now is read on the connection's goroutine.
func (c *fetchCall) complete() { c.pending.Complete(c.respond) }

func (c *fetchCall) readAgain() listener.Response {
	c.opts.Again = true
	c.read()
	return c.answer()
}

// sessionError answers that the session is not as the request says, and gives the call back.
func (c *fetchCall) sessionError(code int16) listener.Response {
	defer c.recycle()
	resp := fetchResponse{ErrorCode: code}
	return resp.encode(c.req.Version)
}

// requestError answers a request that fails as a whole, and gives the call back. Before v13 every partition carries the code.
func (c *fetchCall) requestError(kind errcode.Kind) listener.Response {
	defer c.recycle()
	resp := fetchResponse{ErrorCode: int16(kind), SessionID: c.req.SessionID}
	if c.req.Version < 13 {
		for i := range c.asked {
			resp.Partitions = append(resp.Partitions, refusedPartition(&c.asked[i], int16(kind)))
		}
	}
	return resp.encode(c.req.Version)
}

func refusedPartition(p *fetchsession.Partition, code int16) fetchedPartition {
	out := newFetchedPartition(p.Topic, p.ID, p.Partition)
	out.ErrorCode, out.Aborted = code, []abortedTransaction{}
	return out
}

// answer makes the response of what was read and gives the call back.
func (c *fetchCall) answer() listener.Response {
	defer c.recycle()
	c.hints.img, c.hints.listenerName = c.d.h.images.Image(), c.listenerName
	c.collect()
	if c.replicaID < 0 { // brokers know each other from their metadata
		c.resp.Nodes = c.hints.nodes
	}
	session := c.session.Finish(time.Now(), c.news)
	if session.ErrorCode != 0 {
		c.closeRecords()
		resp := fetchResponse{ErrorCode: session.ErrorCode, SessionID: session.SessionID}
		return resp.encode(c.req.Version)
	}
	c.resp.SessionID = session.SessionID
	for i, omit := range session.Omit {
		c.resp.Partitions[c.places[i]].Omit = omit
	}
	c.resp.bodies = &c.d.encoded
	return c.resp.encode(c.req.Version)
}

// collect turns the results into partitions of the response, first those that were read, and into news for the session.
func (c *fetchCall) collect() {
	for i := range c.results {
		out := newFetchedPartition(c.parts[i].Topic, c.parts[i].ID, c.parts[i].Partition)
		c.mustSend = append(c.mustSend, c.fill(&out, &c.results[i]))
		c.resp.Partitions = append(c.resp.Partitions, out)
	}
	read := 0
	for i := range c.session.Partitions {
		place, mustSend := len(c.resp.Partitions), false
		if code := c.refusals[i]; code != 0 {
			out := refusedPartition(&c.session.Partitions[i], code)
			if errcode.Kind(code) == errcode.KindUnknown {
				out.Aborted = nil // as after a read
			}
			c.resp.Partitions = append(c.resp.Partitions, out)
		} else {
			place, mustSend = read, c.mustSend[read]
			read++
		}
		out := &c.resp.Partitions[place]
		c.places = append(c.places, place)
		c.news = append(c.news, fetchsession.Result{
			HighWatermark: out.HighWatermark, LogStartOffset: out.LogStartOffset, RecordBytes: sizeOf(out.Records),
			ErrorCode: out.ErrorCode, MustSend: mustSend,
		})
	}
}

func sizeOf(r listener.Region) int {
	if r == nil {
		return 0
	}
	return r.Size()
}

// fill takes over one result; mustSend says that the client has to act on it.
func (c *fetchCall) fill(out *fetchedPartition, res *replica.ReadResult) (mustSend bool) {
	if res.Err != nil {
		kind := errcode.KindOf(res.Err)
		if kind == errcode.KindKafkaStorageError && c.req.Version < 6 {
			kind = errcode.KindNotLeaderForPartition
		}
		out.ErrorCode = int16(kind)
		if c.req.Version >= 16 && (kind == errcode.KindNotLeaderForPartition || kind == errcode.KindFencedLeaderEpoch) {
			out.CurrentLeader = c.hints.add(res.CurrentLeader)
		}
		c.d.topics.FetchFailed(out.Topic)
		return false
	}
	out.HighWatermark, out.LastStableOffset, out.LogStartOffset = res.HighWatermark, res.LastStableOffset, res.LogStartOffset
	if res.Aborted != nil {
		out.Aborted = make([]abortedTransaction, len(res.Aborted))
		for i, a := range res.Aborted {
			out.Aborted[i] = abortedTransaction{ProducerID: int64(a.ProducerID), FirstOffset: a.FirstOffset}
		}
	}
	if res.Diverging.Epoch != replica.Unset {
		out.Diverging = epochEnd{Epoch: int32(res.Diverging.Epoch), EndOffset: res.Diverging.EndOffset}
		mustSend = true
	}
	if res.Preferred != replica.Unset {
		out.PreferredReadReplica = int32(res.Preferred)
		mustSend = true
	}
	if res.Records != nil {
		out.Records = res.Records
	}
	c.d.topics.Fetched(out.Topic, sizeOf(out.Records))
	return mustSend
}
