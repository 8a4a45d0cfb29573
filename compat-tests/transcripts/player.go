package transcripts

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	quiet    = 60 * time.Millisecond // after which nobody is taken to answer any more
	patience = 20 * time.Second      // with an answer that the transcript has
	longest  = 90 * time.Second      // that a command may last
)

// player plays one transcript. A person in it is a name, who knows what the last answer to a join said.
type player struct {
	addr   string
	prefix string        // of the groups
	size   int           // the broker's group.max.size; 0: without limit
	start  time.Time     // of the transcript
	passed time.Duration // in it

	mu     sync.Mutex // guards what follows
	people map[string]*person
	names  map[string]string // member id → as it is printed
	joins  []joining
	heard  []string
	conns  []net.Conn
	wake   chan struct{} // something was heard
	wg     sync.WaitGroup
}

type person struct {
	memberID   string
	generation int32
}

// joining is a join that was sent, and what the member id of a newcomer begins with.
type joining struct{ name, idPrefix string }

func newPlayer(addr, prefix string, size int) *player {
	return &player{
		addr: addr, prefix: prefix, size: size,
		people: map[string]*person{}, names: map[string]string{}, wake: make(chan struct{}, 1),
	}
}

// play plays the transcript and returns how many answers were compared, and an error that shows those that differ.
func (p *player) play(ctx context.Context, transcript []byte) (compared int, err error) {
	defer p.close()
	blocks := parse(transcript)
	if err := p.ready(ctx, blocks); err != nil {
		return 0, err
	}
	p.start = time.Now()
	var differences strings.Builder
	for _, b := range blocks {
		if b.duration() > longest || !p.can(b) {
			break
		}
		if err := p.run(ctx, b); err != nil {
			return compared, fmt.Errorf("%s: %w", b.line, err)
		}
		compared += len(b.answers)
		if d := diff(b.answers, p.listen(ctx, len(b.answers))); d != "" {
			differences.WriteString("\n" + b.line + "\n" + d)
		}
	}
	if differences.Len() > 0 {
		return compared, fmt.Errorf("- the transcript, + the broker%s", &differences)
	}
	return compared, ctx.Err()
}

// can says whether the broker can be asked for what a command says.
func (p *player) can(b block) bool {
	switch b.command {
	case "config":
		_, batch := b.args.named["batch"]
		return !batch && b.args.num("size", p.size) == p.size
	case "reload":
		return false
	default:
		return true
	}
}

// ready waits until the coordinators of all groups have loaded: they do not know the member that asks.
func (p *player) ready(ctx context.Context, blocks []block) error {
	for _, b := range blocks {
		if b.command != "join" || b.args.words[0] == "''" {
			continue
		}
		for loaded := false; !loaded; {
			if err := p.send(ctx, "nobody", "nobody", p.heartbeat(b.args.words[0], "nobody", args{})); err != nil {
				return err
			}
			heard := p.listen(ctx, 1)
			loaded = len(heard) == 1 && strings.HasSuffix(heard[0], "UNKNOWN_MEMBER_ID")
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *player) close() {
	p.mu.Lock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// run sends what a command says, or lets time pass.
func (p *player) run(ctx context.Context, b block) error {
	a := b.args
	switch b.command {
	case "join":
		return p.join(ctx, a)
	case "sync":
		return p.sync(ctx, a)
	case "heartbeat":
		return p.send(ctx, a.words[1], a.words[1], p.heartbeat(a.words[0], a.words[1], a))
	case "leave":
		return p.leave(ctx, a)
	case "commit":
		return p.commit(ctx, a)
	case "advance":
		return p.sleep(ctx, b.duration())
	case "alive":
		return p.alive(ctx, a, b.duration())
	default: // it shows something of the inside
		return nil
	}
}

func (p *player) sleep(ctx context.Context, d time.Duration) error {
	p.passed += d
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(p.start.Add(p.passed))):
		return nil
	}
}

// alive lets time pass while members send heartbeats, whose answers are not heard.
func (p *player) alive(ctx context.Context, a args, d time.Duration) error {
	const interval = 3 * time.Second
	for left := d; left > 0; left -= interval {
		if err := p.sleep(ctx, min(left, interval)); err != nil {
			return err
		}
		for _, name := range a.words[1:] {
			if err := p.send(ctx, name, "", p.heartbeat(a.words[0], name, args{})); err != nil {
				return err
			}
		}
	}
	return nil
}

// listen returns what is heard: at least n answers, unless patience ends. That takes no time in the transcript.
func (p *player) listen(ctx context.Context, n int) []string {
	end, silence := time.Now().Add(patience), time.Now().Add(quiet)
	for ctx.Err() == nil && time.Now().Before(end) {
		p.mu.Lock()
		enough := len(p.heard) >= n
		p.mu.Unlock()
		if enough && time.Now().After(silence) {
			break
		}
		select {
		case <-p.wake:
			silence = time.Now().Add(quiet)
		case <-time.After(quiet):
		}
	}
	p.start = time.Now().Add(-p.passed)
	p.mu.Lock()
	defer p.mu.Unlock()
	heard := p.heard
	p.heard = nil
	for i := range heard {
		for id, name := range p.names {
			heard[i] = strings.ReplaceAll(heard[i], id, name)
		}
	}
	return heard
}

// diff compares answers, in any order.
func diff(want, got []string) string {
	w, g := normal(want), normal(got)
	var out strings.Builder
	for _, line := range w {
		if !slices.Contains(g, line) {
			out.WriteString("  - " + line + "\n")
		}
	}
	for _, line := range g {
		if !slices.Contains(w, line) {
			out.WriteString("  + " + line + "\n")
		}
	}
	return out.String()
}

// What old versions do not say, and the list of members, whose order says nothing.
var (
	untoldType     = regexp.MustCompile(`(join v[0-6] .*|sync v[0-4] .*)type=\S+`)
	untoldProtocol = regexp.MustCompile(`(sync v[0-4] .*)protocol=\S*`)
	untoldInstance = regexp.MustCompile(`join v[0-4] `)
	instanceID     = regexp.MustCompile(`\([^)]*\)=`)
	memberList     = regexp.MustCompile(`(leader="[^"]*"(?: skip-assignment)?)(.*)$`)
)

// normal returns answers in a form that can be compared.
func normal(answers []string) []string {
	out := make([]string, len(answers))
	for i, line := range answers {
		line = untoldProtocol.ReplaceAllString(untoldType.ReplaceAllString(line, "$1"), "$1")
		if m := memberList.FindStringSubmatchIndex(line); m != nil {
			members := line[m[4]:m[5]]
			if untoldInstance.MatchString(line) {
				members = instanceID.ReplaceAllString(members, "=")
			}
			list := strings.Fields(members)
			slices.Sort(list)
			line = line[:m[4]] + " " + strings.Join(list, " ")
		}
		out[i] = line
	}
	slices.Sort(out)
	return out
}
