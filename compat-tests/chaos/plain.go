package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"

	"github.com/distributedmq/dmq/compat-tests/peer"
)

// plain is the loopback of this machine, for those who may not have namespaces. In front of each node stands a proxy at the
// addresses that it advertises. It does not know who calls: what comes to a node can be cut off or delayed, from everybody at
// once.
type plain struct {
	nodes []plainNode // from 1 on
}

// plainNode are the ports of a node: those that it listens on, and those that it tells the others.
type plainNode struct {
	listens, advertises [2]int // client and controller
	proxies             []*proxy
}

func newPlain(ctx context.Context, nodes int) (*plain, error) {
	p := &plain{nodes: make([]plainNode, nodes+1)}
	for i := 1; i <= nodes; i++ {
		n := &p.nodes[i]
		for j := range n.listens {
			var err [2]error
			n.listens[j], err[0] = peer.FreePort()
			n.advertises[j], err[1] = peer.FreePort()
			if err := errors.Join(err[:]...); err != nil {
				return nil, errors.Join(err, p.close())
			}
			l, lerr := (&net.ListenConfig{}).Listen(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", n.advertises[j]))
			if lerr != nil {
				return nil, errors.Join(lerr, p.close())
			}
			to := fmt.Sprintf("127.0.0.1:%d", n.listens[j])
			n.proxies = append(n.proxies, newProxy(l, func() (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp4", to) }))
		}
	}
	return p, nil
}

// listens implements network.
func (p *plain) listens(node int) addresses { return onLoopback(p.nodes[node].listens) }

// advertises implements network.
func (p *plain) advertises(node int) addresses { return onLoopback(p.nodes[node].advertises) }

func onLoopback(ports [2]int) addresses {
	return addresses{fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])}
}

// command implements network.
func (p *plain) command(_ int, name string, args ...string) *exec.Cmd {
	return exec.Command(name, args...)
}

// can implements network.
func (p *plain) can(r rule) bool { return r.from == anybody && r.loss == 0 }

// apply implements network.
func (p *plain) apply(_ context.Context, rules []rule) error {
	for i := 1; i < len(p.nodes); i++ {
		var now rule
		for _, r := range rules {
			if r.to == i {
				now = r
			}
		}
		for _, x := range p.nodes[i].proxies {
			x.cut.Store(now.cut)
			x.delay.Store(int64(now.delay))
		}
	}
	return nil
}

// close implements network.
func (p *plain) close() error {
	for i := range p.nodes {
		for _, x := range p.nodes[i].proxies {
			x.close()
		}
	}
	return nil
}
