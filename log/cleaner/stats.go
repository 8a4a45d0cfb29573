package cleaner

import (
	"time"
)

// Stats is what there is to see of a cleaner. What Kafka says of the last cleaning of any thread is that here.
type Stats struct {
	Threads               int
	RecopyPercent         int // bytes written of those read, last passes of all threads
	MaxUtilizationPercent int // of a key map
	MaxCleanTime          time.Duration
	MaxCompactionDelay    time.Duration
	MaxDirtyPercent       int                    // of the dirtiest log
	SinceLastRun          time.Duration          // since a thread last looked for a log
	Uncleanable           map[string]Uncleanable // by log directory

	Passes, Aborted, Failed int64 // how passes ended
	BytesRead, BytesWritten int64 // of all passes; read twice counts twice
	RecordsRemoved          int64
	KeyMapBytes             int64 // the largest memory that the key map of a pass took
}

// Uncleanable are the partitions of a directory that cannot be compacted.
type Uncleanable struct {
	Partitions int
	Bytes      int64 // that are dirty and could be compacted otherwise
}

// counters are what a Cleaner counts, under its mutex.
type counters struct {
	threads  []threadStats
	lastRun  time.Time
	dirtiest float64
	delay    time.Duration

	passes, aborted, failed int64
	read, written, removed  int64
	keyMap                  int64
}

// threadStats is the last pass of a thread.
type threadStats struct {
	read, written int64
	utilization   float64
	duration      time.Duration
	delay         time.Duration
}

func (s *counters) add(id int, r Range, result *Result, err error) {
	switch {
	case err == nil:
		s.passes++
		s.removed += result.RecordsRead - result.RecordsWritten
		s.threads[id] = threadStats{
			read: result.BytesRead, written: result.BytesWritten, utilization: result.Utilization, duration: result.Duration, delay: r.Delay,
		}
	case harmless(err):
		s.aborted++
	default:
		s.failed++
	}
	s.read += result.KeyBytesRead + result.BytesRead
	s.written += result.BytesWritten
	s.keyMap = max(s.keyMap, result.KeyMapBytes)
}

// Stats returns what there is to see now.
func (c *Cleaner) Stats() Stats {
	c.mu.Lock()
	s := c.stats
	out := Stats{
		Threads: len(s.threads), SinceLastRun: c.o.Now().Sub(s.lastRun), MaxDirtyPercent: int(100 * s.dirtiest),
		Passes: s.passes, Aborted: s.aborted, Failed: s.failed, BytesRead: s.read, BytesWritten: s.written, RecordsRemoved: s.removed,
		KeyMapBytes: s.keyMap,
	}
	var read, written int64
	for _, t := range s.threads {
		read, written = read+t.read, written+t.written
		out.MaxUtilizationPercent = max(out.MaxUtilizationPercent, int(100*t.utilization))
		out.MaxCleanTime, out.MaxCompactionDelay = max(out.MaxCleanTime, t.duration), max(out.MaxCompactionDelay, t.delay)
	}
	out.RecopyPercent = int(100 * float64(written) / float64(max(read, 1)))
	var failed []failure
	for _, f := range c.failed {
		failed = append(failed, f)
	}
	c.mu.Unlock()
	out.Uncleanable = uncleanable(failed, c.o.Now())
	return out
}

func uncleanable(failed []failure, now time.Time) map[string]Uncleanable {
	out := make(map[string]Uncleanable)
	for _, f := range failed {
		u := out[f.log.Dir]
		u.Partitions++
		if r, err := Cleanable(f.log.Log, now); err == nil {
			u.Bytes += r.DirtyBytes
		}
		out[f.log.Dir] = u
	}
	return out
}
