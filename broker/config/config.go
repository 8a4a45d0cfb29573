package config

import (
	"time"

	"github.com/distributedmq/dmq/protocol"
)

// Listener is one entry of listeners or advertised.listeners.
type Listener struct {
	Name     string // upper case, e.g. PLAINTEXT or CONTROLLER
	Protocol string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
	Host     string // empty: all interfaces
	Port     int    // 0: any free port
}

// Voter is one entry of controller.quorum.voters.
type Voter struct {
	ID   protocol.NodeID
	Host string
	Port int
}

// Config is the static configuration of one node, after all sources were merged and checked. It is never changed.
type Config struct {
	NodeID        protocol.NodeID // node.id
	Rack          string          // broker.rack; "" none
	IsBroker      bool            // process.roles
	IsController  bool
	ClusterIDHint string // dmq.cluster.id: the id a first start gives the cluster; "" draws one

	Listeners           []Listener // those of clients and brokers
	ControllerListeners []Listener // those named in controller.listener.names; never empty on a controller
	AdvertisedListeners []Listener // what registration and Metadata tell; port 0 = the bound one
	InterBrokerListener string
	LocalQuorum         bool // one node that bound its own controller listener to loopback: no other node may join
	QuorumVoters        []Voter
	QuorumBootstrap     []string

	LogDirs        []string // log.dirs, never empty
	MetadataLogDir string   // metadata.log.dir, default the first of LogDirs

	NumPartitions            int32
	DefaultReplicationFactor int16
	MinInsyncReplicas        int32
	AutoCreateTopics         bool
	DeleteTopicEnable        bool

	MaxConnections           int32
	MaxConnectionsPerIP      int32
	ConnectionsMaxIdle       time.Duration // < 0: never
	SocketRequestMaxBytes    int32
	SocketSendBufferBytes    int32 // -1: the system's
	SocketReceiveBufferBytes int32
	SocketListenBacklog      int32

	FetchMaxBytes                int32
	FetchSessionCacheSlots       int32
	PurgeIntervalRequests        int32
	MaxRequestPartitionSizeLimit int32 // DescribeTopicPartitions paging

	BrokerHeartbeatInterval time.Duration
	BrokerSessionTimeout    time.Duration
	ControlledShutdown      bool

	RetentionCheckInterval     time.Duration
	RecoveryPointInterval      time.Duration
	StartOffsetInterval        time.Duration
	HighWatermarkInterval      time.Duration
	FlushSchedulerInterval     time.Duration
	RecoveryThreadsPerDir      int32
	ProducerIDExpiration       time.Duration
	ProducerIDExpirationCheck  time.Duration
	ShutdownTimeout            time.Duration // dmq.shutdown.timeout
	AdminListen                string        // dmq.admin.listen; "" = none
	LogFormat, LogEmoji, Level string        // dmq.log.format, dmq.log.emoji, dmq.log.level

	values map[string]Value
	schema *Schema
}

// Value is one static broker property as it was set.
type Value struct {
	Text   string // as Kafka would print it
	Source string // where it came from: a file name with line, an environment variable, --set, or "default"
}

// Lookup returns the static value of a broker property and where it came from; ok is false for an unset key without default.
func (c *Config) Lookup(name string) (Value, bool) {
	v, ok := c.values[name]
	return v, ok
}

// Schema returns the table the configuration was read with.
func (c *Config) Schema() *Schema { return c.schema }
