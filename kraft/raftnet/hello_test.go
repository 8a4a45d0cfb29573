package raftnet

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/protocol"
)

func testIdentity() Identity {
	return Identity{
		NodeID: 7, DirectoryID: protocol.TopicID{1, 2, 3}, Incarnation: protocol.TopicID{9, 8}, ClusterID: "kxu-4CYxQGOWmtBTJqDTMg", Address: "host-1:9093", Begun: true,
	}
}

func TestHello_RoundTrip(t *testing.T) {
	for _, want := range []Hello{{Kind: KindJoin, Identity: testIdentity()}, {Kind: KindProbe, Identity: Identity{NodeID: -1}}} {
		got, err := readHello(bytes.NewReader(want.encode()))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestReply_RoundTrip(t *testing.T) {
	want := Reply{Status: StatusNotLeader, Identity: testIdentity(), Leader: 3, LeaderAddress: "h:1", Reason: "because"}
	got, err := readReply(bytes.NewReader(want.encode()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestReply_LongestStillFits: texts are cut, so that every frame can be read.
func TestReply_LongestStillFits(t *testing.T) {
	long := strings.Repeat("x", 300)
	r := Reply{Identity: Identity{ClusterID: long, Address: long}, LeaderAddress: long, Reason: long}
	got, err := readReply(bytes.NewReader(r.encode()))
	if err != nil || got.Reason != long[:255] {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestReadHello_Refuses(t *testing.T) {
	h := Hello{Kind: KindRaft, Identity: testIdentity()}
	good := h.encode()
	change := func(at int, b byte) []byte {
		out := bytes.Clone(good)
		out[at] = b
		return out
	}
	for name, tt := range map[string]struct {
		frame []byte
		want  error
	}{
		"nothing":       {nil, io.EOF},
		"another magic": {change(0, 0x81), errMalformed},
		"too long":      {change(2, 0x40), errMalformed},
		"cut short":     {good[:len(good)-1], io.ErrUnexpectedEOF},
		"text too long": {change(len(good)-len("host-1:9093")-1, 200), errMalformed},
	} {
		if _, err := readHello(bytes.NewReader(tt.frame)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	var version *versionError
	if _, err := readHello(bytes.NewReader(change(1, 2))); !errors.As(err, &version) || version.version != 2 {
		t.Errorf("version 2: %v", err)
	}
	if got, err := readHello(bytes.NewReader(frame(append(bytes.Clone(good), 1, 2, 3)))); err != nil || got != h {
		t.Errorf("fields of a later version: %+v, %v", got, err)
	}
}

func TestServerAddress(t *testing.T) {
	id := protocol.TopicID{1, 2, 3}
	for _, tt := range []struct {
		directory protocol.TopicID
		address   string
	}{{id, "h:1"}, {protocol.TopicID{}, "[::1]:2"}} {
		directory, address := SplitServerAddress(ServerAddress(tt.directory, tt.address))
		if directory != tt.directory || address != tt.address {
			t.Errorf("%v %q, want %v %q", directory, address, tt.directory, tt.address)
		}
	}
	if directory, address := SplitServerAddress("1"); !directory.IsZero() || address != "" { // of a node that stood alone
		t.Errorf("%v %q", directory, address)
	}
}

func FuzzPreamble(f *testing.F) {
	h := Hello{Kind: KindJoin, Identity: testIdentity()}
	r := Reply{Status: StatusRefused, Identity: testIdentity(), Leader: 1, Reason: "no"}
	f.Add(h.encode())
	f.Add(r.encode())
	f.Add([]byte{Magic, version, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bytes.NewReader(data)
		if got, err := readHello(in); err == nil {
			again, err := readHello(bytes.NewReader(got.encode()))
			if err != nil || again != got {
				t.Errorf("%+v becomes %+v, %v", got, again, err)
			}
		}
		if read := len(data) - in.Len(); read > headerSize+maxBody {
			t.Errorf("read %d bytes", read)
		}
		if got, err := readReply(bytes.NewReader(data)); err == nil {
			again, err := readReply(bytes.NewReader(got.encode()))
			if err != nil || again != got {
				t.Errorf("%+v becomes %+v, %v", got, again, err)
			}
		}
	})
}
