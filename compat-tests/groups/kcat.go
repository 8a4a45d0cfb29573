package groups

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/distributedmq/dmq/compat-tests/go/member"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// kcat hosts members as one process each: kcat -G commits in the background, and when it ends.
type kcat struct {
	addr string

	mu      sync.Mutex // guards members
	members map[string]*kcatMember
}

type kcatMember struct {
	cmd    *exec.Cmd
	ledger *ledger
	heard  sync.WaitGroup // until everything it said was heard
}

// StartKcat returns a host of kcat members.
func StartKcat(addr string) (Host, error) {
	return &kcat{addr: addr, members: map[string]*kcatMember{}}, nil
}

func (k *kcat) Join(name string, o member.Options, l *ledger) error {
	args := []string{"-b", k.addr, "-E", "-u", "-f", "%p %o %s\n"}
	for key, value := range map[string]any{
		"partition.assignment.strategy": o.Assignor, "session.timeout.ms": o.Session.Milliseconds(), "heartbeat.interval.ms": min(300, o.Session.Milliseconds()/3),
		"max.poll.interval.ms": max(20000, o.Session.Milliseconds()), "auto.offset.reset": "earliest", "fetch.wait.max.ms": 100,
		"topic.metadata.refresh.interval.ms": 1000, "reconnect.backoff.max.ms": 500,
	} {
		args = append(args, "-X", fmt.Sprintf("%s=%v", key, value))
	}
	if o.Instance != "" {
		args = append(args, "-X", "group.instance.id="+o.Instance)
	}
	m := &kcatMember{cmd: exec.Command("kcat", append(args, "-G", o.Group, o.Topic)...), ledger: l}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	info, err := m.cmd.StderrPipe()
	if err != nil {
		return err
	}
	l.joined(name)
	if err := peer.StartProcess(m.cmd); err != nil {
		return err
	}
	m.heard.Go(func() { eachLine(out, func(line string) { l.hear("record", name, line) }) })
	m.heard.Go(func() { m.rebalances(name, info) })
	k.mu.Lock()
	defer k.mu.Unlock()
	k.members[name] = m
	return nil
}

func eachLine(r io.Reader, hear func(string)) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		hear(lines.Text())
	}
}

// rebalanced is what kcat says of a rebalance: "% Group g rebalanced (memberid m): assigned: t [0], t [1]".
var (
	rebalanced = regexp.MustCompile(`rebalanced.*?: (assigned|revoked): (.*)$`)
	partition  = regexp.MustCompile(`\[(\d+)\]`)
)

// rebalances follows what kcat says beside records.
func (m *kcatMember) rebalances(name string, info io.Reader) {
	eachLine(info, func(line string) {
		f := rebalanced.FindStringSubmatch(line)
		if f == nil {
			m.ledger.hear("error", name, line)
			return
		}
		var list []string
		for _, p := range partition.FindAllStringSubmatch(f[2], -1) {
			list = append(list, p[1])
		}
		if f[1] == "revoked" || len(list) == 0 {
			list = []string{"-"}
		}
		m.ledger.hear("assigned", name, strings.Join(list, ","))
	})
}

// end sends a signal and waits for the end.
func (k *kcat) end(name string, signal syscall.Signal) error {
	k.mu.Lock()
	m := k.members[name]
	delete(k.members, name)
	k.mu.Unlock()
	if m == nil {
		return fmt.Errorf("no member %s", name)
	}
	err := m.cmd.Process.Signal(signal)
	m.heard.Wait()
	_ = m.cmd.Wait() // ended by a signal
	m.ledger.gone(name)
	return err
}

func (k *kcat) names() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for name := range k.members {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (k *kcat) Leave(name string) error { return k.end(name, syscall.SIGTERM) }

func (k *kcat) Kill() {
	for _, name := range k.names() {
		_ = k.end(name, syscall.SIGKILL)
	}
}

func (k *kcat) Close() error {
	var errs []error
	for _, name := range k.names() {
		errs = append(errs, k.end(name, syscall.SIGTERM))
	}
	return errors.Join(errs...)
}
