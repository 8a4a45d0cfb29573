package kraft

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
)

// raftLogger lets raft log through slog. What raft calls Info is Debug here: the quorum itself reports the changes an
// operator asks about.
type raftLogger struct {
	hclog.Logger // answers the rest of the interface
	logger       *slog.Logger
	args         []any
}

func newRaftLogger(logger *slog.Logger) hclog.Logger {
	return &raftLogger{Logger: hclog.NewNullLogger(), logger: logger}
}

func (l *raftLogger) log(level slog.Level, msg string, args []any) {
	ctx := context.Background()
	if !l.logger.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, "raft: "+strings.ToLower(msg), 0)
	all := append(slices.Clip(l.args), args...)
	for i := 0; i+1 < len(all); i += 2 {
		key := strings.ReplaceAll(fmt.Sprint(all[i]), "-", "_")
		value := all[i+1]
		if f, ok := value.(hclog.Format); ok && len(f) > 0 {
			value = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		if s, ok := value.(fmt.Stringer); ok {
			value = s.String()
		}
		r.AddAttrs(slog.Any(key, value))
	}
	_ = l.logger.Handler().Handle(ctx, r) // slog itself drops this error too
}

// Log implements hclog.Logger.
func (l *raftLogger) Log(level hclog.Level, msg string, args ...any) {
	switch level {
	case hclog.Warn:
		l.Warn(msg, args...)
	case hclog.Error:
		l.Error(msg, args...)
	default:
		l.Debug(msg, args...)
	}
}

// Trace implements hclog.Logger.
func (l *raftLogger) Trace(msg string, args ...any) { l.log(slog.LevelDebug-4, msg, args) }

// Debug implements hclog.Logger.
func (l *raftLogger) Debug(msg string, args ...any) { l.log(slog.LevelDebug-1, msg, args) }

// Info implements hclog.Logger.
func (l *raftLogger) Info(msg string, args ...any) { l.log(slog.LevelDebug, msg, args) }

// Warn implements hclog.Logger. Most of what raft warns of is an election taking its course.
func (l *raftLogger) Warn(msg string, args ...any) {
	switch msg {
	case "heartbeat timeout reached, starting election", "failed to contact quorum of nodes, stepping down", "new leader elected, stepping down":
		l.log(slog.LevelWarn, msg, args)
	default:
		l.Debug(msg, args...)
	}
}

// Error implements hclog.Logger. That a member does not answer is the quorum's to report, once: raft does at each attempt.
func (l *raftLogger) Error(msg string, args ...any) {
	switch msg {
	case "failed to heartbeat to", "failed to appendEntries to", "failed to make requestVote RPC", "failed to make requestPreVote RPC",
		"failed to pipeline appendEntries", "failed to start pipeline replication to", "failed to decode incoming command",
		"failed to flush response", "peer has newer term, stopping replication":
		l.Debug(msg, args...)
	case "failed to get log": // that is how raft finds out that a member needs a snapshot
		if slices.Contains(args, any(hraft.ErrLogNotFound)) {
			l.Debug(msg, args...)
			return
		}
		l.log(slog.LevelError, msg, args)
	default:
		l.log(slog.LevelError, msg, args)
	}
}

// With implements hclog.Logger.
func (l *raftLogger) With(args ...any) hclog.Logger {
	c := *l
	c.args = append(slices.Clip(l.args), args...)
	return &c
}

// Named implements hclog.Logger.
func (l *raftLogger) Named(string) hclog.Logger { return l }

// ResetNamed implements hclog.Logger.
func (l *raftLogger) ResetNamed(string) hclog.Logger { return l }
