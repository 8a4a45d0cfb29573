package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/distributedmq/dmq/compat-tests/disk"
)

// Those in a rule that are not nodes.
const (
	clients = 0
	anybody = -1 // but the node itself
)

// Ports of the nodes, where each has an address of its own.
const (
	clientPort     = 9092
	controllerPort = 9093
)

// addresses are those of a node's listeners.
type addresses struct{ client, controller string }

// rule is what happens on the way from one place to another. The zero fields do nothing.
type rule struct {
	from, to int // nodes, or clients
	cut      bool
	loss     int // per cent of the packets
	delay    time.Duration
}

// network is what the nodes talk over. It is used from one goroutine.
type network interface {
	// listens is where a node listens, and advertises is what the others are told.
	listens(node int) addresses
	advertises(node int) addresses
	// command runs a program on a node.
	command(node int, name string, args ...string) *exec.Cmd
	// can reports whether a rule can be put in force.
	can(r rule) bool
	// apply puts these rules in force, and no others.
	apply(ctx context.Context, rules []rule) error
	close() error
}

// namespaces is a network of one namespace for each node, each with a link to a bridge that is the clients' link to them.
type namespaces struct {
	prefix  string // of all names
	subnet  string // the first three bytes of the addresses
	nodes   int
	delayed []*delays // by node; nil: none
}

// CanIsolate tells why this machine has no namespaces for us, or nil. It tries: root of a container may not have what it takes.
func CanIsolate(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("neither root nor sudo without a password")
	}
	for _, tool := range []string{"ip", "nft", "nsenter", "ss"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("no %s", tool)
		}
	}
	if err := disk.Usable(); err != nil {
		return err
	}
	n, err := newNamespaces(ctx, 1)
	if err != nil {
		return fmt.Errorf("network namespaces: %w", err)
	}
	return n.close()
}

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// newNamespaces makes the namespaces. Names and addresses come from the process id, so that runs do not meet.
func newNamespaces(ctx context.Context, nodes int) (*namespaces, error) {
	pid := os.Getpid()
	n := &namespaces{prefix: fmt.Sprintf("dq%d", pid), subnet: fmt.Sprintf("10.%d.%d", 64+pid/256%64, pid%256), nodes: nodes, delayed: make([]*delays, nodes+1)}
	commands := [][]string{
		{"link", "add", n.prefix, "type", "bridge"},
		{"addr", "add", n.host(clients) + "/24", "dev", n.prefix},
		{"link", "set", n.prefix, "up"},
	}
	for i := 1; i <= nodes; i++ {
		space := n.space(i)
		commands = append(commands,
			[]string{"netns", "add", space},
			[]string{"link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space},
			[]string{"link", "set", space, "master", n.prefix, "up"},
			[]string{"-n", space, "addr", "add", n.host(i) + "/24", "dev", "eth0"},
			[]string{"-n", space, "link", "set", "eth0", "up"},
			[]string{"-n", space, "link", "set", "lo", "up"},
		)
	}
	for _, c := range commands {
		if err := run(ctx, "ip", c...); err != nil {
			return nil, errors.Join(err, n.close())
		}
	}
	if err := n.apply(ctx, nil); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// space is the name of a node's namespace, and of the outer end of the pair of devices that leads into it.
func (n *namespaces) space(node int) string { return fmt.Sprintf("%s-%d", n.prefix, node) }

// host is the address of a node, or of the clients.
func (n *namespaces) host(node int) string {
	if node == clients {
		return n.subnet + ".254"
	}
	return fmt.Sprintf("%s.%d", n.subnet, node)
}

// listens implements network.
func (n *namespaces) listens(node int) addresses {
	return addresses{fmt.Sprintf("%s:%d", n.host(node), clientPort), fmt.Sprintf("%s:%d", n.host(node), controllerPort)}
}

// advertises implements network.
func (n *namespaces) advertises(node int) addresses { return n.listens(node) }

// command implements network.
func (n *namespaces) command(node int, name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=/run/netns/" + n.space(node), "--", name}, args...)...)
}

// can implements network.
func (n *namespaces) can(rule) bool { return true }

// apply implements network. Packets are dropped where they come in, so that each direction of a link has rules of its own.
func (n *namespaces) apply(ctx context.Context, rules []rule) error {
	for node := 1; node <= n.nodes; node++ {
		var script strings.Builder
		script.WriteString("table ip chaos\ndelete table ip chaos\ntable ip chaos {\n chain in {\n  type filter hook input priority 0;\n")
		for _, r := range rules {
			if r.to != node {
				continue
			}
			from := "!= " + n.host(node)
			if r.from != anybody {
				from = n.host(r.from)
			}
			if r.cut {
				fmt.Fprintf(&script, "  ip saddr %s drop\n", from)
			}
			if r.loss > 0 {
				fmt.Fprintf(&script, "  ip saddr %s numgen random mod 100 < %d drop\n", from, r.loss)
			}
		}
		script.WriteString(" }\n")
		if err := n.delay(ctx, node, rules, &script); err != nil {
			return err
		}
		script.WriteString("}\n")
		cmd := n.command(node, "nft", "-f", "-")
		cmd.Stdin = strings.NewReader(script.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("set the rules of node %d: %w: %s", node, err, out)
		}
		if n.delayed[node] != nil { // connections that go around the proxies have to be made anew
			if out, err := n.command(node, "ss", "-K", "dst", n.subnet+".0/24").CombinedOutput(); err != nil {
				return fmt.Errorf("end the connections of node %d: %w: %s", node, err, out)
			}
		}
	}
	return nil
}

// delay leads the connections that a node opens to others through proxies that hold their bytes back.
func (n *namespaces) delay(ctx context.Context, node int, rules []rule, script *strings.Builder) error {
	if n.delayed[node] != nil {
		n.delayed[node].close()
		n.delayed[node] = nil
	}
	if !slices.ContainsFunc(rules, func(r rule) bool { return r.from == node && r.delay > 0 && r.to != clients }) {
		return nil
	}
	d := newDelays(n.space(node))
	n.delayed[node] = d
	script.WriteString(" chain out {\n  type nat hook output priority -100;\n")
	for _, r := range rules {
		if r.from != node || r.delay == 0 || r.to == clients {
			continue
		}
		for _, port := range []int{clientPort, controllerPort} {
			at, err := d.listen(ctx, fmt.Sprintf("%s:%d", n.host(r.to), port), r.delay)
			if err != nil {
				return err
			}
			fmt.Fprintf(script, "  ip daddr %s tcp dport %d meta mark != %d redirect to :%d\n", n.host(r.to), port, proxyMark, at)
		}
	}
	script.WriteString(" }\n")
	return nil
}

// close implements network.
func (n *namespaces) close() error {
	ctx := context.Background()
	var errs []error
	for i := 1; i <= n.nodes; i++ {
		if n.delayed[i] != nil {
			n.delayed[i].close()
		}
		if _, err := os.Stat("/sys/class/net/" + n.space(i)); err == nil { // deleting the namespace would take it away some time later
			errs = append(errs, run(ctx, "ip", "link", "del", n.space(i)))
		}
		if _, err := os.Stat("/run/netns/" + n.space(i)); err == nil {
			errs = append(errs, run(ctx, "ip", "netns", "del", n.space(i)))
		}
	}
	if _, err := os.Stat("/sys/class/net/" + n.prefix); err == nil {
		errs = append(errs, run(ctx, "ip", "link", "del", n.prefix))
	}
	return errors.Join(errs...)
}
