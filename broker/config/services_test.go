package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/distributedmq/dmq/broker/config"
)

// loadServices loads the configuration of one service of a file, with more settings.
func loadServices(text string, id int32, set ...string) (*config.Config, []config.Warning, error) {
	return config.Load(config.Sources{
		Services: &config.ServicesFile{Name: "services.json", ID: id}, Set: set,
		ReadFile: func(name string) ([]byte, error) {
			if name != "services.json" {
				return nil, errors.New("no such file")
			}
			return []byte(text), nil
		},
	})
}

const twoAndTwo = `{"services": {
  "metadata-services": [
    {"id": 1, "host": "m1", "port": 9091, "url": "http://m1.example:80"},
    {"id": 2, "host": "m2", "port": 9091, "controllerPort": 7000, "more": {"a": [1, 2]}}],
  "storage-services": [
    {"id": 101, "host": "b1", "port": 8081},
    {"id": 102, "host": "::1", "port": 8081, "kafkaPort": 9092, "url": null}]},
 "controller": {"electionTimeoutMs": 5000},
 "metadata": {"sync": {"heartbeatIntervalMs": 4000, "syncTimeoutMs": 20000}}, "x": 1}`

func TestLoad_Services(t *testing.T) {
	c, warnings, err := loadServices(twoAndTwo, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !c.IsController || c.IsBroker || c.NodeID != 1 || c.AdminListen != ":9091" || c.AdminAdvertised.Addr() != "m1.example:80" || c.LogDirs[0] != "./data-1" {
		t.Errorf("controller: got %+v", c)
	}
	if len(c.QuorumVoters) != 2 || c.QuorumVoters[0].Addr() != "m1:19091" || c.QuorumVoters[1].Addr() != "m2:7000" || c.AdvertisedController.Addr() != "m1:19091" || c.ControllerListeners[0].Addr() != ":19091" {
		t.Errorf("quorum: got %+v %+v", c.QuorumVoters, c.AdvertisedController)
	}
	if c.BrokerHeartbeatInterval.Milliseconds() != 4000 || c.BrokerSessionTimeout.Milliseconds() != 20000 || c.DefaultReplicationFactor != 2 {
		t.Errorf("got %v, %v, replication factor %d", c.BrokerHeartbeatInterval, c.BrokerSessionTimeout, c.DefaultReplicationFactor)
	}
	if e, _ := c.Explain("node.id"); e.Source != "services.json:3" {
		t.Errorf("node.id comes from %s", e.Source)
	}
	var told []string
	for _, w := range warnings {
		told = append(told, w.String())
	}
	if text := strings.Join(told, "\n"); !strings.Contains(text, "x, services.metadata-services[1].more") && !strings.Contains(text, "services.metadata-services[1].more, x") {
		t.Errorf("warnings: %s", text)
	}

	c, _, err = loadServices(twoAndTwo, 102, "log.dirs=/elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	if c.IsController || !c.IsBroker || c.NodeID != 102 || c.Listeners[0].Addr() != "[::1]:9092" || c.AdvertisedListeners[0].Addr() != "[::1]:9092" || c.AdminListen != "[::1]:8081" ||
		c.AdminAdvertised.Addr() != "[::1]:8081" || c.LogDirs[0] != "/elsewhere" || len(c.QuorumVoters) != 2 {
		t.Errorf("broker: got %+v", c)
	}
}

// The example that is shipped works for each of its services.
func TestLoad_ServicesExample(t *testing.T) {
	text, err := os.ReadFile("../../deploy/services/services.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []int32{1, 2, 3, 101, 102} {
		if _, _, err := loadServices(string(text), id); err != nil {
			t.Errorf("service %d: %v", id, err)
		}
	}
}

func TestLoad_ServicesFaults(t *testing.T) {
	const one = `{"id": 1, "host": "a", "port": 9091}`
	list := func(entries string) string {
		return "{\"services\": {\n \"metadata-services\": [\n  " + entries + "]}}"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "line 1: the JSON ends too early"},
		{"no JSON", "{\n  \"services\": nothing}", "line 2: is not JSON"},
		{"cut", "{\"services\": {\n\"metadata-services\": [\n", "line 2: the JSON ends too early"},
		{"more behind", list(one) + "{}", "line 3: there is more behind"},
		{"no object", "[]", "line 1: is a JSON array, want an object"},
		{"no services", "{}", "line 1: the member services is missing"},
		{"services that are none", "{\n\"services\": []}", "line 2: services is a JSON array, want object"},
		{"no controllers", "{\n\"services\": {\"storage-services\": []}}", "line 2: services has no member metadata-services"},
		{"an empty list", list(""), "line 2: services.metadata-services is empty"},
		{"a service that is none", list("5"), "line 3: services.metadata-services[0] is a JSON number, want an object"},
		{"no id", list(`{"host": "a", "port": 1}`), "line 3: services.metadata-services[0] has no member id"},
		{"an id that is a text", list(`{"id": "1", "host": "a", "port": 1}`), "line 3: services.metadata-services[0].id is a JSON string, want number"},
		{"a negative id", list(`{"id": -1, "host": "a", "port": 1}`), "services.metadata-services[0].id is -1, want a whole number from 0 to"},
		{"a fraction", list(`{"id": 1.5, "host": "a", "port": 1}`), "services.metadata-services[0].id is 1.5, want a whole number"},
		{"no host", list(`{"id": 1, "port": 1}`), "services.metadata-services[0] has no member host"},
		{"a bad host", list(`{"id": 1, "host": "a b", "port": 1}`), `services.metadata-services[0].host is "a b", which is no host`},
		{"a wildcard", list(`{"id": 1, "host": "0.0.0.0", "port": 1}`), "services.metadata-services[0].host is \"0.0.0.0\""},
		{"a bad port", list("{\"id\": 1, \"host\": \"a\",\n \"port\": 65536}"), "line 4: services.metadata-services[0].port is 65536, want a whole number from 1 to 65535"},
		{"a port too high for the second", list(`{"id": 1, "host": "a", "port": 60000}`), "services.metadata-services[0].port is 60000, and 10000 more is not a port: add controllerPort"},
		{"a bad second port", list(`{"id": 1, "host": "a", "port": 1, "controllerPort": 0}`), "services.metadata-services[0].controllerPort is 0"},
		{"a bad URL", list(`{"id": 1, "host": "a", "port": 1, "url": "a:1"}`), `services.metadata-services[0].url is "a:1", want http://host:port`},
		{"a member twice", list("{\"id\": 1,\n \"id\": 2}"), "line 4: services.metadata-services[0].id is there twice"},
		{"an id twice", list(one + ",\n{\"id\": 1, \"host\": \"b\", \"port\": 1}"), "line 4: services.metadata-services[1].id is 1, as that of services.metadata-services[0] (line 3)"},
		{"an address twice", list(one + ",\n{\"id\": 2, \"host\": \"a\", \"port\": 9091}"), "line 4: services.metadata-services[1].port a:9091 is used by services.metadata-services[0] (line 3), too"},
		{"an address that another has by default", list(one + ",\n{\"id\": 2, \"host\": \"a\", \"port\": 19091}"), "a:19091 is used by"},
		{"a time that is none", `{"services": {"metadata-services": [` + one + "]},\n\"metadata\": {\"sync\": {\"syncTimeoutMs\": 0}}}", "line 2: metadata.sync.syncTimeoutMs is 0, want a whole number from 1"},
		{"a time that is a text", `{"services": {"metadata-services": [` + one + "]}, \"controller\": {\"electionTimeoutMs\": \"5s\"}}", "controller.electionTimeoutMs is a JSON string, want number"},
		{"deep nesting", strings.Repeat(`{"services":`, 100), "is nested more than 32 levels deep"},
		{"too much", strings.Repeat(" ", 2<<20), "has more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := loadServices(tt.text, 1)
			if err == nil {
				t.Fatal("taken")
			}
			for _, f := range config.Faults(err) {
				if strings.Contains(f.Error(), "services.json: "+tt.want) || strings.Contains(f.Error(), tt.want) && strings.HasPrefix(f.Error(), "services.json: ") {
					return
				}
			}
			t.Errorf("got %v, want %s", err, tt.want)
		})
	}
	for id, want := range map[int32]string{-1: "does not say which of its services this node is; give one of its ids: --id 1, --id 2, --id 101, --id 102", 7: "has no service with id 7"} {
		if _, _, err := loadServices(twoAndTwo, id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("id %d: got %v, want %s", id, err, want)
		}
	}
	if _, _, err := config.Load(config.Sources{Services: &config.ServicesFile{Name: "none"}, ReadFile: func(string) ([]byte, error) { return nil, os.ErrNotExist }}); err == nil || !strings.Contains(err.Error(), "--services") {
		t.Errorf("a file that is not there: got %v", err)
	}
}

func FuzzServices(f *testing.F) {
	f.Add(twoAndTwo, int32(1))
	f.Add(`{"services":{"metadata-services":[{"id":1e3,"host":"","port":1}]}}`, int32(1000))
	f.Fuzz(func(t *testing.T, text string, id int32) {
		c, _, err := loadServices(text, id)
		if err == nil && (int32(c.NodeID) != id || len(c.QuorumVoters) == 0 || c.IsBroker == c.IsController) {
			t.Errorf("got node %d, voters %v", c.NodeID, c.QuorumVoters)
		}
	})
}
