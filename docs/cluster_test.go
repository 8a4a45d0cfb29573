package docs_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/distributedmq/dmq/broker/config"
)

// TestThreeNodes: the configurations of three machines are sound, name each other, and need no key that is not known.
func TestThreeNodes(t *testing.T) {
	for n := 1; n <= 3; n++ {
		name := fmt.Sprintf("../deploy/three-nodes/node%d.properties", n)
		c, warnings, err := config.Load(config.Sources{Files: []string{name}, Strict: true, ReadFile: os.ReadFile})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range warnings {
			t.Errorf("%s: %s: %s", name, w.Key, w.Text)
		}
		if int(c.NodeID) != n || c.Listeners[0].Loopback() || c.ControllerListeners[0].Host != fmt.Sprintf("10.0.0.%d", n) {
			t.Errorf("%s: node %d listens on %v and %v", name, c.NodeID, c.Listeners, c.ControllerListeners)
		}
	}
}
