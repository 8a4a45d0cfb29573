package planted

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/distributedmq/dmq/internal/fault"
)

// rooms are the test programs of the rooms, built with the faults in them.
type rooms struct {
	root string            // of the repository
	dir  string            // of the programs
	bins map[string]string // by package
}

// program builds the tests of a package, once.
func (r *rooms) program(ctx context.Context, pkg string) (string, error) {
	if bin := r.bins[pkg]; bin != "" {
		return bin, nil
	}
	bin := filepath.Join(r.dir, strings.ReplaceAll(strings.TrimPrefix(pkg, "./"), "/", "-")+".test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "faults", "-o", bin, pkg)
	cmd.Dir = r.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, out)
	}
	r.bins[pkg] = bin
	return bin, nil
}

// find runs the tests of a proof without the fault, when they have to pass, and with it, when one has to fail.
func (r *rooms) find(ctx context.Context, p Proof) error {
	bin, err := r.program(ctx, p.Package)
	if err != nil {
		return err
	}
	out, err := r.test(ctx, bin, p, "")
	switch {
	case err != nil:
		return fmt.Errorf("%s fails without the fault: %w\n%s", p.Tests, err, tail(out, 20))
	case !strings.Contains(out, "--- PASS"):
		return fmt.Errorf("%s is no test of %s", p.Tests, p.Package)
	}
	out, err = r.test(ctx, bin, p, p.Fault)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return fmt.Errorf("%s of %s do not find it", p.Tests, p.Package)
	case !errors.As(err, &exit):
		return err
	case !strings.Contains(out, "--- FAIL"):
		return fmt.Errorf("%s end without a failed test: %w\n%s", p.Tests, err, tail(out, 20))
	}
	return nil
}

func (r *rooms) test(ctx context.Context, bin string, p Proof, name fault.Name) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "-test.v", "-test.failfast", "-test.run", "^("+p.Tests+")")
	cmd.Dir = filepath.Join(r.root, filepath.FromSlash(p.Package))
	cmd.Env = append(os.Environ(), fault.Variable+"="+string(name))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
