package kraft

import (
	"sync"

	hraft "github.com/hashicorp/raft"
)

// Transport carries raft's calls between nodes. hraft.NetworkTransport and hraft.InmemTransport are Transports.
type Transport interface {
	hraft.Transport
	hraft.WithPreVote
	hraft.WithClose
}

// selfTransport is a Transport whose node can also call itself: raft's incoming calls come from the inner transport and
// from call.
type selfTransport struct {
	Transport
	incoming chan hraft.RPC
	stop     chan struct{}
	once     sync.Once
	wg       sync.WaitGroup

	mu     sync.Mutex // guards commit
	commit leaderCommit
}

// leaderCommit is how far a leader said that it has committed.
type leaderCommit struct{ term, index uint64 }

func newSelfTransport(inner Transport) *selfTransport {
	t := &selfTransport{Transport: inner, incoming: make(chan hraft.RPC, 16), stop: make(chan struct{})}
	t.wg.Go(t.forward)
	return t
}

func (t *selfTransport) forward() {
	for {
		select {
		case rpc := <-t.Transport.Consumer():
			if a, ok := rpc.Command.(*hraft.AppendEntriesRequest); ok {
				t.note(leaderCommit{term: a.Term, index: a.LeaderCommitIndex})
			}
			select {
			case t.incoming <- rpc:
			case <-t.stop: // unanswered, as raft leaves what reaches it after its end
				return
			}
		case <-t.stop:
			return
		}
	}
}

func (t *selfTransport) note(c leaderCommit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.term > t.commit.term || c.term == t.commit.term && c.index > t.commit.index {
		t.commit = c
	}
}

// committed is what the newest leader has said of its commit index.
func (t *selfTransport) committed() leaderCommit {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.commit
}

// Consumer implements hraft.Transport.
func (t *selfTransport) Consumer() <-chan hraft.RPC { return t.incoming }

// call delivers a call of the node to itself. The answer is of no interest.
func (t *selfTransport) call(command any) {
	select {
	case t.incoming <- hraft.RPC{Command: command, RespChan: make(chan hraft.RPCResponse, 1)}:
	case <-t.stop:
	}
}

// Close implements hraft.WithClose.
func (t *selfTransport) Close() error {
	var err error
	t.once.Do(func() {
		close(t.stop)
		err = t.Transport.Close()
		t.wg.Wait()
	})
	return err
}
