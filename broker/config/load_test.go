package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/broker/config"
)

// files is a file system of one test.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	if text, ok := f[name]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func load(t *testing.T, s config.Sources) (*config.Config, []config.Warning) {
	t.Helper()
	c, warnings, err := config.Load(s)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return c, warnings
}

func value(t *testing.T, c *config.Config, key string) string {
	t.Helper()
	e, ok := c.Explain(key)
	if !ok {
		t.Fatalf("%s is not known", key)
	}
	return e.Value
}

func TestLoad_NothingIsOneNodeOnLoopback(t *testing.T) {
	c, warnings := load(t, config.Sources{})
	if len(warnings) > 0 {
		t.Errorf("warnings: %v", warnings)
	}
	want := []config.Listener{{Name: "PLAINTEXT", Protocol: "PLAINTEXT", Host: "127.0.0.1", Port: 9092}}
	if diff := cmp.Diff(want, c.Listeners); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, c.AdvertisedListeners); diff != "" {
		t.Error(diff)
	}
	want = []config.Listener{{Name: "CONTROLLER", Protocol: "PLAINTEXT", Host: "127.0.0.1", Port: 9093}}
	if diff := cmp.Diff(want, c.ControllerListeners); diff != "" {
		t.Error(diff)
	}
	got := []any{c.NodeID, c.IsBroker, c.IsController, c.LocalQuorum, c.ConfiguredNodes, c.LogDirs[0], c.MetadataLogDir, c.AdminListen, c.AutoCreateTopics, c.DefaultReplicationFactor, c.MinInsyncReplicas, c.InterBrokerListener, c.Durable(), c.ShutdownTimeout, c.ConnectionsMaxIdle}
	wantAll := []any{c.NodeID, true, true, false, 1, "./data", "./data", "127.0.0.1:9091", true, int16(1), int32(1), "PLAINTEXT", true, 30 * time.Second, 10 * time.Minute}
	if diff := cmp.Diff(wantAll, got); diff != "" {
		t.Error(diff)
	}
	if c.NodeID != 1 {
		t.Errorf("node id %d", c.NodeID)
	}
}

func TestLoad_Precedence(t *testing.T) {
	f := files{"a.properties": "num.partitions=1\nlog.segment.bytes=1048576\nlog.retention.ms=1\nlog.roll.ms=1\nmessage.max.bytes=1\n", "b.yaml": "num.partitions: 2\nlog: {segment.bytes: 2097152, retention: {ms: 2}, roll.ms: 2}\n"}
	s := config.Sources{
		Files: []string{"a.properties", "b.yaml"}, ReadFile: f.read,
		Env: []string{"KAFKA_NUM_PARTITIONS=3", "KAFKA_LOG_RETENTION_MS=3", "KAFKA_LOG_ROLL_MS=3", "DMQ_NUM_PARTITIONS=4", "DMQ_LOG_ROLL_MS=4"},
		Set: []string{"num.partitions=5", "num.partitions=6"},
	}
	c, _ := load(t, s)
	got := map[string]string{}
	for _, key := range []string{"num.partitions", "log.segment.bytes", "log.retention.ms", "log.roll.ms", "message.max.bytes", "fetch.max.bytes"} {
		e, _ := c.Explain(key)
		got[key] = e.Value + " from " + e.Source
	}
	want := map[string]string{
		"num.partitions": "6 from --set", "log.segment.bytes": "2097152 from b.yaml:2", "log.retention.ms": "3 from environment KAFKA_LOG_RETENTION_MS",
		"log.roll.ms": "4 from environment DMQ_LOG_ROLL_MS", "message.max.bytes": "1 from a.properties", "fetch.max.bytes": "57671680 from default",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	e, _ := c.Explain("num.partitions")
	var shadowed []string
	for _, v := range e.Shadowed {
		shadowed = append(shadowed, v.Text+" "+v.Source)
	}
	if diff := cmp.Diff([]string{"5 --set", "4 environment DMQ_NUM_PARTITIONS", "3 environment KAFKA_NUM_PARTITIONS", "2 b.yaml:1", "1 a.properties"}, shadowed); diff != "" {
		t.Error(diff)
	}
}

func TestLoad_Formats(t *testing.T) {
	tests := []struct{ name, file, text, key, want string }{
		{"equals", "x.properties", "num.partitions=7", "num.partitions", "7"},
		{"colon", "x.properties", "num.partitions: 7", "num.partitions", "7"},
		{"space", "x.properties", "num.partitions 7", "num.partitions", "7"},
		{"no ending is properties", "server.conf", "num.partitions = 7 ", "num.partitions", "7"},
		{"continuation", "x.properties", "log.dirs=/a,\\\n   /b", "log.dirs", "/a,/b"},
		{"unicode escape", "x.properties", `broker.rack=caf\u00e9`, "broker.rack", "café"},
		{"utf-8", "x.properties", "broker.rack=café", "broker.rack", "café"},
		{"byte order mark", "x.properties", "\ufeffnum.partitions=7", "num.partitions", "7"},
		{"comments", "x.properties", "# a\n! b\nnum.partitions=7", "num.partitions", "7"},
		{"later line wins", "x.properties", "num.partitions=7\nnum.partitions=8", "num.partitions", "8"},
		{"dollar is kept", "x.properties", "broker.rack=$HOME", "broker.rack", "$HOME"},
		{"windows lines", "x.properties", "num.partitions=7\r\nbroker.rack=a\r\n", "broker.rack", "a"},
		{"yaml dotted", "x.yaml", "num.partitions: 7", "num.partitions", "7"},
		{"yaml nested", "x.yml", "num:\n  partitions: 7", "num.partitions", "7"},
		{"yaml list", "x.yaml", "process.roles: [broker, controller]", "process.roles", "broker,controller"},
		{"yaml flow", "x.yaml", "log: {dirs: /a, retention: {hours: 12}}", "log.retention.hours", "12"},
		{"yaml anchor", "x.yaml", "broker.rack: &r a\ndmq.log.level: info\nnum.partitions: 2\nlog.dirs: [*r, b]", "log.dirs", "a,b"},
		{"yaml null leaves unset", "x.yaml", "broker.rack:\nnum.partitions: 7", "num.partitions", "7"},
		{"yaml bool", "x.yaml", "auto.create.topics.enable: false", "auto.create.topics.enable", "false"},
		{"yaml empty", "x.yaml", "", "num.partitions", "1"},
		{"yaml comment only", "x.yaml", "# nothing\n", "num.partitions", "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := load(t, config.Sources{Files: []string{tt.file}, ReadFile: files{tt.file: tt.text}.read})
			if got := value(t, c, tt.key); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoad_BadFiles(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n" + "b: &b {k1: *a, k2: *a}\n"
	tests := []struct{ name, file, text, want string }{
		{"missing", "none.properties", "", "none.properties: cannot be read"},
		{"not yaml", "x.yaml", "a: [", "x.yaml: is not YAML"},
		{"yaml list at the top", "x.yaml", "- a", "x.yaml: line 1: expected key: value"},
		{"yaml twice", "x.yaml", "num.partitions: 1\nnum: {partitions: 2}", "line 2: num.partitions is set a second time (first in line 1)"},
		{"yaml maps in a list", "x.yaml", "log.dirs: [{a: b}]", "line 1: the entries of log.dirs must be plain values"},
		{"yaml nests", "x.yaml", strings.Repeat("{a: ", 40) + "1" + strings.Repeat("}", 40), "nests too deep"},
		{"yaml merges", "x.yaml", bomb + "c: {<<: *b}", "a key must be plain text"},
		{"bad escape", "x.properties", `a=\u12`, "x.properties: is not in properties format"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := files{}
			if tt.text != "" {
				f[tt.file] = tt.text
			}
			_, _, err := config.Load(config.Sources{Files: []string{tt.file}, ReadFile: f.read})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLoad_Environment(t *testing.T) {
	env := []string{
		"KAFKA_NODE_ID=7", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT", "KAFKA_VALID___PROPERTY__ALL_CASES=x", "KAFKA_KAFKA_ODD=y",
		"KAFKA_VERSION=1", "KAFKA_HEAP_OPTS=1", "KAFKA_LOG4J_OPTS=1", "KAFKA_OPTS=1", "KAFKA_JMX_OPTS=1", "KAFKA_JVM_PERFORMANCE_OPTS=1", "KAFKA_GC_LOG_OPTS=1",
		"KAFKA_LOG4J_ROOT_LOGLEVEL=1", "KAFKA_LOG4J_LOGGERS=1", "KAFKA_TOOLS_LOG4J_LOGLEVEL=1", "KAFKA_JMX_HOSTNAME=1", "KAFKA_=1",
		"DMQ_ADMIN_LISTEN=127.0.0.1:0", "DMQ_LOG_LEVEL=warn", "DMQ_LOG_DIRS=/d", "DMQ_DMQ_LOG_FORMAT=json", "DMQ_BROKERS=a", "DMQ_CONFIG=b", "DMQ_USER=c", "DMQ_PASSWORD=d", "HOME=/root",
	}
	c, warnings := load(t, config.Sources{Env: env})
	got := map[string]string{}
	for _, key := range c.Keys() {
		got[key] = value(t, c, key)
	}
	want := map[string]string{
		"node.id": "7", "broker.id": "7", "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT", "valid-property_all.cases": "[hidden]", "kafka.odd": "[hidden]",
		"dmq.admin.listen": "127.0.0.1:0", "dmq.log.level": "warn", "log.dirs": "/d", "dmq.log.format": "json",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(warnings) != 2 || warnings[0].Kind != config.WarnUnknown {
		t.Errorf("warnings: %v", warnings)
	}
}

func TestLoad_Providers(t *testing.T) {
	f := files{"/s/db.properties": "user=ann\nrack = r9\n", "/d/token": "t0p\n"}
	tests := []struct {
		name string
		set  []string
		key  string
		want string // of the key, or of the error with a "!"
	}{
		{"environment", []string{"broker.rack=${env:RACK}"}, "broker.rack", "r1"},
		{"inside of a value", []string{"broker.rack=a-${env:RACK}-${env:ZONE}"}, "broker.rack", "a-r1-z2"},
		{"file", []string{"broker.rack=${file:/s/db.properties:rack}"}, "broker.rack", "r9"},
		{"directory", []string{"broker.rack=${dir:/d:token}"}, "broker.rack", "t0p"},
		{"unknown provider stays", []string{"broker.rack=${vault:a:b}"}, "broker.rack", "${vault:a:b}"},
		{"declared as Kafka does", []string{"config.providers=my", "config.providers.my.class=org.apache.kafka.common.config.provider.FileConfigProvider", "broker.rack=${my:/s/db.properties:user}"}, "broker.rack", "ann"},
		{"unset variable", []string{"broker.rack=${env:NOPE}"}, "", "!broker.rack=${env:NOPE} (--set): environment variable NOPE is not set"},
		{"missing file", []string{"broker.rack=${file:/none:a}"}, "", "!read /none"},
		{"missing property", []string{"broker.rack=${file:/s/db.properties:none}"}, "", "!/s/db.properties has no property none"},
		{"out of the directory", []string{"broker.rack=${dir:/d:../s/db.properties}"}, "", "!is not the name of a file"},
		{"Java class", []string{"config.providers=v", "config.providers.v.class=com.example.Vault"}, "", "!Java classes cannot be loaded here"},
		{"allowed paths", []string{"config.providers=my", "config.providers.my.class=FileConfigProvider", "config.providers.my.param.allowed.paths=/other", "broker.rack=${my:/s/db.properties:user}"}, "", "!/s/db.properties is outside of the allowed paths"},
		{"allow list", []string{"config.providers=e", "config.providers.e.class=EnvVarConfigProvider", "config.providers.e.param.allowlist.pattern=Z.*", "broker.rack=${e:RACK}"}, "", "!environment variable RACK is not set"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _, err := config.Load(config.Sources{Set: tt.set, Env: []string{"RACK=r1", "ZONE=z2"}, ReadFile: f.read})
			if text, fails := strings.CutPrefix(tt.want, "!"); fails {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("got %v, want %q", err, text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := value(t, c, tt.key); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoad_ReportsAllFaultsTogether(t *testing.T) {
	_, _, err := config.Load(config.Sources{
		Files: []string{"s.properties"}, ReadFile: files{"s.properties": "log.segment.bytes=10\nnode.id=x\nlog.cleanup.policy=forget\nssl.keystore.password=geheim\n"}.read,
		Set: []string{"nonsense", "listeners=SSL://:9092", "log.roll.ms=0", "dmq.admin.listen=here"},
	})
	got := err.Error()
	for _, want := range []string{
		"--set nonsense: is not key=value; write --set log.dirs=/var/lib/dmq",
		"log.segment.bytes=10 (s.properties): value must be at least 1048576; accepted is [1048576,...]",
		"node.id=x (s.properties): not a number of type INT; accepted is [0,...]",
		"log.cleanup.policy=forget (s.properties): configuration", // replaced below
		"listeners=SSL://:9092 (--set): SSL listeners cannot be served yet; use PLAINTEXT on a network you trust",
		"log.roll.ms=0 (--set): log.roll.ms must be greater than or equal to 1",
		`dmq.admin.listen=here (--set): "here" is not host:port`,
	} {
		if strings.HasPrefix(want, "log.cleanup.policy") {
			want = "log.cleanup.policy=forget (s.properties): string must be one of: compact, delete"
		}
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "geheim") {
		t.Error("a secret is shown")
	}
	faults := config.Faults(err)
	if len(faults) < 7 || faults[0].Source != "--set nonsense" {
		t.Errorf("%d faults, first %v", len(faults), faults[0])
	}
}

func TestLoad_Warnings(t *testing.T) {
	_, warnings := load(t, config.Sources{Set: []string{
		"log.retention.hour=1", "retention.ms=5", "admin.listen=x", "num.io.threads=4", "authorizer.class.name=A", "zzzzzzzzzzzz=1", "node.id=3", "broker.id=3", "broker.heartbeat.interval.ms=5000", "log_dirs=x",
	}})
	var got []string
	for _, w := range warnings {
		got = append(got, w.String())
	}
	want := []string{
		"admin.listen (--set): is not a known property and is ignored; did you mean dmq.admin.listen?",
		"authorizer.class.name (--set): is accepted but has no effect yet; nobody is refused anything: do not open this node to a network you do not trust",
		"broker.heartbeat.interval.ms (--set): is more than half of broker.session.timeout.ms, so one late heartbeat fences the broker; lower it or raise the timeout",
		"broker.id (--set): is the old name of node.id; use node.id",
		"log.retention.hour (--set): is not a known property and is ignored; did you mean log.retention.hours?",
		"log_dirs (--set): is not a known property and is ignored; did you mean log.dirs?",
		"num.io.threads (--set): is accepted but has no effect yet",
		"retention.ms (--set): is not a known property and is ignored; did you mean log.retention.ms?",
		"zzzzzzzzzzzz (--set): is not a known property and is ignored",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, _, err := config.Load(config.Sources{Strict: true, Set: []string{"log.retention.hour=1"}, Env: []string{"KAFKA_HOME=/opt"}})
	if faults := config.Faults(err); len(faults) != 1 || faults[0].Next != "did you mean log.retention.hours?" {
		t.Errorf("strict: %v", err)
	}
}

func TestLoad_Listeners(t *testing.T) {
	one := func(l ...config.Listener) []config.Listener { return l }
	plain := func(host string, port int) config.Listener {
		return config.Listener{Name: "PLAINTEXT", Protocol: "PLAINTEXT", Host: host, Port: port}
	}
	control := func(host string, port int) config.Listener {
		return config.Listener{Name: "CONTROLLER", Protocol: "PLAINTEXT", Host: host, Port: port}
	}
	tests := []struct {
		name                          string
		set                           []string
		clients, controllers, advised []config.Listener
		local                         bool
	}{
		{"without a controller listener it gets its own", []string{"listeners=PLAINTEXT://127.0.0.1:19092"}, one(plain("127.0.0.1", 19092)), one(control("127.0.0.1", 0)), one(plain("127.0.0.1", 19092)), true},
		{"any port", []string{"listeners=PLAINTEXT://127.0.0.1:0"}, one(plain("127.0.0.1", 0)), one(control("127.0.0.1", 0)), one(plain("127.0.0.1", 0)), true},
		{"wildcard is advertised by name", []string{"listeners=plaintext://:9092"}, one(plain("", 9092)), one(control("127.0.0.1", 0)), one(plain("box", 9092)), true},
		{"IPv6", []string{"listeners=PLAINTEXT://[::1]:9092"}, one(plain("::1", 9092)), one(control("127.0.0.1", 0)), one(plain("::1", 9092)), true},
		{"Kafka's own sample", []string{
			"process.roles=broker,controller", "node.id=1", "controller.quorum.bootstrap.servers=localhost:9093", "listeners=PLAINTEXT://:9092,CONTROLLER://:9093", "inter.broker.listener.name=PLAINTEXT",
			"advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093", "controller.listener.names=CONTROLLER",
			"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
		}, one(plain("", 9092)), one(control("", 9093)), one(plain("localhost", 9092)), false},
		{"static voters", []string{"node.id=4", "controller.quorum.voters=4@h:9093", "listeners=PLAINTEXT://h:9092,CONTROLLER://h:9093"}, one(plain("h", 9092)), one(control("h", 9093)), one(plain("h", 9092)), false},
		{"same port on two addresses", []string{"listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.2:9092"}, one(plain("127.0.0.1", 9092)), one(control("127.0.0.2", 9092)), one(plain("127.0.0.1", 9092)), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := load(t, config.Sources{Set: tt.set, Hostname: "box"})
			got := []any{c.Listeners, c.ControllerListeners, c.AdvertisedListeners, c.LocalQuorum}
			if diff := cmp.Diff([]any{tt.clients, tt.controllers, tt.advised, tt.local}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoad_BadListeners(t *testing.T) {
	tests := []struct{ name, set, want string }{
		{"no form", "listeners=9092", `"9092" is not NAME://host:port`},
		{"no port", "listeners=PLAINTEXT://host", "is not host:port"},
		{"port", "listeners=PLAINTEXT://host:70000", "is not a port"},
		{"host", "listeners=PLAINTEXT://ho st:9092", "is not a host"},
		{"no protocol", "listeners=INTERNAL://host:9092", "no protocol is given for the listener INTERNAL; add INTERNAL:PLAINTEXT to listener.security.protocol.map"},
		{"twice", "listeners=PLAINTEXT://a:1,PLAINTEXT://a:2", "names the listener PLAINTEXT twice"},
		{"port twice", "listeners=PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9092", "use the same port"},
		{"only the controller's", "listeners=CONTROLLER://:9093", "leaves no listener for clients"},
		{"advertised wildcard", "advertised.listeners=PLAINTEXT://0.0.0.0:9092", "tells clients no address"},
		{"advertised stranger", "advertised.listeners=SSL://h:9092", "SSL listeners cannot be served yet"},
		{"inter broker", "inter.broker.listener.name=OTHER", "OTHER is not one of the advertised listeners; name one of PLAINTEXT"},
		{"map", "listener.security.protocol.map=A", `"A" is not NAME:PROTOCOL`},
		{"voters", "controller.quorum.voters=1", `"1" is not id@host:port`},
		{"foreign voter", "node.id=1 | controller.quorum.voters=2@h:1", "does not contain this controller, node.id=1"},
		{"broker without controllers", "process.roles=broker", "names no controller, and this node is none"},
		{"unknown role", "process.roles=king", "string must be one of: broker, controller"},
		{"per ip", "max.connections.per.ip=0", "can be set to zero only if"},
		{"per ip overrides", "max.connections.per.ip.overrides=a", `"a" is not host:count`},
		{"cluster id", "dmq.cluster.id=x", "is not a cluster id"},
		{"the old name of node.id", "broker.id=4", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := config.Load(config.Sources{Set: strings.Split(tt.set, " | ")})
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWithDynamic_ChangesWhatMayChange(t *testing.T) {
	c, _ := load(t, config.Sources{Set: []string{"max.connections=10", "listeners=PLAINTEXT://127.0.0.1:0"}})
	next := c.WithDynamic(config.Dynamic{
		Cluster: map[string]string{"max.connections": "20", "listener.name.plaintext.max.connections": "5", "min.insync.replicas": "2", "num.partitions": "9"},
		Broker:  map[string]string{"max.connections": "30", "max.connections.per.ip.overrides": "10.0.0.1:3", "producer.id.expiration.ms": "x"},
	})
	got := []any{next.MaxConnections, next.MaxConnectionsByListener, next.MaxConnectionsPerIPOf, next.MinInsyncReplicas, next.NumPartitions, next.ProducerIDExpiration, c.MaxConnections}
	want := []any{int32(30), map[string]int32{"PLAINTEXT": 5}, map[string]int32{"10.0.0.1": 3}, int32(2), int32(1), 24 * time.Hour, int32(10)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzConfigParse(f *testing.F) {
	for _, seed := range []string{"num.partitions=1\n", "a: [b, {c: d}]\n", "a: &x [1]\nb: *x\n", `k=\u00e9\` + "\n v", "listeners: PLAINTEXT://[::1]:1,CONTROLLER://:2\n", "log: {dirs: ${env:HOME}}\n", "config.providers=a\nconfig.providers.a.class=FileConfigProvider\nbroker.rack=${a:b:c}\n", "controller.quorum.voters=1@a:1\n"} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, asYAML bool) {
		name := "x.properties"
		if asYAML {
			name = "x.yaml"
		}
		read := func(n string) ([]byte, error) {
			if n == name {
				return data, nil
			}
			return nil, errors.New("no such file")
		}
		c, _, err := config.Load(config.Sources{Files: []string{name}, ReadFile: read, Env: []string{"HOME=/h", "KAFKA_X=" + string(data)}})
		if err != nil {
			if len(config.Faults(err)) == 0 {
				t.Fatalf("an error without faults: %v", err)
			}
			return
		}
		if len(c.Listeners) == 0 || len(c.ControllerListeners) == 0 || len(c.LogDirs) == 0 || len(c.AdvertisedListeners) == 0 {
			t.Fatalf("accepted without listeners or directories: %+v", c)
		}
		c.DescribeBroker(config.Dynamic{}, config.DescribeOptions{Synonyms: true, Docs: true})
		for _, key := range c.Keys() {
			if _, ok := c.Explain(key); !ok {
				t.Fatalf("%q is set and cannot be explained", key)
			}
		}
	})
}

func TestSchema_EveryPropertyIsSound(t *testing.T) {
	s := config.NewSchema()
	for scope := config.ScopeBroker; scope <= config.ScopeClientMetrics; scope++ {
		for _, p := range s.Properties(scope) {
			if p.Doc == "" || !strings.HasSuffix(p.Doc, ".") {
				t.Errorf("%s has no proper doc: %q", p.Name, p.Doc)
			}
			if _, ok := s.Lookup(config.ScopeBroker, p.Synonym); p.Synonym != "" && !ok {
				t.Errorf("%s falls back to %s, which does not exist", p.Name, p.Synonym)
			}
			if p.Scope != scope {
				t.Errorf("%s is in the wrong scope", p.Name)
			}
		}
	}
	if _, _, err := config.Load(config.Sources{}); err != nil {
		t.Errorf("the defaults do not pass: %v", err)
	}
	for _, p := range s.Properties(config.ScopeTopic) {
		if p.HasDefault {
			if err := s.ValidateTopic(p.Name, p.Default); err != nil {
				t.Errorf("the default of %s does not pass: %v", p.Name, err)
			}
		}
	}
}

func TestSuggest(t *testing.T) {
	s := config.NewSchema()
	for name, want := range map[string]string{"retention.mss": "retention.ms", "log.retention.ms": "retention.ms", "cleanup_policy": "cleanup.policy", "segement.bytes": "segment.bytes", "qqqqqqqq": "", "max.message.byte": "max.message.bytes"} {
		if got := s.Suggest(config.ScopeTopic, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	data, err := os.ReadFile(filepath.Join("testdata", "server.properties"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := config.Load(config.Sources{Files: []string{"server.properties"}, ReadFile: func(string) ([]byte, error) { return data, nil }}); err != nil {
			b.Fatal(err)
		}
	}
}
