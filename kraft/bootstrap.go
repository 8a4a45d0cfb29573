package kraft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/protocol"
)

// Voter is a controller that the configuration names.
type Voter struct {
	ID          protocol.NodeID
	Address     string           // host:port of its controller listener
	DirectoryID protocol.TopicID // zero: not known
}

// form gives an empty store its first configuration where this node may do so:
//
//	the store holds a configuration      that one counts, whatever the file says
//	Options.Bootstrap                    this node alone
//	listed in Options.Voters             those voters, unless one of them already belongs to a cluster
//	the only one of Options.Seeds        this node alone
//	else                                 nothing: the node asks to be added (join.go)
//
// So two empty nodes never form two clusters: who is neither alone nor listed waits.
func (q *Quorum) form(ctx context.Context) error {
	stored, err := stored(q.o.Store)
	if err != nil || stored {
		if last, err := q.o.Store.LastIndex(); stored && err == nil && last != 1 && q.o.Network != nil {
			q.o.Network.SetBegun()
		}
		return err
	}
	switch {
	case q.o.Bootstrap, q.isOwnSeed(ctx):
		return bootstrap(q.o.Store, []hraft.Server{{ID: raftID(q.o.NodeID), Address: q.selfAddress(), Suffrage: hraft.Voter}})
	case q.listed():
		if by, ok := q.begun(ctx); ok {
			q.logger.Warn("the other voters already form a cluster: this node, which is empty, joins it instead of beginning one",
				slog.String("event", "quorum.join"), slog.String("cluster_id", by.ClusterID), slog.Int("peer", int(by.NodeID)))
			return nil
		}
		return bootstrap(q.o.Store, servers(q.o.Voters))
	}
	return nil
}

// isOwnSeed asks at the only seed whether this process is there: it may have been named in another way than it listens.
func (q *Quorum) isOwnSeed(ctx context.Context) bool {
	if !q.o.Controller || len(q.o.Seeds) != 1 || len(q.o.Voters) > 0 || q.o.Network == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lookAround)
	defer cancel()
	reply, err := q.o.Network.Ask(ctx, raftnet.KindProbe, q.o.Seeds[0], q.o.NodeID)
	return err == nil && reply.Incarnation == q.o.Network.Self().Incarnation
}

// ErrFormatted says that a store holds a configuration already.
var ErrFormatted = errors.New("the directory holds the metadata log of a quorum already")

// Format writes the first configuration of a quorum into an empty store. It must be the same on each of the voters.
func Format(s Store, voters []Voter) error {
	stored, err := stored(s)
	if err != nil {
		return err
	}
	if stored {
		return ErrFormatted
	}
	return bootstrap(s, servers(voters))
}

// stored reports whether the store has ever been part of a quorum.
func stored(s Store) (bool, error) {
	last, err := s.LastIndex()
	if err != nil {
		return false, fmt.Errorf("read the metadata log: %w", err)
	}
	list, err := s.Snapshots().List()
	if err != nil {
		return false, fmt.Errorf("list metadata snapshots: %w", err)
	}
	return last > 0 || len(list) > 0, nil
}

func (q *Quorum) listed() bool {
	return slices.ContainsFunc(q.o.Voters, func(v Voter) bool { return v.ID == q.o.NodeID })
}

// selfAddress is what raft's configuration is to hold of this node.
func (q *Quorum) selfAddress() hraft.ServerAddress {
	if q.o.Network == nil {
		return q.trans.LocalAddr()
	}
	self := q.o.Network.Self()
	return raftnet.ServerAddress(self.DirectoryID, self.Address)
}

// servers is the first configuration of a quorum whose voters are listed. It must be the same on each of them: without directory
// ids where those are not known everywhere; members register them.
func servers(voters []Voter) []hraft.Server {
	out := make([]hraft.Server, 0, len(voters))
	for _, v := range voters {
		out = append(out, hraft.Server{ID: raftID(v.ID), Address: raftnet.ServerAddress(v.DirectoryID, v.Address), Suffrage: hraft.Voter})
	}
	slices.SortFunc(out, func(a, b hraft.Server) int { return cmp.Compare(nodeID(a.ID), nodeID(b.ID)) })
	return out
}

// lookAround bounds how long a node that is about to begin a cluster looks for one that has begun.
const lookAround = 300 * time.Millisecond

// begun asks the other voters whether one of them has a metadata log: then this node has lost its disk, or comes late.
func (q *Quorum) begun(ctx context.Context) (raftnet.Identity, bool) {
	ctx, cancel := context.WithTimeout(ctx, lookAround)
	defer cancel()
	found := make(chan raftnet.Identity, len(q.o.Voters))
	for _, v := range q.o.Voters {
		go func() { // ends with ctx
			var who raftnet.Identity
			if v.ID != q.o.NodeID {
				reply, _ := q.o.Network.Ask(ctx, raftnet.KindProbe, v.Address, v.ID) // one that refuses says who it is, too
				who = reply.Identity
			}
			found <- who
		}()
	}
	var first raftnet.Identity
	for range q.o.Voters {
		if who := <-found; who.Begun {
			first = who
		}
	}
	return first, first.Begun
}

// bootstrap writes the first configuration into an empty store. hraft.BootstrapCluster writes the term and then the first
// entry, and after a crash in between refuses for ever; here the first entry decides.
func bootstrap(s Store, servers []hraft.Server) error {
	term, err := s.GetUint64([]byte("CurrentTerm"))
	if err != nil && err.Error() != "not found" {
		return err
	}
	if term > 1 {
		return fmt.Errorf("the store is empty but has seen term %d of another quorum, whose other members may still know its metadata; "+
			"give this node the configuration of that quorum, or an empty directory", term)
	}
	if err := s.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		return err
	}
	return s.StoreLog(&hraft.Log{
		Index: 1, Term: 1, Type: hraft.LogConfiguration,
		Data: hraft.EncodeConfiguration(hraft.Configuration{Servers: servers}),
	})
}

// compareConfigured warns when the file names other controllers than the stored configuration, which counts.
func (q *Quorum) compareConfigured() {
	var stored, named []string
	for _, s := range q.servers() {
		if _, address := raftnet.SplitServerAddress(s.Address); s.Suffrage == hraft.Voter {
			stored = append(stored, string(s.ID)+"@"+address)
		}
	}
	for _, v := range q.o.Voters {
		named = append(named, fmt.Sprintf("%d@%s", v.ID, v.Address))
	}
	slices.Sort(stored)
	slices.Sort(named)
	if len(stored) == 0 || len(named) == 0 || slices.Equal(stored, named) {
		return
	}
	q.logger.Warn("controller.quorum.voters names other controllers than the quorum has: those of the quorum count, it is changed with dmq cluster quorum",
		slog.String("event", "quorum.voters"), slog.String("quorum", strings.Join(stored, ",")), slog.String("configured", strings.Join(named, ",")))
}

// seeds lists where a leader may be found: the members this node knows, those that the file names, the bootstrap servers.
func (q *Quorum) seeds() []string {
	var out []string
	add := func(address string) {
		if _, _, err := net.SplitHostPort(address); err == nil && !slices.Contains(out, address) && address != q.o.Network.Self().Address {
			out = append(out, address)
		}
	}
	for _, s := range q.servers() {
		if _, address := raftnet.SplitServerAddress(s.Address); s.Suffrage == hraft.Voter && s.ID != raftID(q.o.NodeID) {
			add(address)
		}
	}
	for _, v := range q.o.Voters {
		add(v.Address)
	}
	for _, s := range q.o.Seeds {
		add(s)
	}
	return out
}

// errAlone is why a node that is the whole quorum by its configuration takes no other node in.
var errAlone = errors.New("this node's controller listener is its own: give listeners one that other nodes can reach")
