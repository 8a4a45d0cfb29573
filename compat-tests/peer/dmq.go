package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Binary builds dmq from the repository, or returns $DMQ_BIN when that is set.
func Binary(ctx context.Context) (string, error) {
	if bin := os.Getenv("DMQ_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, ".cache", "bin", "dmq")
	return bin, Build(ctx, root, bin)
}

// Build builds dmq from the repository at root, with flags of go build beside those that releases have.
func Build(ctx context.Context, root, bin string, flags ...string) error {
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-trimpath", "-o", bin}, flags, []string{"./cmd/dmq"})...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build dmq: %w\n%s", err, out)
	}
	return nil
}

// StartDMQ starts a one-node dmq as a real process and returns when it answers.
func StartDMQ(ctx context.Context, bin string, o Options) (*Broker, error) {
	b, err := newBroker("dmq", 1, &o)
	if err != nil {
		return nil, err
	}
	if err := prepareDMQ(bin, b, o, quorumOf([]*Broker{b}, false)); err != nil {
		return nil, err
	}
	return b, b.start(ctx)
}

// prepareDMQ says how a node is run.
func prepareDMQ(bin string, b *Broker, o Options, q quorum) error {
	var args []string
	b.configure = func(set map[string]string) error {
		base := properties(b, q)
		base["dmq.admin.listen"] = b.AdminAddr
		o.Properties = set
		args = []string{"serve"}
		for _, kv := range o.merged(base) {
			args = append(args, "--set", kv)
		}
		return nil
	}
	b.Command = func() *exec.Cmd { return dmqCommand(bin, o.Dir, args...) }
	return b.configure(o.Properties)
}

// dmqCommand runs dmq in a folder, without what the environment says about its properties.
func dmqCommand(bin, dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(bin, args...)
	cmd.Dir, cmd.Env = dir, Environ()
	return cmd
}

// Environ is this process's environment without what dmq reads as properties.
func Environ() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "DMQ_") || strings.HasPrefix(kv, "KAFKA_")
	})
}
