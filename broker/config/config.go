package config

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/distributedmq/dmq/log/cleaner"
	"github.com/distributedmq/dmq/protocol"
)

// Config is the configuration of one node, after all sources were merged and checked. It is never changed: WithDynamic
// returns another one.
type Config struct {
	NodeID        protocol.NodeID // node.id
	Rack          string          // broker.rack; "" none
	IsBroker      bool            // process.roles
	IsController  bool
	ClusterIDHint string // dmq.cluster.id: the id a first start gives the cluster; "" draws one

	Listeners            []Listener // those of clients and brokers, in the order given
	ControllerListeners  []Listener // those named in controller.listener.names; never empty on a controller
	AdvertisedListeners  []Listener // of Listeners, what registration and Metadata tell; port 0 is the one that was bound
	InterBrokerListener  string     // the name of the listener brokers use among themselves
	AdvertisedController Listener   // what other nodes are told of the first controller listener; zero on a node that is no controller
	LocalQuorum          bool       // the controller listener is our own, on loopback: no other node may join
	QuorumVoters         []Voter    // controller.quorum.voters; empty: this node alone
	QuorumBootstrap      []string   // controller.quorum.bootstrap.servers
	Alone                bool       // the configuration names no other controller than this node
	ConfiguredNodes      int        // how many nodes the configuration names, at least 1

	LogDirs         []string // log.dirs or log.dir; never empty
	CordonedLogDirs []string // those of LogDirs that get no new partitions
	MetadataLogDir  string   // metadata.log.dir, else the first of LogDirs

	NumPartitions            int32
	DefaultReplicationFactor int16
	MinInsyncReplicas        int32
	AutoCreateTopics         bool
	DeleteTopicEnable        bool
	RebalanceInterval        time.Duration // how often leaderships go back to preferred replicas; 0: never

	MaxConnections           int32            // of the node
	MaxConnectionsByListener map[string]int32 // listener.name.<name>.max.connections, by upper-case name
	MaxConnectionsPerIP      int32
	MaxConnectionsPerIPOf    map[string]int32 // max.connections.per.ip.overrides, by host
	ConnectionsMaxIdle       time.Duration    // negative: never
	SocketRequestMaxBytes    int32
	SocketSendBufferBytes    int32 // -1: the system's
	SocketReceiveBufferBytes int32 // -1: the system's
	RequestTimeout           time.Duration

	Offsets     Offsets
	Groups      Groups
	Replication Replication

	FetchMaxBytes                int32
	FetchSessionCacheSlots       int32
	MaxRequestPartitionSizeLimit int32 // paging of DescribeTopicPartitions

	BrokerHeartbeatInterval    time.Duration
	BrokerSessionTimeout       time.Duration
	ReplicaLagTimeMax          time.Duration // how long a follower may lag and be in sync
	RackAwareReads             bool          // consumers are sent to a follower in their rack
	InitialRegistrationTimeout time.Duration
	ControlledShutdown         bool

	RetentionCheckInterval    time.Duration
	RecoveryPointInterval     time.Duration // log.flush.offset.checkpoint.interval.ms
	StartOffsetInterval       time.Duration // log.flush.start.offset.checkpoint.interval.ms
	HighWatermarkInterval     time.Duration // replica.high.watermark.checkpoint.interval.ms
	RecoveryThreadsPerDir     int32
	ProducerIDExpiration      time.Duration
	Cleaner                   cleaner.Config // log.cleaner.*
	ProducerIDExpirationCheck time.Duration

	BrokerDialback bool // dmq.broker.dialback.enable

	AdminListen     string        // dmq.admin.listen; "" none
	AdminAdvertised Listener      // where others reach it; port 0 is the one that was bound; Protocol is PLAINTEXT or SSL
	ShutdownTimeout time.Duration // dmq.shutdown.timeout
	LogFormat       string        // dmq.log.format: auto, console, json, logfmt
	LogLevel        string        // dmq.log.level: debug, info, warn, error
	LogEmoji        string        // dmq.log.emoji: auto, on, off

	schema   *Schema
	set      map[string]Value   // what some source sets
	shadowed map[string][]Value // what a stronger source overrode, the strongest first
	defaults map[string]string  // defaults that depend on the node, over the table's
}

// Value is a property's value as one source sets it.
type Value struct {
	Text   string
	Source string // a file (with its line, for YAML), an environment variable, --set, or "" when derived
}

// Schema returns the table the configuration was read with.
func (c *Config) Schema() *Schema { return c.schema }

// WithNodeID returns the configuration under the node id that the data directories name. An id that some source sets stays:
// whether it fits the directories is for them to say.
func (c *Config) WithNodeID(id protocol.NodeID) *Config {
	_, set := c.set["node.id"]
	_, old := c.set["broker.id"]
	if set || old || c.NodeID == id {
		return c
	}
	next := *c
	next.NodeID = id
	next.defaults = maps.Clone(c.defaults)
	if next.defaults == nil {
		next.defaults = make(map[string]string)
	}
	next.defaults["node.id"] = strconv.Itoa(int(id))
	return &next
}

// Keys lists the broker properties that some source sets, sorted.
func (c *Config) Keys() []string { return slices.Sorted(maps.Keys(c.set)) }

// Explanation is where a property's value comes from.
type Explanation struct {
	Property *Property // nil for a key nobody knows
	Key      string
	Value    string // "[hidden]" for secrets
	Null     bool   // neither set nor defaulted
	Source   string // "default" when no source sets it
	Shadowed []Value
	Applies  string // of a property that is not set: the one in another unit that applies instead, or ""
}

// Explain tells what a broker property is set to and by whom.
func (c *Config) Explain(key string) (Explanation, bool) {
	p, known := c.schema.LookupBroker(key)
	e := Explanation{Property: p, Key: key, Source: "default"}
	v, set := c.set[key]
	if !known && !set {
		return e, false
	}
	if set {
		e.Value, e.Source = v.Text, v.Source
		if e.Source == "" {
			e.Source = "derived"
		}
	} else if text, ok := c.defaultOf(key); ok {
		e.Value = text
	} else {
		e.Null = true
	}
	for _, other := range olderUnits(key) {
		if _, isSet := c.set[other]; other != key && e.Null && e.Applies == "" && (isSet || other == olderUnits(key)[len(olderUnits(key))-1]) {
			e.Applies = other
		}
	}
	e.Shadowed = slices.Clone(c.shadowed[key])
	if p == nil || p.Sensitive() {
		if !e.Null {
			e.Value = "[hidden]"
		}
		for i := range e.Shadowed {
			e.Shadowed[i].Text = "[hidden]"
		}
	}
	return e, true
}

// Durable reports whether topics sync every acknowledged record unless they say otherwise.
func (c *Config) Durable() bool {
	return c.intOf(c.merged(Dynamic{}), "log.flush.interval.messages") == 1
}

// node fills c from the values that passed, and checks what makes sense only together.
func (b *builder) node(c *Config) {
	c.NodeID = protocol.NodeID(b.int("node.id"))
	c.Rack = b.text("broker.rack")
	roles := b.list("process.roles")
	c.IsBroker, c.IsController = slices.Contains(roles, "broker"), slices.Contains(roles, "controller")
	c.ClusterIDHint = b.text("dmq.cluster.id")
	if c.ClusterIDHint != "" {
		if _, err := protocol.ParseTopicID(c.ClusterIDHint); err != nil {
			b.fault("dmq.cluster.id", "is not a cluster id", "it has 22 characters of URL-safe base64; leave it out to get a random one")
		}
	}
	b.quorum(c)
	b.nodeDefaults(c)
	b.listeners(c)

	c.LogDirs = b.list("log.dirs")
	if len(c.LogDirs) == 0 {
		c.LogDirs = b.list("log.dir")
	}
	if len(c.LogDirs) == 0 {
		b.fault("log.dirs", "names no directory", "set log.dirs")
		c.LogDirs = []string{"./data"}
	}
	if c.MetadataLogDir = b.text("metadata.log.dir"); c.MetadataLogDir == "" {
		c.MetadataLogDir = c.LogDirs[0]
	}
	c.NumPartitions = int32(b.int("num.partitions"))
	c.DefaultReplicationFactor = int16(b.int("default.replication.factor"))
	c.MinInsyncReplicas = int32(b.int("min.insync.replicas"))
	if b.bool("auto.leader.rebalance.enable") {
		const longest = int64(1<<63-1) / int64(time.Second)
		c.RebalanceInterval = time.Duration(min(b.int("leader.imbalance.check.interval.seconds"), longest)) * time.Second
	}
	c.AutoCreateTopics, c.DeleteTopicEnable = b.bool("auto.create.topics.enable"), b.bool("delete.topic.enable")

	c.ConnectionsMaxIdle = b.ms("connections.max.idle.ms")
	c.SocketRequestMaxBytes = int32(b.int("socket.request.max.bytes"))
	c.SocketSendBufferBytes, c.SocketReceiveBufferBytes = int32(b.int("socket.send.buffer.bytes")), int32(b.int("socket.receive.buffer.bytes"))
	c.RequestTimeout = b.ms("request.timeout.ms")
	c.FetchMaxBytes = int32(b.int("fetch.max.bytes"))
	c.FetchSessionCacheSlots = int32(b.int("max.incremental.fetch.session.cache.slots"))
	c.MaxRequestPartitionSizeLimit = int32(b.int("max.request.partition.size.limit"))

	c.RackAwareReads = b.text("replica.selector.class") == rackAwareSelector
	c.ReplicaLagTimeMax = b.ms("replica.lag.time.max.ms")
	c.BrokerHeartbeatInterval, c.BrokerSessionTimeout = b.ms("broker.heartbeat.interval.ms"), b.ms("broker.session.timeout.ms")
	c.InitialRegistrationTimeout = b.ms("initial.broker.registration.timeout.ms")
	c.ControlledShutdown = b.bool("controlled.shutdown.enable")
	c.BrokerDialback = b.bool("dmq.broker.dialback.enable")

	c.RetentionCheckInterval = b.ms("log.retention.check.interval.ms")
	c.RecoveryPointInterval = b.ms("log.flush.offset.checkpoint.interval.ms")
	c.StartOffsetInterval = b.ms("log.flush.start.offset.checkpoint.interval.ms")
	c.HighWatermarkInterval = b.ms("replica.high.watermark.checkpoint.interval.ms")
	c.ProducerIDExpirationCheck = b.ms("producer.id.expiration.check.interval.ms")

	c.Offsets = b.offsets()
	b.admin(c)
	c.ShutdownTimeout, _ = time.ParseDuration(b.text("dmq.shutdown.timeout"))
	c.LogFormat, c.LogLevel, c.LogEmoji = b.text("dmq.log.format"), b.text("dmq.log.level"), b.text("dmq.log.emoji")
	b.dynamic(c)
}

// dynamic fills the fields whose properties may change while the node runs.
func (b *builder) dynamic(c *Config) {
	c.MinInsyncReplicas = int32(b.int("min.insync.replicas"))
	c.MaxConnections = int32(b.int("max.connections"))
	c.MaxConnectionsPerIP = int32(b.int("max.connections.per.ip"))
	c.MaxConnectionsPerIPOf = b.perIP()
	c.MaxConnectionsByListener = map[string]int32{}
	for _, l := range slices.Concat(c.Listeners, c.ControllerListeners) {
		if _, ok := b.set[listenerPrefix(l.Name)+"max.connections"]; ok {
			c.MaxConnectionsByListener[l.Name] = int32(b.int(listenerPrefix(l.Name) + "max.connections"))
		}
	}
	c.Groups = b.groupCoordinator()
	c.Replication = b.replication()
	c.RecoveryThreadsPerDir = int32(b.int("num.recovery.threads.per.data.dir"))
	c.ProducerIDExpiration = b.ms("producer.id.expiration.ms")
	c.Cleaner = b.cleaner()
	c.CordonedLogDirs = nil
	cordoned := b.list("cordoned.log.dirs")
	for _, dir := range c.LogDirs {
		if slices.Contains(cordoned, dir) || slices.Contains(cordoned, "*") {
			c.CordonedLogDirs = append(c.CordonedLogDirs, dir)
		}
	}
}

// cleaner reads how logs are compacted.
func (b *builder) cleaner() cleaner.Config {
	c := cleaner.Config{
		Threads: int(b.int("log.cleaner.threads")), KeyBytes: b.int("log.cleaner.dedupe.buffer.size"), LoadFactor: b.double("log.cleaner.io.buffer.load.factor"),
		IOBytes: int(b.int("log.cleaner.io.buffer.size")), BytesPerSec: b.double("log.cleaner.io.max.bytes.per.second"), Backoff: b.ms("log.cleaner.backoff.ms"),
	}
	if !b.bool("log.cleaner.enable") {
		c.Threads = 0
	}
	return c
}

// nodeDefaults works out the defaults that depend on how many nodes there are: as many replicas as nodes, at most three,
// and two of three in sync.
func (b *builder) nodeDefaults(c *Config) {
	replicas, minISR := "1", "1"
	if c.ConfiguredNodes > 1 {
		replicas, minISR = "2", "2"
		if c.ConfiguredNodes > 2 {
			replicas = "3"
		}
	}
	b.defaults = map[string]string{
		"default.replication.factor":                       replicas,
		"min.insync.replicas":                              minISR,
		"offsets.topic.replication.factor":                 replicas,
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    minISR,
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            minISR,
	}
}

// get parses a property's value, or its default. Values in set have passed; what has not is replaced by the default so
// that the rest can still be checked.
func (b *builder) get(name string) any {
	p, ok := b.schema.LookupBroker(name)
	if !ok {
		panic("config: " + name + " is not in the table")
	}
	text, set := b.set[name]
	if !set {
		if text, set = b.defaults[name]; !set {
			if !p.HasDefault {
				return nil
			}
			text = p.Default
		}
	}
	v, err := parse(name, text, p.Type)
	if err != nil {
		return nil
	}
	return v
}

func (b *builder) int(name string) int64      { v, _ := b.get(name).(int64); return v }
func (b *builder) bool(name string) bool      { v, _ := b.get(name).(bool); return v }
func (b *builder) double(name string) float64 { v, _ := b.get(name).(float64); return v }
func (b *builder) text(name string) string    { v, _ := b.get(name).(string); return v }

// list returns a list without duplicates.
func (b *builder) list(name string) []string {
	v, _ := b.get(name).([]string)
	return unique(v)
}

// ms reads a time in milliseconds, capped at what a Duration holds.
func (b *builder) ms(name string) time.Duration {
	const longest = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(b.int(name), longest)) * time.Millisecond
}
