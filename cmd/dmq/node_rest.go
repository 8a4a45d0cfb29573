package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// newAPI is the REST of a node.
func newAPI(c *config.Config, b *broker.Broker, logger *slog.Logger) http.Handler {
	o := api.Options{
		Cluster: nodeCluster{b.Control(), b}, HeartbeatInterval: c.BrokerHeartbeatInterval, SessionTimeout: c.BrokerSessionTimeout,
		Lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		Version: versionInfo().Version, Logger: logger,
	}
	if c.IsBroker {
		o.Broker = b.Control()
	}
	return api.New(o)
}

// nodeCluster shows the cluster to the REST of a node (api.Cluster, notify.Cluster).
type nodeCluster struct {
	broker.Control
	b *broker.Broker
}

func (n nodeCluster) Image() *image.Image { return n.b.Image() }

func (n nodeCluster) Quorum() (api.Quorum, bool) {
	s, ok := n.Control.Quorum()
	if !ok {
		return api.Quorum{Leader: -1}, false
	}
	q := api.Quorum{
		Leader: s.Leader, Term: s.Term, State: strings.ToUpper(s.State), CommitIndex: s.CommitIndex, AppliedIndex: s.AppliedIndex,
		Voters: s.Voters, Observers: s.Observers,
	}
	if s.Leader == s.NodeID {
		q.LastContact = make(map[protocol.NodeID]time.Time, len(s.Members))
		for i := range s.Members {
			q.LastContact[s.Members[i].ID] = s.Members[i].Contact
		}
	}
	return q, true
}
