package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/twmb/franz-go/pkg/kadm"
)

// moveInterval is how often it is looked how far moves are.
const moveInterval = time.Second

// moveProgress is how far moves are.
type moveProgress struct {
	Event          string   `json:"event"` // progress
	Partitions     int      `json:"partitions"`
	PartitionsDone int      `json:"partitions_done"`
	Bytes          int64    `json:"bytes"` // to copy, as far as is known
	BytesDone      int64    `json:"bytes_done"`
	Rate           int64    `json:"bytes_per_second"`
	ETASeconds     *float64 `json:"eta_seconds"` // null: not known
}

// watch shows the moves until all are done. A cluster that does not answer for a while does not end it.
func (w *mover) watch(ctx context.Context, moves []*move, throttled bool) error {
	tick := time.NewTicker(moveInterval)
	defer tick.Stop()
	show := w.a.newProgress()
	defer show.clear()
	began, first := time.Now(), int64(-1)
	for {
		p, err := w.progress(ctx, moves)
		switch {
		case ctx.Err() != nil:
			show.clear()
			w.a.say("Still moving. Watch it again: %s   Stop it: dmq partition reassign cancel --all\n", w.again)
			if throttled {
				w.a.say("The throttles stay until then.\n")
			}
			return ctx.Err()
		case err != nil && explain(err).code != codeUnreachable:
			return err
		case err != nil:
			show.clear()
			w.a.say("%s; trying again\n", explain(err).what)
		default:
			if first < 0 {
				first = p.BytesDone
			}
			p.pace(first, time.Since(began))
			if err := show.show(p); err != nil || p.PartitionsDone == p.Partitions {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// pace works out the rate since the watching began, and how long the rest takes at it.
func (p *moveProgress) pace(first int64, since time.Duration) {
	if since < moveInterval || p.BytesDone <= first {
		return
	}
	rate := float64(p.BytesDone-first) / since.Seconds()
	p.Rate = int64(rate)
	eta := float64(p.Bytes-p.BytesDone) / rate
	p.ETASeconds = &eta
}

// progress asks which moves are still going on, and how much of those is copied.
func (w *mover) progress(ctx context.Context, moves []*move) (moveProgress, error) {
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	now, err := listReassignments(ctx, w.cl)
	if err != nil {
		return moveProgress{}, reassignFailure(err)
	}
	topics := make(kadm.TopicsSet)
	for _, m := range moves {
		if _, moving := now[m.topicPartition]; !moving && !m.done {
			m.done, m.copied = true, m.total
		} else if moving {
			topics.Add(m.topic, m.partition)
		}
	}
	if len(topics) > 0 {
		all, err := w.adm.DescribeAllLogDirs(ctx, topics)
		if err != nil && len(all) == 0 {
			return moveProgress{}, shardCause(err)
		}
		measure(moves, all)
	}
	p := moveProgress{Event: "progress", Partitions: len(moves)}
	for _, m := range moves {
		p.Bytes += m.total
		p.BytesDone += m.copied
		if m.done {
			p.PartitionsDone++
		}
	}
	return p, nil
}

// measure compares what the receivers of each move have with what its largest replica is.
func measure(moves []*move, all kadm.DescribedAllLogDirs) {
	have := make(map[topicPartition]map[int32]int64)
	largest := sizes(all)
	all.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			tp := topicPartition{p.Topic, p.Partition}
			if have[tp] == nil {
				have[tp] = make(map[int32]int64)
			}
			have[tp][d.Broker] += p.Size
		})
	})
	for _, m := range moves {
		whole, known := largest[m.topicPartition]
		if m.done || !known {
			continue
		}
		m.total, m.copied = 0, 0
		for _, id := range m.adding() {
			m.total += whole
			m.copied += min(whole, have[m.topicPartition][id])
		}
	}
}

// progress shows how far something is: a bar in one line of a terminal, lines elsewhere, JSON where that is asked for.
type progress struct {
	a     *app
	shown time.Time
	bar   bool // one is on the screen
	last  moveProgress
}

func (a *app) newProgress() *progress { return &progress{a: a} }

// progressInterval is how often a line is written where there is no terminal.
const progressInterval = 10 * time.Second

func (p *progress) show(m moveProgress) error {
	switch {
	case p.a.output == "json":
		if m.BytesDone == p.last.BytesDone && m.PartitionsDone == p.last.PartitionsDone && !p.shown.IsZero() {
			return nil
		}
		p.shown, p.last = time.Now(), m
		return writeLine(p.a.out, m)
	case p.a.terminal(p.a.err):
		width, _ := p.a.size(p.a.err)
		p.a.say("\r\x1b[K%s", m.line(p.a.unicode(), width))
		p.bar = true
	case time.Since(p.shown) >= progressInterval || m.PartitionsDone == m.Partitions:
		p.a.say("%s\n", m.line(false, 0))
		p.shown = time.Now()
	}
	return nil
}

// clear removes the bar.
func (p *progress) clear() {
	if p.bar {
		p.a.say("\r\x1b[K")
		p.bar = false
	}
}

// line is the progress in words, with a bar when the width is known.
func (p *moveProgress) line(unicode bool, width int) string {
	text := fmt.Sprintf("%d/%s  %s / %s", p.PartitionsDone, count(p.Partitions, "partition"), humanize.IBytes(uint64(p.BytesDone)), humanize.IBytes(uint64(p.Bytes)))
	if p.Rate > 0 {
		text += fmt.Sprintf("  %s/s", humanize.IBytes(uint64(p.Rate)))
	}
	if p.ETASeconds != nil && p.PartitionsDone < p.Partitions {
		text += fmt.Sprintf("  ETA %s", (time.Duration(*p.ETASeconds) * time.Second))
	}
	room := min(30, width-len(text)-3)
	if room < 5 {
		return text
	}
	full, empty := "#", "."
	if unicode {
		full, empty = "█", "░"
	}
	n := int(p.share() * float64(room))
	return strings.Repeat(full, n) + strings.Repeat(empty, room-n) + "  " + text
}

// share is how much is done, by bytes, and by partitions where there is nothing to copy.
func (p *moveProgress) share() float64 {
	switch {
	case p.Bytes > 0:
		return float64(p.BytesDone) / float64(p.Bytes)
	case p.Partitions > 0:
		return float64(p.PartitionsDone) / float64(p.Partitions)
	}
	return 1
}

// writeLine prints a value as one line of JSON.
func writeLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
