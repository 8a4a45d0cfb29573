package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
)

// The levels beside slog's own, by Kafka's names.
const (
	levelTrace = slog.LevelDebug - 4
	levelFatal = slog.LevelError + 4
)

// kafkaLevels maps Kafka's level names, which BROKER_LOGGER uses, to slog's.
func kafkaLevels() map[string]slog.Level {
	return map[string]slog.Level{"TRACE": levelTrace, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "ERROR": slog.LevelError, "FATAL": levelFatal}
}

// rootLogger names what has no subsystem, as in Kafka.
const rootLogger = "root"

// logLevels holds the level of each subsystem. Reads are lock-free per logger: a logger keeps its own LevelVar.
type logLevels struct {
	initial slog.Level

	mu     sync.Mutex // guards levels and set
	levels map[string]*slog.LevelVar
	set    map[string]bool // those with a level of their own; the others follow root
}

func newLogLevels(initial slog.Level) *logLevels {
	root := new(slog.LevelVar)
	root.Set(initial)
	return &logLevels{initial: initial, levels: map[string]*slog.LevelVar{rootLogger: root}, set: map[string]bool{rootLogger: true}}
}

// of returns the level of a subsystem, which is known from then on.
func (l *logLevels) of(name string) *slog.LevelVar {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.levels[name]
	if !ok {
		v = new(slog.LevelVar)
		v.Set(l.levels[rootLogger].Level())
		l.levels[name] = v
	}
	return v
}

// Levels lists all loggers and their levels.
func (l *logLevels) Levels() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]string, len(l.levels))
	for name, v := range l.levels {
		out[name] = levelName(v.Level())
	}
	return out
}

// SetLevel changes one logger; root changes all that have no level of their own.
func (l *logLevels) SetLevel(logger, level string) error {
	v, ok := kafkaLevels()[level]
	if !ok {
		return fmt.Errorf("%s is not a log level", level)
	}
	return l.change(logger, v, true)
}

// ResetLevel lets a logger follow root again; root gets the level it started with.
func (l *logLevels) ResetLevel(logger string) error {
	l.mu.Lock()
	level := l.levels[rootLogger].Level()
	l.mu.Unlock()
	if logger == rootLogger {
		level = l.initial
	}
	return l.change(logger, level, logger == rootLogger)
}

func (l *logLevels) change(logger string, level slog.Level, own bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.levels[logger]
	if !ok {
		return fmt.Errorf("logger %s does not exist", logger)
	}
	v.Set(level)
	l.set[logger] = own
	if logger == rootLogger {
		for name, other := range maps.All(l.levels) {
			if !l.set[name] {
				other.Set(level)
			}
		}
	}
	return nil
}

func levelName(level slog.Level) string {
	for _, name := range []string{"FATAL", "ERROR", "WARN", "INFO", "DEBUG"} {
		if level >= kafkaLevels()[name] {
			return name
		}
	}
	return "TRACE"
}

// logOptions says how a node logs.
type logOptions struct {
	format  string // console, json or logfmt
	markers bool
	color   bool
	levels  *logLevels
	now     func() time.Time
}

// newLogger returns the node's logger.
func newLogger(w io.Writer, o logOptions) *slog.Logger {
	var inner slog.Handler
	switch o.format {
	case "console":
		inner = tint.NewTextHandler(w, &tint.Options{Level: levelTrace, TimeFormat: "15:04:05.000", NoColor: !o.color})
	case "logfmt":
		inner = slog.NewTextHandler(w, &slog.HandlerOptions{Level: levelTrace, ReplaceAttr: plain})
	default:
		inner = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: levelTrace, ReplaceAttr: plain})
	}
	return slog.New(&logHandler{inner: inner, o: o, level: o.levels.of(rootLogger), repeated: &repeats{now: o.now, seen: map[string]*repeat{}, messages: map[string]*repeat{}}})
}

// plain prints times in UTC and RFC 3339 with fractions, and durations as seconds.
func plain(_ []string, attr slog.Attr) slog.Attr {
	switch attr.Value.Kind() {
	case slog.KindTime:
		return slog.String(attr.Key, attr.Value.Time().UTC().Format(time.RFC3339Nano))
	case slog.KindDuration:
		return slog.Float64(attr.Key, attr.Value.Duration().Seconds())
	default:
		return attr
	}
}

// logHandler gives each subsystem its level, holds back repeated warnings, and marks events on a console.
type logHandler struct {
	inner     slog.Handler
	o         logOptions
	subsystem string
	bound     string // the values of attributes given by With
	level     *slog.LevelVar
	repeated  *repeats
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithAttrs implements slog.Handler. The attribute "component" names the subsystem.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	kept := make([]slog.Attr, 0, len(attrs))
	for _, attr := range attrs {
		if h.o.format == "console" && (attr.Key == "node" || attr.Key == "node_id") {
			continue // a console shows one node
		}
		if attr.Key != "component" {
			kept = append(kept, attr)
			next.bound += "\x00" + attr.Value.String()
			continue
		}
		next.subsystem = attr.Value.String()
		next.level = h.o.levels.of(next.subsystem)
		if h.o.format != "console" { // a console line has no room for it
			kept = append(kept, slog.String("subsystem", next.subsystem))
		}
	}
	next.inner = h.inner.WithAttrs(kept)
	return &next
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	next := *h
	next.inner = h.inner.WithGroup(name)
	return &next
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		again, skip := h.repeated.count(h.subsystem+"\x00"+r.Message, subject(h.bound, r))
		if skip {
			return nil
		}
		if again > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int("repeated", again))
		}
	}
	if h.o.format == "console" {
		r = h.marked(r)
	}
	return h.inner.Handle(ctx, r)
}

// subject is what a warning is about: the same words about another partition or property are another warning. How long
// something took and what exactly the system said differ from time to time and do not make it another one.
func subject(bound string, r slog.Record) string {
	var s strings.Builder
	s.WriteString(bound)
	r.Attrs(func(attr slog.Attr) bool {
		if attr.Key != "err" && attr.Key != "dur" {
			s.WriteString("\x00" + attr.Value.String())
		}
		return true
	})
	return s.String()
}

// marked puts an event's marker before the text and drops the id.
func (h *logHandler) marked(r slog.Record) slog.Record {
	event := ""
	kept := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(attr slog.Attr) bool {
		if attr.Key == "event" {
			event = attr.Value.String()
		} else {
			kept = append(kept, attr)
		}
		return true
	})
	text := r.Message
	if m := marker(r.Level, event); h.o.markers && m != "" {
		text = m + " " + text
	}
	out := slog.NewRecord(r.Time, r.Level, text, r.PC)
	out.AddAttrs(kept...)
	return out
}

// marker is the sign of an event: by level when something is wrong, else by the last known word of its id.
func marker(level slog.Level, event string) string {
	switch {
	case level >= slog.LevelError:
		return "❌"
	case level >= slog.LevelWarn:
		return "⚠️"
	}
	words := map[string]string{
		"start": "🚀", "discover": "🔍", "connect": "📡", "register": "📝", "create": "📝", "created": "📝", "begun": "📝", "load": "📥", "opened": "📥", "heartbeat": "💓",
		"election": "🗳️", "leader": "🎖️", "active": "🎖️", "change": "🔄", "changed": "🔄", "notify": "📢", "rebuild": "🔧", "recover": "🔧", "recovered": "🔧", "timeout": "⏱️",
		"fast": "⚡", "apply": "🎯", "done": "✅", "ready": "✅", "closed": "✅", "stop": "👋", "signal": "👋", "stopped": "👋",
	}
	for _, word := range slices.Backward(strings.Split(event, ".")) {
		if m, ok := words[word]; ok {
			return m
		}
	}
	return ""
}

// repeats holds back warnings that come again within repeatWindow and counts them. Of many subjects at a time it lets some
// through: what is said once about each partition is not lost, and what befalls all of them does not flood the log.
type repeats struct {
	now func() time.Time

	mu       sync.Mutex // guards the maps
	seen     map[string]*repeat
	messages map[string]*repeat // shown is when its window began
}

type repeat struct {
	shown    time.Time
	subjects int // of a message, in its window
	held     int
}

const (
	repeatWindow   = 10 * time.Second
	repeatSubjects = 100  // of one message in a window
	repeatKeys     = 2000 // more different warnings than this are not remembered
)

// count says how often a warning was held back since it was last shown, or that it is to be held back now.
func (r *repeats) count(message, subject string) (held int, skip bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if len(r.seen) >= repeatKeys || len(r.messages) >= repeatKeys {
		clear(r.seen)
		clear(r.messages)
	}
	m := r.messages[message]
	if m == nil || now.Sub(m.shown) >= repeatWindow {
		next := &repeat{shown: now}
		if m != nil {
			next.held = m.held
		}
		m, r.messages[message] = next, next
	}
	key := message + "\x00" + subject
	e := r.seen[key]
	switch {
	case e != nil && now.Sub(e.shown) < repeatWindow:
		e.held++
		return 0, true
	case m.subjects >= repeatSubjects:
		m.held++
		return 0, true
	case e == nil:
		e = new(repeat)
		r.seen[key] = e
	}
	held = e.held + m.held
	m.subjects++
	e.held, m.held, e.shown = 0, 0, now
	return held, false
}
