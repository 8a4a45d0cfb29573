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
	Port        int               // of the client listener; 0 takes a free one
	Advertised  string            // advertised host; empty is 127.0.0.1
	Unformatted bool              // leave DataDir as it is instead of laying a formatted one there
	Heap        string            // of the JVM; empty is 512m
	JVM         []string          // flags of the JVM; nil are those that start it fast
}

// ServerJVM are the flags that Kafka's own start script gives the JVM, for those who measure.
var ServerJVM = []string{"-server", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"}

func (o *Options) ports() (client, controller, admin int, err error) {
	client = o.Port
	if client == 0 {
		if client, err = FreePort(); err != nil {
			return 0, 0, 0, err
		}
	}
	if controller, err = FreePort(); err != nil {
		return 0, 0, 0, err
	}
	admin, err = FreePort()
	return client, controller, admin, err
}

func (o *Options) prepare() error {
	if o.DataDir == "" {
		o.DataDir = filepath.Join(o.Dir, "data")
	}
	if o.Advertised == "" {
		o.Advertised = "127.0.0.1"
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

// oneNode are the properties that make either broker a node of its own: the same for both, as far as both know them.
func oneNode(b *Broker, advertised string) map[string]string {
	_, port, _ := strings.Cut(b.Addr, ":")
	return map[string]string{
		"process.roles": "broker,controller", "node.id": "1",
		"controller.quorum.voters":                         "1@" + b.ControllerAddr,
		"listeners":                                        "PLAINTEXT://" + b.Addr + ",CONTROLLER://" + b.ControllerAddr,
		"advertised.listeners":                             "PLAINTEXT://" + advertised + ":" + port,
		"controller.listener.names":                        "CONTROLLER",
		"listener.security.protocol.map":                   "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                                         b.DataDir,
		"offsets.topic.replication.factor":                 "1",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
	}
}

// StartKafka starts a one-node Apache Kafka 4.4 (broker and controller in one) and returns when it answers.
func StartKafka(ctx context.Context, h Home, o Options) (*Broker, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	client, controller, _, err := o.ports()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(o.DataDir, "meta.properties")); err != nil && !o.Unformatted {
		if err := os.CopyFS(o.DataDir, os.DirFS(filepath.Join(string(h), "format"))); err != nil {
			return nil, fmt.Errorf("lay a formatted storage folder: %w", err)
		}
		syscall.Sync() // what a formatter leaves is durable, as far as the power-cut test is concerned
	}
	b := &Broker{
		Kind: "kafka", Dir: o.Dir, DataDir: o.DataDir,
		Addr:           fmt.Sprintf("127.0.0.1:%d", client),
		ControllerAddr: fmt.Sprintf("127.0.0.1:%d", controller),
	}
	conf := filepath.Join(o.Dir, "kafka.properties")
	b.configure = func(properties map[string]string) error {
		o.Properties = properties
		lines := o.merged(oneNode(b, o.Advertised))
		return os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
	}
	if err := b.configure(o.Properties); err != nil {
		return nil, err
	}
	b.command = func() *exec.Cmd {
		return exec.Command("java", append(slices.Clone(o.JVM), "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
			"-cp", h.BrokerClasspath(), "kafka.Kafka", conf)...)
	}
	return b, b.start(ctx)
}
