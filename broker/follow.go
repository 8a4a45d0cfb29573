package broker

import (
	"context"
	"fmt"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/fetcher"
	"github.com/distributedmq/dmq/broker/nodelink"
	"github.com/distributedmq/dmq/broker/throttle"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// startFetcher follows the partitions that other brokers lead. It comes after the registration, since a leader is told the
// broker epoch, and after the replicas, which are told of new metadata first.
func (n *node) startFetcher(_, _ context.Context) error {
	props := n.props.WithDynamic(n.dynamic(n.quorum.Image()))
	n.fetcher = fetcher.New(fetcher.Options{
		NodeID:      n.props.NodeID,
		Replicas:    n.replicas.Load(),
		Link:        n.newFetchLink,
		BrokerEpoch: func() protocol.BrokerEpoch { return protocol.BrokerEpoch(n.life.epoch.Load()) },
		Config:      fetchConfig(props.Replication),
		Quota:       quota(props.Replication, props.Replication.FollowerRate),
		Logger:      n.logger,
	})
	n.onClose(n.fetcher.Close)
	n.quorum.Subscribe(n.fetcher)
	n.quorum.Subscribe(image.PublisherFunc(n.reconfigureFetcher))
	return nil
}

// reconfigureFetcher applies the dynamic properties that concern following.
func (n *node) reconfigureFetcher(d *image.Delta) {
	for r := range d.ChangedConfigs {
		if r.Type == image.ResourceBroker {
			props := n.props.WithDynamic(n.dynamic(d.Next))
			n.fetcher.SetFetchers(props.Replication.Fetchers)
			n.fetcher.SetQuota(quota(props.Replication, props.Replication.FollowerRate))
			n.replicas.Load().SetQuota(quota(props.Replication, props.Replication.LeaderRate))
			return
		}
	}
}

func fetchConfig(r config.Replication) fetcher.Config {
	return fetcher.Config{
		Fetchers: r.Fetchers, MinBytes: r.MinBytes, MaxBytes: r.MaxBytes, ResponseMaxBytes: r.ResponseMaxBytes,
		MaxWait: r.MaxWait, Backoff: r.Backoff, Timeout: r.SocketTimeout,
	}
}

// leaderQuota is what throttled followers are sent.
func (n *node) leaderQuota() throttle.Quota {
	r := n.props.WithDynamic(n.dynamic(n.quorum.Image())).Replication
	return quota(r, r.LeaderRate)
}

func quota(r config.Replication, bytesPerSec int64) throttle.Quota {
	return throttle.Quota{BytesPerSec: bytesPerSec, Windows: r.QuotaWindows, Window: r.QuotaWindow}
}

// newFetchLink makes the link of one of the fetchers to a leader.
func (n *node) newFetchLink(leader protocol.NodeID, index int) fetcher.Link {
	o := n.linkOptions(leader, fmt.Sprintf("broker-%d-fetcher-%d", n.props.NodeID, index))
	o.ReuseResponses = true
	return nodelink.New(o)
}
