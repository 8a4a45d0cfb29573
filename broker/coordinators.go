package broker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/group/lag"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// startCoordinators begins to coordinate the groups of the partitions that this broker leads. It comes after the replicas,
// in whose logs the groups are, and which are told of new metadata first.
func (n *node) startCoordinators(ctx, _ context.Context) error {
	newRand, err := randSource(n.cfg.Rand)
	if err != nil {
		return err
	}
	offsets := &n.props.Offsets
	n.groups = group.NewCoordinator(group.Options{
		NodeID:        n.props.NodeID,
		Replicas:      n.replicas.Load(),
		Image:         n.quorum.Image,
		Logger:        n.logger,
		Rand:          newRand,
		Settings:      n.groupSettings,
		GroupSettings: n.consumerGroupSettings,
		MaxBatchBytes: func(img *image.Image) int {
			l := n.props.TopicLog(img.Configs[image.Resource{Type: image.ResourceTopic, Name: group.Topic}], n.dynamic(img))
			return int(min(l.MaxMessageBytes, l.SegmentBytes))
		},
		KeepBytes:     func(img *image.Image) int { return n.props.WithDynamic(n.dynamic(img)).Groups.KeepBytes },
		Partitions:    int(offsets.Partitions),
		Codec:         offsets.Codec,
		CommitTimeout: offsets.CommitTimeout,
		LoadBytes:     offsets.LoadBytes,
		Background:    n.props.Groups.BackgroundThreads,
	})
	links := n.newBrokerLinks()
	n.onClose(links.Close)
	n.ends = &ends{
		self: n.props.NodeID, replicas: n.replicas.Load(), image: n.quorum.Image, ask: links.request,
		logger: n.logger.With(slog.String("component", "lag")), known: make(map[protocol.TopicPartition]learnt),
	}
	n.lag = lag.NewTracker(n.ends)
	n.onClose(n.groups.Close)
	n.quorum.Subscribe(n.groups)
	return ctx.Err()
}

// randSource returns a function that makes sources of random numbers that nobody can guess. It may be called from any
// goroutine.
func randSource(r io.Reader) (func() *rand.Rand, error) {
	var seed [32]byte
	if _, err := io.ReadFull(r, seed[:]); err != nil {
		return nil, fmt.Errorf("draw a random seed: %w", err)
	}
	var mu sync.Mutex // guards root
	root := rand.NewChaCha8(seed)
	return func() *rand.Rand {
		mu.Lock()
		defer mu.Unlock()
		var seed [32]byte
		_, _ = root.Read(seed[:]) // it never fails
		return rand.New(rand.NewChaCha8(seed))
	}, nil
}

// groupSettings are the broker's properties that the group coordinator follows.
func (n *node) groupSettings(img *image.Image) group.Settings {
	props := n.props.WithDynamic(n.dynamic(img))
	g, o := &props.Groups, &props.Offsets
	return group.Settings{
		MinSessionTimeout: g.MinSessionTimeout, MaxSessionTimeout: g.MaxSessionTimeout,
		InitialRebalanceDelay: g.InitialRebalanceDelay, MaxSize: g.MaxSize,
		OffsetMetadataMaxBytes: o.MetadataMaxBytes, OffsetsRetention: o.Retention, OffsetsRetentionCheck: o.RetentionCheck,
		Consumer: group.ConsumerSettings(g.Consumer), ConsumerMaxSize: g.ConsumerMaxSize, Assignors: g.Assignors,
		MigrationPolicy: migrationPolicy(g.MigrationPolicy), RegexRefresh: g.RegexRefresh,
		ConsumerGroupsServed: g.ConsumerProtocol && img.Features[groupVersion] >= 1,
	}
}

func migrationPolicy(name string) group.MigrationPolicy {
	switch name {
	case "upgrade":
		return group.MigrationUpgrade
	case "downgrade":
		return group.MigrationDowngrade
	case "bidirectional":
		return group.MigrationBidirectional
	default:
		return group.MigrationDisabled
	}
}

// consumerGroupSettings are those of the groups that have some of their own.
func (n *node) consumerGroupSettings(img *image.Image) map[string]group.ConsumerSettings {
	props := n.props.WithDynamic(n.dynamic(img))
	out := make(map[string]group.ConsumerSettings)
	for r, overrides := range img.Configs {
		if r.Type == image.ResourceGroup {
			out[r.Name] = group.ConsumerSettings(props.ConsumerGroup(overrides))
		}
	}
	return out
}
