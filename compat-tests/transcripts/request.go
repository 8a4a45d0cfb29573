package transcripts

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topic is one that exists.
const topic = "transcripts"

// uuidLen is the length of what a member id ends with: a hyphen and a UUID.
const uuidLen = 37

func (p *player) person(name string) *person {
	c := p.people[name]
	if c == nil {
		c = &person{generation: -1}
		p.people[name] = c
	}
	return c
}

// memberID returns the id of the member that a word of a command names: a person's, or the word.
func (p *player) memberID(word string) string {
	if c := p.people[word]; c != nil && c.memberID != "" {
		return c.memberID
	}
	for id, name := range p.names {
		if name == word {
			return id
		}
	}
	return word
}

func (p *player) group(word string) string {
	if word == "''" {
		return ""
	}
	return p.prefix + word
}

func millis(d time.Duration) int32 { return int32(d.Milliseconds()) }

func (p *player) join(ctx context.Context, a args) error {
	p.mu.Lock()
	name := a.words[1]
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = int16(a.num("v", 9))
	req.Group, req.MemberID, req.InstanceID = p.group(a.words[0]), a.one("id", p.person(name).memberID), a.nullable("instance")
	req.SessionTimeoutMillis = millis(a.duration("session", 10*time.Second))
	req.RebalanceTimeoutMillis = millis(a.duration("rebalance", time.Minute))
	req.ProtocolType, req.Reason = a.one("type", "consumer"), a.nullable("reason")
	for _, spec := range a.list("protocols", "range:x") {
		protocol := kmsg.NewJoinGroupRequestProtocol()
		name, metadata, _ := strings.Cut(spec, ":")
		protocol.Name, protocol.Metadata = name, []byte(metadata)
		if topics, ok := strings.CutPrefix(metadata, "topics/"); ok {
			m := kmsg.NewConsumerMemberMetadata()
			m.Topics = strings.Split(topics, "+")
			protocol.Metadata = m.AppendTo(nil)
		}
		req.Protocols = append(req.Protocols, protocol)
	}
	client := a.one("client", name)
	j := joining{name: name, idPrefix: client}
	if req.InstanceID != nil {
		j.idPrefix = *req.InstanceID
	}
	p.joins = append(p.joins, j)
	p.mu.Unlock()
	return p.send(ctx, client, name, req)
}

func (p *player) sync(ctx context.Context, a args) error {
	p.mu.Lock()
	name := a.words[1]
	c := p.person(name)
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = int16(a.num("v", 5))
	req.Group, req.MemberID, req.InstanceID = p.group(a.words[0]), p.memberID(a.one("id", c.memberID)), a.nullable("instance")
	req.Generation = int32(a.num("generation", int(c.generation)))
	if req.Version >= 5 {
		typ, protocol := a.one("type", "consumer"), a.one("protocol", "range")
		req.ProtocolType, req.Protocol = &typ, &protocol
		if protocol == "null" {
			req.Protocol = nil
		}
	}
	for _, spec := range a.list("assign", "") {
		who, what, _ := strings.Cut(spec, ":")
		assignment := kmsg.NewSyncGroupRequestGroupAssignment()
		assignment.MemberID, assignment.MemberAssignment = p.memberID(who), []byte(what)
		req.GroupAssignment = append(req.GroupAssignment, assignment)
	}
	p.mu.Unlock()
	return p.send(ctx, name, name, req)
}

func (p *player) heartbeat(group, name string, a args) *kmsg.HeartbeatRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.person(name)
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	req.Group, req.MemberID, req.InstanceID = p.group(group), p.memberID(a.one("id", c.memberID)), a.nullable("instance")
	req.Generation = int32(a.num("generation", int(c.generation)))
	return req
}

func (p *player) leave(ctx context.Context, a args) error {
	p.mu.Lock()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = int16(a.num("v", 5)), p.group(a.words[0])
	for _, word := range a.words[1:] {
		who, instance, static := strings.Cut(word, "/")
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID, m.Reason = p.memberID(who), a.nullable("reason")
		if static {
			m.InstanceID = &instance
		}
		req.Members = append(req.Members, m)
		req.MemberID = m.MemberID
	}
	for _, instance := range a.list("instances", "") {
		m := kmsg.NewLeaveGroupRequestMember()
		m.InstanceID, m.Reason = &instance, a.nullable("reason")
		req.Members = append(req.Members, m)
	}
	p.mu.Unlock()
	return p.send(ctx, "leave", "leave", req)
}

// commit commits an offset. Those in a transaction are taken as they are in the transcript: they take a transaction.
func (p *player) commit(ctx context.Context, a args) error {
	p.mu.Lock()
	name := a.words[1]
	c := p.person(name)
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group = 9, p.group(a.words[0])
	req.MemberID, req.InstanceID = p.memberID(a.one("id", c.memberID)), a.nullable("instance")
	req.Generation = int32(a.num("generation", int(c.generation)))
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	t.Partitions = append(t.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
	req.Topics = append(req.Topics, t)
	p.mu.Unlock()
	if a.num("txn", 0) == 1 {
		p.hear(name+": commit NONE", nil)
		return nil
	}
	return p.send(ctx, name, name, req)
}

// send sends a request on a connection of its own. Its answer is heard, unless nobody (name) listens.
func (p *player) send(ctx context.Context, client, name string, req kmsg.Request) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.conns = append(p.conns, conn)
	p.mu.Unlock()
	b := binary.BigEndian.AppendUint16(nil, uint16(req.Key()))
	b = binary.BigEndian.AppendUint16(b, uint16(req.GetVersion()))
	b = binary.BigEndian.AppendUint32(b, 1) // correlation id
	b = binary.BigEndian.AppendUint16(b, uint16(len(client)))
	b = append(b, client...)
	if req.IsFlexible() {
		b = append(b, 0)
	}
	b = req.AppendTo(b)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
		return err
	}
	p.wg.Go(func() {
		defer func() { _ = conn.Close() }()
		resp := req.ResponseKind()
		if err := receive(conn, resp); err == nil && name != "" {
			p.hear(name, resp)
		}
	})
	return nil
}

func receive(conn net.Conn, resp kmsg.Response) error {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		return err
	}
	b = b[4:] // correlation id
	if resp.IsFlexible() {
		b = b[1:] // no tags
	}
	return resp.ReadFrom(b)
}

// hear notes an answer in the words of the transcripts, or the words themselves.
func (p *player) hear(name string, resp kmsg.Response) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := name
	switch r := resp.(type) {
	case *kmsg.JoinGroupResponse:
		line = p.joined(name, r)
	case *kmsg.SyncGroupResponse:
		line = fmt.Sprintf("%s: sync v%d %s type=%s protocol=%s assignment=%q", name, r.Version, code(r.ErrorCode), or(r.ProtocolType), or(r.Protocol), r.MemberAssignment)
	case *kmsg.HeartbeatResponse:
		line = fmt.Sprintf("%s: heartbeat v%d %s", name, r.Version, code(r.ErrorCode))
	case *kmsg.LeaveGroupResponse:
		line = fmt.Sprintf("leave v%d %s", r.Version, code(r.ErrorCode))
		for _, m := range r.Members {
			line += fmt.Sprintf(" %s/%s=%s", m.MemberID, or(m.InstanceID), code(m.ErrorCode))
		}
	case *kmsg.OffsetCommitResponse:
		line = fmt.Sprintf("%s: commit %s", name, code(r.Topics[0].Partitions[0].ErrorCode))
	}
	p.heard = append(p.heard, line)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *player) joined(name string, r *kmsg.JoinGroupResponse) string {
	p.learn(name, r.MemberID)
	if r.ErrorCode == 0 || r.ErrorCode == kerr.MemberIDRequired.Code {
		c := p.person(name)
		c.memberID, c.generation = r.MemberID, r.Generation
	}
	protocol := r.Protocol
	if r.Version < 7 && or(protocol) == "" {
		protocol = nil // old versions have no null
	}
	var line strings.Builder
	fmt.Fprintf(&line, "%s: join v%d %s member=%q generation=%d type=%s protocol=%s leader=%q", name, r.Version, code(r.ErrorCode), r.MemberID,
		r.Generation, or(r.ProtocolType), or(protocol), r.LeaderID)
	if r.SkipAssignment {
		line.WriteString(" skip-assignment")
	}
	for _, m := range r.Members {
		p.learnOther(m.MemberID)
		line.WriteString(" " + m.MemberID)
		if m.InstanceID != nil {
			line.WriteString("(" + *m.InstanceID + ")")
		}
		fmt.Fprintf(&line, "=%q", m.ProtocolMetadata)
	}
	return line.String()
}

// learn gives a member id a name: that of who got it, with a prime for each one that they had before.
func (p *player) learn(name, memberID string) {
	if memberID == "" || p.names[memberID] != "" {
		return
	}
	for _, taken := range p.names {
		if taken == name {
			name += "'"
		}
	}
	p.names[memberID] = name
}

// learnOther names a member whose own answer was not heard yet: it is who joined last with a client or instance id that its
// member id begins with.
func (p *player) learnOther(memberID string) {
	if p.names[memberID] != "" || len(memberID) < uuidLen {
		return
	}
	for _, j := range slices.Backward(p.joins) {
		if j.idPrefix == memberID[:len(memberID)-uuidLen] {
			p.learn(j.name, memberID)
			return
		}
	}
}

func code(c int16) string {
	if c == 0 {
		return "NONE"
	}
	return kerr.TypedErrorForCode(c).Message
}

func or(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}
