package groups

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/distributedmq/dmq/compat-tests/go/member"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// Host is what hosts members of groups.
type Host interface {
	// Join starts a member; what happens to it is told to the ledger that its name belongs to.
	Join(name string, o member.Options, l *ledger) error
	// Leave closes a member; the ledger hears of it.
	Leave(name string) error
	// Kill ends the process and with it all members, as kill -9 does.
	Kill()
	// Close closes the members and ends the process.
	Close() error
}

// process is a host that speaks the protocol of package go/member.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	stderr *tail
	done   chan struct{} // closed when the process has ended and everything it said was heard

	mu      sync.Mutex // guards the fields below
	ledgers map[string]*ledger
	ending  bool // it is meant to end
}

// StartHost starts a program that hosts members.
func StartHost(command []string) (Host, error) {
	cmd := exec.Command(command[0], command[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, in: in, stderr: new(tail), done: make(chan struct{}), ledgers: map[string]*ledger{}}
	cmd.Stderr = p.stderr
	if err := peer.StartProcess(cmd); err != nil {
		return nil, err
	}
	go p.listen(out) // ends with the process
	return p, nil
}

func (p *process) listen(out io.Reader) {
	defer close(p.done)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.hear(lines.Text())
	}
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return
	}
	for _, l := range p.ledgers {
		l.broke(fmt.Sprintf("the host ended: %v: %s", err, p.stderr))
	}
}

func (p *process) hear(line string) {
	f := strings.SplitN(line, " ", 3)
	if len(f) < 2 {
		return
	}
	p.mu.Lock()
	l := p.ledgers[f[1]]
	p.mu.Unlock()
	if l != nil {
		l.hear(f[0], f[1], strings.Join(f[2:], ""))
	}
}

func (p *process) Join(name string, o member.Options, l *ledger) error {
	p.mu.Lock()
	p.ledgers[name] = l
	p.mu.Unlock()
	l.joined(name)
	none := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	_, err := fmt.Fprintf(p.in, "join %s %s %s %s %s %s %d\n", name, o.Group, o.Topic, o.Protocol, none(o.Assignor), none(o.Instance), o.Session.Milliseconds())
	return p.explain(err)
}

func (p *process) Leave(name string) error {
	_, err := fmt.Fprintf(p.in, "leave %s\n", name)
	return p.explain(err)
}

// explain adds what the process said last to an error.
func (p *process) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w; it said: %s", err, p.stderr)
}

func (p *process) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ending = true
}

func (p *process) Kill() {
	p.end()
	_ = p.cmd.Process.Kill()
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, l := range p.ledgers {
		l.gone(name)
	}
}

func (p *process) Close() error {
	p.end()
	err := p.explain(p.in.Close())
	select {
	case <-p.done:
		return err
	case <-time.After(60 * time.Second):
		p.Kill()
		return errors.Join(err, errors.New("the host does not end"))
	}
}

// tail keeps the end of what was written to it.
type tail struct {
	mu   sync.Mutex // guards text
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-2000):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// parsePartitions reads the list of an assigned line.
func parsePartitions(s string) ([]int32, error) {
	if s == "-" || s == "" {
		return nil, nil
	}
	var out []int32
	for f := range strings.SplitSeq(s, ",") {
		n, err := strconv.ParseInt(f, 10, 32)
		if err != nil {
			return nil, err
		}
		out = append(out, int32(n))
	}
	return out, nil
}
