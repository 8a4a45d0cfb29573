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
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "./cmd/dmq")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build dmq: %w\n%s", err, out)
	}
	return bin, nil
}

// StartDMQ starts a one-node dmq as a real process and returns when it answers.
func StartDMQ(ctx context.Context, bin string, o Options) (*Broker, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	client, controller, admin, err := o.ports()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		Kind: "dmq", Dir: o.Dir, DataDir: o.DataDir,
		Addr:           fmt.Sprintf("127.0.0.1:%d", client),
		ControllerAddr: fmt.Sprintf("127.0.0.1:%d", controller),
		AdminAddr:      fmt.Sprintf("127.0.0.1:%d", admin),
	}
	var args []string
	b.configure = func(properties map[string]string) error {
		base := oneNode(b, o.Advertised)
		base["dmq.admin.listen"] = b.AdminAddr
		o.Properties = properties
		args = []string{"serve"}
		for _, kv := range o.merged(base) {
			args = append(args, "--set", kv)
		}
		return nil
	}
	if err := b.configure(o.Properties); err != nil {
		return nil, err
	}
	b.command = func() *exec.Cmd {
		cmd := exec.Command(bin, args...)
		cmd.Dir = o.Dir
		cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { // dmq reads these as properties
			return strings.HasPrefix(kv, "DMQ_") || strings.HasPrefix(kv, "KAFKA_")
		})
		return cmd
	}
	return b, b.start(ctx)
}
