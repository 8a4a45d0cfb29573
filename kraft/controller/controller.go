package controller

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// Options configures a Controller.
type Options struct {
	Quorum   *kraft.Quorum
	NodeID   protocol.NodeID
	Schema   ConfigSchema
	Settings Settings
	Logger   *slog.Logger
	Rand     io.Reader // topic ids; nil: crypto/rand
	Features map[string]image.FeatureRange
	// Endpoints and IncarnationID are what this controller registers for itself.
	Endpoints     []image.Endpoint
	IncarnationID protocol.TopicID
}

// Settings are the controller's defaults.
type Settings struct {
	NumPartitions            int32
	DefaultReplicationFactor int16
	SessionTimeout           time.Duration
}

// ConfigSchema knows the configuration keys of every resource. broker/config implements it.
type ConfigSchema interface {
	// Validate checks a resource's complete new set of overrides; changed names the keys this request sets. The error
	// carries INVALID_CONFIG (or another Kafka kind) and the text clients see.
	Validate(r image.Resource, configs map[string]string, changed []string) error
	// IsList reports whether APPEND and SUBTRACT apply to the key.
	IsList(r image.Resource, key string) bool
	// Default returns the value a key has without an override on this resource (cluster-wide dynamic configs given), for
	// APPEND and SUBTRACT on an unset list.
	Default(r image.Resource, key string, cluster map[string]string) (string, bool)
	// TopicConfigs describes all effective configs of a topic with these overrides, sorted by name, for CreateTopics v5+.
	TopicConfigs(overrides, cluster map[string]string) []TopicConfig
}

// TopicConfig is one effective topic config.
type TopicConfig struct {
	Name      string
	Value     *string
	ReadOnly  bool
	Source    int8 // kmsg.ConfigSource
	Sensitive bool
}

// Controller decides for the cluster while its node leads the quorum.
type Controller struct{}

// New returns a controller that does nothing until Run.
func New(o Options) *Controller { panic("skeleton") }

// Run serves until ctx ends.
func (c *Controller) Run(ctx context.Context) error { panic("skeleton") }

// Handle is the one door for requests of the controller. An error means that no decision was taken: NOT_CONTROLLER,
// or the context's.
func (c *Controller) Handle(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	panic("skeleton")
}
