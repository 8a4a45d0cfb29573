package raftnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/distributedmq/dmq/protocol"
)

// Magic is the first byte of a stream.
const Magic = 0xDA

const (
	version    = 1
	headerSize = 4
	maxBody    = 2044 // with the header two kilobytes: all texts at their longest, and room for later fields
)

const flagBegun = 1

// Kind says what a stream is for.
type Kind uint8

// The kinds of streams.
const (
	KindRaft Kind = iota + 1
	KindJoin
	KindSession
	KindProbe
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case KindRaft:
		return "raft"
	case KindJoin:
		return "join"
	case KindSession:
		return "session"
	case KindProbe:
		return "probe"
	default:
		return fmt.Sprintf("kind %d", uint8(k))
	}
}

// Status is the outcome of a hello.
type Status uint8

// The outcomes.
const (
	StatusOK        Status = iota
	StatusVersion          // the preamble is of a version that is not known
	StatusCluster          // the nodes belong to different clusters
	StatusDirectory        // the quorum knows the node with another directory
	StatusNotLeader        // ask the leader, if it is named
	StatusNotReady         // not yet: ask again
	StatusRefused          // for the reason given
)

// Identity says who a process is.
type Identity struct {
	NodeID      protocol.NodeID
	DirectoryID protocol.TopicID // of the metadata log directory
	Incarnation protocol.TopicID // of this run of the process
	ClusterID   string           // empty: not known yet
	Address     string           // host:port where it accepts streams
	Begun       bool             // its metadata log holds more than the first configuration
}

// Hello opens a stream.
type Hello struct {
	Kind Kind
	Identity
}

// Reply answers a Hello.
type Reply struct {
	Status Status
	Identity
	Leader        protocol.NodeID // with StatusNotLeader; -1: not known
	LeaderAddress string
	Reason        string
}

// errMalformed says that bytes are no preamble.
var errMalformed = errors.New("malformed preamble")

// encode returns the frame of a hello.
func (h *Hello) encode() []byte {
	return frame(h.Identity.appendTo([]byte{Magic, version, 0, 0, byte(h.Kind)}))
}

// encode returns the frame of a reply.
func (r *Reply) encode() []byte {
	b := r.Identity.appendTo([]byte{Magic, version, 0, 0, byte(r.Status)})
	b = binary.BigEndian.AppendUint32(b, uint32(r.Leader))
	return frame(appendText(appendText(b, r.LeaderAddress), r.Reason))
}

// frame fills in the length.
func frame(b []byte) []byte {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerSize))
	return b
}

func (i *Identity) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(i.NodeID))
	b = append(append(b, i.DirectoryID[:]...), i.Incarnation[:]...)
	flags := byte(0)
	if i.Begun {
		flags |= flagBegun
	}
	b = append(b, flags)
	return appendText(appendText(b, i.ClusterID), i.Address)
}

// appendText writes at most 255 bytes of a text.
func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), 255)]
	return append(append(b, byte(len(s))), s...)
}

// readHello reads the frame of a hello. Another version is a *versionError, so that it can be answered.
func readHello(r io.Reader) (Hello, error) {
	body, err := readFrame(r)
	if err != nil {
		return Hello{}, err
	}
	d := decoder{b: body}
	h := Hello{Kind: Kind(d.byte())}
	h.Identity = d.identity()
	return h, d.err
}

func readReply(r io.Reader) (Reply, error) {
	body, err := readFrame(r)
	if err != nil {
		return Reply{}, err
	}
	d := decoder{b: body}
	reply := Reply{Status: Status(d.byte())}
	reply.Identity = d.identity()
	reply.Leader = protocol.NodeID(d.int32())
	reply.LeaderAddress, reply.Reason = d.text(), d.text()
	return reply, d.err
}

// versionError says that the other side speaks another version of the preamble.
type versionError struct{ version byte }

func (e *versionError) Error() string { return fmt.Sprintf("preamble of version %d", e.version) }

func readFrame(r io.Reader) ([]byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(header[2:]))
	if header[0] != Magic || size > maxBody {
		return nil, errMalformed
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	if header[1] != version {
		return nil, &versionError{header[1]}
	}
	return body, nil
}

// decoder reads fields; the first one that is cut short sets err.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || len(d.b) < n {
		d.err = errMalformed
		return make([]byte, n)
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte   { return d.take(1)[0] }
func (d *decoder) int32() int32 { return int32(binary.BigEndian.Uint32(d.take(4))) }
func (d *decoder) text() string { return string(d.take(int(d.byte()))) }

func (d *decoder) identity() Identity {
	var i Identity
	i.NodeID = protocol.NodeID(d.int32())
	copy(i.DirectoryID[:], d.take(16))
	copy(i.Incarnation[:], d.take(16))
	i.Begun = d.byte()&flagBegun != 0
	i.ClusterID, i.Address = d.text(), d.text()
	return i
}
