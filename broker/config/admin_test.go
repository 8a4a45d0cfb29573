package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/distributedmq/dmq/broker/config"
)

func TestLoad_AdminAdvertised(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  []string
		want string // protocol host:port, or what is in the fault
	}{
		{"the default is loopback", nil, "PLAINTEXT 127.0.0.1:9091"},
		{"where it listens", []string{"dmq.admin.listen=10.0.0.1:9000"}, "PLAINTEXT 10.0.0.1:9000"},
		{"a wildcard takes the host of clients", []string{"dmq.admin.listen=:9000", "listeners=PLAINTEXT://:9092", "advertised.listeners=PLAINTEXT://a:9092"}, "PLAINTEXT a:9000"},
		{"a wildcard takes the host of controllers", []string{"dmq.admin.listen=:9000", "process.roles=controller", "node.id=1", "listeners=CONTROLLER://b:9093", "controller.quorum.voters=1@b:9093"}, "PLAINTEXT b:9000"},
		{"an address", []string{"dmq.admin.advertised=a:1"}, "PLAINTEXT a:1"},
		{"a port that is bound later", []string{"dmq.admin.listen=127.0.0.1:0", "dmq.admin.advertised=a:0"}, "PLAINTEXT a:0"},
		{"a URL", []string{"dmq.admin.advertised=https://a:1/"}, "SSL a:1"},
		{"a URL without a port", []string{"dmq.admin.advertised=http://a"}, "PLAINTEXT a:80"},
		{"a URL with a path", []string{"dmq.admin.advertised=http://a:1/x"}, "neither host:port nor"},
		{"another scheme", []string{"dmq.admin.advertised=ftp://a:1"}, "neither host:port nor"},
		{"a wildcard", []string{"dmq.admin.advertised=0.0.0.0:1"}, "tells nobody"},
		{"no address", []string{"dmq.admin.advertised=a"}, "tells nobody"},
		{"a listener of that name", []string{"listeners=ADMIN://:9092,CONTROLLER://:9093", "listener.security.protocol.map=ADMIN:PLAINTEXT,CONTROLLER:PLAINTEXT"}, "give the listener another name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _, err := config.Load(config.Sources{Set: tt.set})
			if err != nil {
				if !slices.ContainsFunc(config.Faults(err), func(f *config.FaultError) bool { return strings.Contains(f.Error(), tt.want) }) {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				return
			}
			if got := c.AdminAdvertised.Protocol + " " + c.AdminAdvertised.Addr(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
