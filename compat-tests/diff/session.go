package diff

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Target is one broker that is asked.
type Target struct {
	Name           string // "kafka" or "dmq"
	Addr           string
	ControllerAddr string
	DataDir        string
	Nodes          []Node // of a cluster; none when there is one node
	// Kill ends a node of the cluster as kill -9 does, Start starts it again and waits until the cluster is whole.
	Kill, Start func(id int32) error
}

// Node is one of several nodes that form the target.
type Node struct {
	ID                   int32
	Addr, ControllerAddr string
}

// answerTimeout ends the wait for an answer. Brokers answer or close within milliseconds; the cases that hold a request ask for less than this.
const answerTimeout = 5 * time.Second

// clusterTimeout is that for several nodes, which ask each other before they answer and share the machine with those of the other broker.
const clusterTimeout = 30 * time.Second

func (t Target) patience() time.Duration {
	if len(t.Nodes) > 0 {
		return clusterTimeout
	}
	return answerTimeout
}

// Entry is what one step of a case saw.
type Entry struct {
	Step string
	Tree any // "closed", "silent", or a decoded and normalised response
}

// Case is one question, or a few that belong together.
type Case struct {
	Name string
	// Serial cases change what other cases see (broker configs, feature levels): they run last, one by one.
	Serial bool
	Run    func(s *Session)
	// AfterRestart goes on where Run ended, after both brokers were restarted.
	AfterRestart func(s *Session)
}

// Session runs one case against one broker.
type Session struct {
	target     Target
	prefix     string // of every topic of this case: the same on both brokers
	shard      int    // the partition of __consumer_offsets of its groups
	transcript []Entry
	labels     map[string]string // values of this broker that are replaced in the transcript
	names      map[string]string // texts that this broker made up (member ids), and what stands for them in the transcript
	counts     map[string]int    // labels handed out, by kind
	conns      map[string]*link
	addr       string
	conn       string // name of the connection in use
	correlate  int32
	broke      bool           // a step could not go on
	kept       map[string]any // what a case needs after a restart
}

// link is a connection to the broker.
type link struct {
	net.Conn
	r *bufio.Reader
}

func newSession(t Target, prefix string) *Session {
	s := &Session{target: t, prefix: prefix, labels: map[string]string{}, names: map[string]string{}, kept: map[string]any{}, counts: map[string]int{}, conns: map[string]*link{}, addr: t.Addr, conn: "main"}
	return s
}

// close ends the connections; the next use opens new ones.
func (s *Session) close() {
	for name, c := range s.conns {
		_ = c.Close()
		delete(s.conns, name)
	}
	s.OnBroker()
}

// broken is what a session panics with when the case cannot go on; run records it in the transcript.
type broken struct{ err error }

func (s *Session) must(err error) {
	if err != nil {
		panic(broken{err})
	}
}

// Topic returns the name of a topic of this case.
func (s *Session) Topic(name string) string { return s.prefix + name }

// On uses another connection from here on.
func (s *Session) On(name string) { s.conn = name }

// OnController uses a connection to the controller listener from here on.
func (s *Session) OnController() { s.conn, s.addr = "controller", s.target.ControllerAddr }

// OnBroker goes back to the client listener.
func (s *Session) OnBroker() { s.conn, s.addr = "main", s.target.Addr }

func (s *Session) dial() *link {
	if c := s.conns[s.conn]; c != nil {
		return c
	}
	c, err := net.DialTimeout("tcp", s.addr, 5*time.Second)
	s.must(err)
	s.conns[s.conn] = &link{Conn: c, r: bufio.NewReader(c)}
	return s.conns[s.conn]
}

func (s *Session) record(step string, tree any) {
	s.transcript = append(s.transcript, Entry{Step: step, Tree: tree})
}

// header is a request header v1 or v2 as a client sends it.
func (s *Session) header(key, version int16, flexible bool) []byte {
	s.correlate++
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(s.correlate))
	b = binary.BigEndian.AppendUint16(b, 4)
	b = append(b, "diff"...)
	if flexible {
		b = append(b, 0)
	}
	return b
}

var (
	errClosed = errors.New("closed")
	errSilent = errors.New("silent")
)

// exchange sends one frame and reads one answer, without its size.
func (s *Session) exchange(frame []byte) ([]byte, error) {
	if err := s.send(frame); err != nil {
		return nil, err
	}
	return s.receive()
}

func (s *Session) send(frame []byte) error {
	c := s.dial()
	s.must(c.SetDeadline(time.Now().Add(s.target.patience())))
	_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	if err != nil {
		s.hangUp()
		return errClosed
	}
	return nil
}

func (s *Session) receive() ([]byte, error) { return s.receiveWithin(s.target.patience()) }

func (s *Session) receiveWithin(patience time.Duration) ([]byte, error) {
	c := s.dial()
	s.must(c.SetDeadline(time.Now().Add(patience)))
	var size [4]byte
	if _, err := io.ReadFull(c.r, size[:]); err != nil {
		s.hangUp()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, errSilent
		}
		return nil, errClosed
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > 64<<20 {
		return nil, fmt.Errorf("answer of %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.r, b); err != nil {
		s.hangUp()
		return nil, errClosed
	}
	return b, nil
}

func (s *Session) hangUp() {
	if c := s.conns[s.conn]; c != nil {
		_ = c.Close()
		delete(s.conns, s.conn)
	}
}

// decode reads the answer to the latest request: the response header, then the body into resp.
func (s *Session) decode(payload []byte, resp kmsg.Response, version int16) error {
	return decode(payload, resp, version, s.correlate)
}

func decode(payload []byte, resp kmsg.Response, version int16, correlation int32) error {
	if len(payload) < 4 || int32(binary.BigEndian.Uint32(payload)) != correlation {
		return fmt.Errorf("response header % x does not carry correlation id %d", payload[:min(len(payload), 8)], correlation)
	}
	body := payload[4:]
	resp.SetVersion(version)
	if resp.IsFlexible() && resp.Key() != 18 {
		if len(body) == 0 || body[0] != 0 {
			return errors.New("response header v1 without its tag byte")
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return fmt.Errorf("decode %T v%d: %w (% x)", resp, version, err, body[:min(len(body), 64)])
	}
	if again := resp.AppendTo(nil); len(again) != len(body) && resp.Key() != 1 {
		return fmt.Errorf("%T v%d is %d bytes, and %d when encoded again", resp, version, len(body), len(again))
	}
	return nil
}

// ask sends req and decodes the answer.
func (s *Session) ask(req kmsg.Request) (kmsg.Response, error) {
	frame := req.AppendTo(s.header(req.Key(), req.GetVersion(), req.IsFlexible()))
	payload, err := s.exchange(frame)
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	return resp, s.decode(payload, resp, req.GetVersion())
}

// Send sends req and records the answer under step. It returns nil when the connection was closed instead.
func (s *Session) Send(step string, req kmsg.Request) kmsg.Response {
	resp, err := s.ask(req)
	s.recordAnswer(step, resp, err)
	if err != nil {
		return nil
	}
	return resp
}

func (s *Session) recordAnswer(step string, resp kmsg.Response, err error) {
	if err != nil {
		s.record(step, err.Error())
		return
	}
	s.record(step, s.tree(resp))
}

// Quiet sends req without recording the answer: setup.
func (s *Session) Quiet(req kmsg.Request) kmsg.Response {
	resp, err := s.ask(req)
	if err != nil {
		s.must(fmt.Errorf("setup with %T: %w", req, err))
	}
	return resp
}

// Eventually sends req until ok says that the answer is settled, and records the last one.
func (s *Session) Eventually(step string, req kmsg.Request, ok func(kmsg.Response) bool) kmsg.Response {
	var resp kmsg.Response
	err := s.until(func() (bool, error) {
		var err error
		resp, err = s.ask(req)
		return err == nil && ok(resp), err
	})
	s.recordAnswer(step, resp, err)
	return resp
}

// until polls, since a broker applies metadata some milliseconds after it has answered; it gives up after 15 s (a cluster has longer) without an
// error, so that the comparison shows what was there instead.
func (s *Session) until(try func() (bool, error)) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(max(15*time.Second, s.target.patience())); time.Now().Before(end); <-tick.C {
		if done, err := try(); done || err != nil {
			return err
		}
	}
	return nil
}

// SendNoReply sends req, for which no answer is due, and records whether the connection still answers after it.
func (s *Session) SendNoReply(step string, req kmsg.Request) {
	frame := req.AppendTo(s.header(req.Key(), req.GetVersion(), req.IsFlexible()))
	if err := s.send(frame); err != nil {
		s.record(step, "closed")
		return
	}
	s.record(step, s.alive())
}

// alive tells whether the connection still answers.
func (s *Session) alive() string {
	probe := kmsg.NewPtrApiVersionsRequest()
	if _, err := s.ask(probe); err != nil {
		return "no answer, then " + err.Error()
	}
	return "no answer, connection lives"
}

// Raw sends a request whose body is given as bytes. The answer is recorded as the response of that key and version, or as how the connection ended.
func (s *Session) Raw(step string, key, version int16, body []byte) {
	req := kmsg.RequestForKey(key)
	flexible := false
	if req != nil {
		req.SetVersion(version)
		flexible = req.IsFlexible()
	}
	payload, err := s.exchange(append(s.header(key, version, flexible), body...))
	if err != nil {
		s.record(step, err.Error())
		return
	}
	resp := kmsg.ResponseForKey(key)
	if resp == nil {
		s.record(step, fmt.Sprintf("an answer of %d bytes to an unknown key", len(payload)))
		return
	}
	if err := s.decode(payload, resp, version); err != nil {
		s.record(step, err.Error())
		return
	}
	s.record(step, s.tree(resp))
}

// Frame sends bytes as they are, size included by the caller, and records how the connection ended or the bytes of the answer.
func (s *Session) Frame(step string, raw []byte) {
	c := s.dial()
	s.must(c.SetDeadline(time.Now().Add(answerTimeout)))
	if _, err := c.Write(raw); err != nil {
		s.hangUp()
		s.record(step, "closed")
		return
	}
	payload, err := s.receive()
	if err != nil {
		s.record(step, err.Error())
		return
	}
	s.record(step, fmt.Sprintf("% x", payload[:min(len(payload), 6)])) // correlation id and, for ApiVersions, the error code
}

// Name has a text that this broker made up appear as <name> in the transcript from here on.
func (s *Session) Name(name, text string) {
	if text != "" {
		s.names[text] = "<" + name + ">"
	}
}

// Note records a value of the case's own.
func (s *Session) Note(step string, v any) { s.record(step, fmt.Sprint(v)) }

// label replaces value by <kind n> in the transcript, n counting the values of that kind in the order they were seen.
func (s *Session) label(kind, value string) string {
	if l, ok := s.labels[kind+"\x00"+value]; ok {
		return l
	}
	s.counts[kind]++
	l := fmt.Sprintf("<%s %d>", kind, s.counts[kind])
	s.labels[kind+"\x00"+value] = l
	return l
}

// CreateTopic creates a topic of this case with configs ("key=value") and waits until its partitions can be used.
func (s *Session) CreateTopic(name string, partitions int32, configs ...string) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 5, 10000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = s.Topic(name), partitions, 1
	for _, kv := range configs {
		k, v, _ := strings.Cut(kv, "=")
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = k, &v
		t.Configs = append(t.Configs, c)
	}
	req.Topics = append(req.Topics, t)
	resp := s.Quiet(req).(*kmsg.CreateTopicsResponse)
	if code := resp.Topics[0].ErrorCode; code != 0 {
		s.must(fmt.Errorf("setup: create topic %s: error %d", t.Topic, code))
	}
	s.waitTopic(t.Topic, partitions)
}

// waitTopic waits until every partition of the topic answers ListOffsets.
func (s *Session) waitTopic(topic string, partitions int32) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 1, -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for p := range partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, -2
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	var code int16
	err := s.until(func() (bool, error) {
		resp, err := s.ask(req)
		if err != nil {
			return false, err
		}
		for _, p := range resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
			if code = p.ErrorCode; code != 0 {
				return false, nil
			}
		}
		return true, nil
	})
	s.must(err)
	if code != 0 {
		s.must(fmt.Errorf("setup: topic %s cannot be used: error %d", topic, code))
	}
}

// TopicID returns the id of a topic of this case, and labels it in the transcript.
func (s *Session) TopicID(name string) [16]byte {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	t := kmsg.NewMetadataRequestTopic()
	topic := s.Topic(name)
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	resp := s.Quiet(req).(*kmsg.MetadataResponse)
	id := resp.Topics[0].TopicID
	if id == ([16]byte{}) {
		s.must(fmt.Errorf("setup: topic %s has no id (error %d)", topic, resp.Topics[0].ErrorCode))
	}
	s.labels["id\x00"+string(id[:])] = "<id of " + name + ">"
	return id
}

// Produce appends a batch with acks=all and returns its base offset: setup.
func (s *Session) Produce(name string, partition int32, batch []byte) int64 {
	req := produceRequest(7, s.Topic(name), partition, -1, batch)
	p := s.Quiet(req).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		s.must(fmt.Errorf("setup: produce to %s-%d: error %d", name, partition, p.ErrorCode))
	}
	return p.BaseOffset
}

// setField sets a field of a kmsg struct when this kmsg version has it.
func setField(v any, field string, value any) {
	f := reflect.ValueOf(v).Elem().FieldByName(field)
	if f.IsValid() {
		f.Set(reflect.ValueOf(value).Convert(f.Type()))
	}
}
