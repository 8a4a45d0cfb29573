package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
)

// Options are what a broker is started with.
type Options struct {
	Dir         string            // folder of its own; data lies in Dir/data unless DataDir says otherwise
	DataDir     string            // log.dirs
	Properties  map[string]string // settings beside those this package needs
	Unformatted bool              // leave DataDir as it is instead of laying a formatted one there
	Heap        string            // of the JVM; empty is 512m
	JVM         []string          // flags of the JVM; nil are those that start it fast
}

// ServerJVM are the flags that Kafka's own start script gives the JVM, for those who measure.
var ServerJVM = []string{"-server", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"}

func (o *Options) prepare() error {
	if o.DataDir == "" {
		o.DataDir = filepath.Join(o.Dir, "data")
	}
	if o.Heap == "" {
		o.Heap = "512m"
	}
	if o.JVM == nil {
		o.JVM = []string{"-Xmx" + o.Heap, "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"}
	}
	return os.MkdirAll(o.Dir, 0o755)
}

// merged returns base with the properties of o on top, as sorted key=value lines.
func (o *Options) merged(base map[string]string) []string {
	for k, v := range o.Properties {
		base[k] = v
	}
	lines := make([]string, 0, len(base))
	for k, v := range base {
		lines = append(lines, k+"="+v)
	}
	sort.Strings(lines)
	return lines
}

// properties are those that make either broker a node of a cluster, maybe the only one: the same for both, as far as both know them.
func properties(b *Broker, q quorum) map[string]string {
	factor, minISR := min(3, q.nodes), 1
	if factor > 1 {
		minISR = 2
	}
	base := map[string]string{
		"process.roles": "broker,controller", "node.id": fmt.Sprint(b.ID),
		"listeners":                                        "PLAINTEXT://" + b.Addr + ",CONTROLLER://" + b.ControllerAddr,
		"advertised.listeners":                             "PLAINTEXT://" + b.Addr,
		"controller.listener.names":                        "CONTROLLER",
		"listener.security.protocol.map":                   "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                                         b.DataDir,
		"offsets.topic.replication.factor":                 fmt.Sprint(factor),
		"transaction.state.log.replication.factor":         fmt.Sprint(factor),
		"transaction.state.log.min.isr":                    fmt.Sprint(minISR),
		"share.coordinator.state.topic.replication.factor": fmt.Sprint(factor),
		"share.coordinator.state.topic.min.isr":            fmt.Sprint(minISR),
	}
	base[q.property] = q.value
	if factor > 1 {
		base["default.replication.factor"], base["min.insync.replicas"] = fmt.Sprint(factor), fmt.Sprint(minISR)
	}
	return base
}

// quorum is what a node knows of the cluster it is part of.
type quorum struct {
	nodes           int
	property, value string // the property that says where the voters are
}

// quorumOf returns what the nodes of a cluster know of each other.
func quorumOf(nodes []*Broker, dynamic bool) quorum {
	q := quorum{nodes: len(nodes), property: "controller.quorum.voters"}
	var places []string
	for _, b := range nodes {
		place := b.ControllerAddr
		if !dynamic {
			place = fmt.Sprintf("%d@%s", b.ID, b.ControllerAddr)
		}
		places = append(places, place)
	}
	if dynamic {
		q.property = "controller.quorum.bootstrap.servers"
	}
	q.value = strings.Join(places, ",")
	return q
}

// newBroker is a node that was not started yet, in a folder and on ports of its own.
func newBroker(kind string, id int32, o *Options) (*Broker, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	b := &Broker{
		Process: Process{Name: kind, LogFile: filepath.Join(o.Dir, kind+".log")},
		Kind:    kind, ID: id, Dir: o.Dir, DataDir: o.DataDir,
	}
	listeners := []*string{&b.Addr, &b.ControllerAddr}
	if kind == "dmq" {
		listeners = append(listeners, &b.AdminAddr)
	}
	for _, addr := range listeners {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		*addr = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return b, nil
}

// StartKafka starts a one-node Apache Kafka 4.4 (broker and controller in one) and returns when it answers.
func StartKafka(ctx context.Context, h Home, o Options) (*Broker, error) {
	b, err := newBroker("kafka", 1, &o)
	if err != nil {
		return nil, err
	}
	if err := h.prepare(b, o, quorumOf([]*Broker{b}, false)); err != nil {
		return nil, err
	}
	return b, b.start(ctx)
}

// prepare lays the storage and the configuration of a node, and says how it is run.
func (h Home) prepare(b *Broker, o Options, q quorum) error {
	if _, err := os.Stat(filepath.Join(o.DataDir, "meta.properties")); err != nil && !o.Unformatted {
		if err := h.lay(b); err != nil {
			return err
		}
	}
	conf := filepath.Join(o.Dir, "kafka.properties")
	b.configure = func(set map[string]string) error {
		o.Properties = set
		lines := o.merged(properties(b, q))
		return os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
	}
	b.Command = func() *exec.Cmd {
		return exec.Command("java", append(slices.Clone(o.JVM), "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
			"-cp", h.BrokerClasspath(), "kafka.Kafka", conf)...)
	}
	return b.configure(o.Properties)
}

// lay copies the formatted storage folder, which is that of node 1, and makes it the node's.
func (h Home) lay(b *Broker) error {
	if err := os.CopyFS(b.DataDir, os.DirFS(filepath.Join(string(h), "format"))); err != nil {
		return fmt.Errorf("lay a formatted storage folder: %w", err)
	}
	if b.ID != 1 {
		lines := fmt.Sprintf("version=1\nnode.id=%d\ndirectory.id=%s\ncluster.id=%s\n", b.ID, directoryID(b.ID), clusterID)
		if err := os.WriteFile(filepath.Join(b.DataDir, "meta.properties"), []byte(lines), 0o644); err != nil {
			return err
		}
	}
	syscall.Sync() // what a formatter leaves is durable, as far as the power-cut test is concerned
	return nil
}

// directoryID is an id for the log directory of a node, in Kafka's base64.
func directoryID(id int32) string { return fmt.Sprintf("directoryOfTheNode%03dA", id) }
