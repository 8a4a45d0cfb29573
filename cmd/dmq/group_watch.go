package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
)

// watch shows samples until the context ends, or as many as asked for. A cluster that does not answer for a while does not
// end it; that the group is not there (any more) does.
func (l *lagView) watch(ctx context.Context, o lagOptions) error {
	show := l.lines
	switch {
	case l.a.output == "json":
		show = l.ndjson
	case l.a.terminal(l.a.out):
		show = (&redraw{l: l}).show
	}
	tick := time.NewTicker(time.Duration(o.interval))
	defer tick.Stop()
	for n := 1; ; n++ {
		s, err := l.sample(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			l.remember(s)
			err = show(s)
		case n > 1 && explain(err).code == codeUnreachable:
			l.a.say("%s; trying again\n", explain(err).what)
			err = nil
		}
		if err != nil || n == o.count {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// ndjson prints a sample as one line of JSON.
func (l *lagView) ndjson(s lagSample) error {
	e := json.NewEncoder(l.a.out)
	e.SetEscapeHTML(false)
	return e.Encode(s)
}

// lines prints a line for each partition.
func (l *lagView) lines(s lagSample) error {
	var b strings.Builder
	for _, p := range s.Partitions {
		fmt.Fprintf(&b, "%s %s:%d committed=%v end=%v lag=%v behind=%s member=%s\n",
			s.Time.Format("2006-01-02T15:04:05.000Z"), p.Topic, p.Partition, orUnknown(p.Committed), p.end(), orUnknown(p.Lag), behindText(p.BehindSeconds), printable(p.owner()))
	}
	_, err := io.WriteString(l.a.out, b.String())
	return err
}

// redraw shows each sample in the place of the one before.
type redraw struct {
	l     *lagView
	lines int // drawn last time
}

func (r *redraw) show(s lagSample) error {
	a := r.l.a
	width, height := a.window()
	var b strings.Builder
	if r.lines > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", r.lines)
	}
	r.lines = 0
	line := func(s string) {
		s = printable(s)
		if width > 0 {
			s = text.Trim(s, width-1) // a line that wraps would count as two
		}
		b.WriteString(s + "\n")
		r.lines++
	}
	line(fmt.Sprintf("%s  %s, %s, lag %s, behind %s   %s", s.Group, s.State, count(s.Members, "member"), grouped(&s.TotalLag), behindText(s.BehindSeconds), s.Time.Local().Format(time.TimeOnly)))
	rows := strings.Split(strings.TrimSuffix(a.renderGrid(s.grid(r.trend)), "\n"), "\n")
	room := len(rows)
	if height > 0 {
		room = max(2, height-3) // the summary, the line about the rest, and the line of the cursor
	}
	for _, row := range rows[:min(room, len(rows))] {
		line(row)
	}
	if rest := len(rows) - room; rest > 0 {
		line(count(rest, "more partition") + " below")
	}
	_, err := io.WriteString(a.out, b.String())
	return err
}

func (r *redraw) trend(tp topicPartition) string {
	return sparkline(r.l.history[tp], r.l.a.unicode())
}
