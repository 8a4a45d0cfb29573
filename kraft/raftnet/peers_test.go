package raftnet

import (
	"log/slog"
	"testing"

	"github.com/distributedmq/dmq/protocol"
)

// TestPeers_Bounded: a stranger that introduces itself by ever more node ids costs no more memory from some number on.
func TestPeers_Bounded(t *testing.T) {
	n := New(Options{Logger: slog.New(slog.DiscardHandler)})
	defer n.Close()
	for id := range protocol.NodeID(3 * peersMost) {
		want := Identity{NodeID: id, Address: "h:1"}
		n.met(want)
		if got, ok := n.Peer(id); !ok || got != want {
			t.Fatalf("node %d is remembered as %+v, %v", id, got, ok)
		}
	}
	if len(n.peers) > peersMost {
		t.Errorf("%d nodes are remembered", len(n.peers))
	}
}
