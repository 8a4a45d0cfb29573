package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// AnomalyKind is a way in which a promise is broken.
type AnomalyKind string

// The kinds of anomaly.
const (
	// Lost: a record that was acknowledged, or shown to a consumer, is not in the log any more (I1).
	Lost AnomalyKind = "lost"
	// Unseen: it may be in the log, but the final reads ended before it (I1, I27).
	Unseen AnomalyKind = "unseen"
	// Unread: nobody read a partition to its end when all was healed, so that nothing is known of it.
	Unread AnomalyKind = "unread"
	// Duplicated: a record of an idempotent producer is at two offsets (I4).
	Duplicated AnomalyKind = "duplicated"
	// Reordered: a producer's later record has the lower offset, or a consumer was shown offsets that do not rise (I3).
	Reordered AnomalyKind = "reordered"
	// Skipped: a consumer, or a group, was never shown a record that is in the log (I3).
	Skipped AnomalyKind = "skipped"
	// Disagreeing: one offset holds two values, or a record is not where its producer was told (I2).
	Disagreeing AnomalyKind = "disagreeing"
	// Unsent: a record or a committed offset that nobody sent, or that was refused for good (I4, I18).
	Unsent AnomalyKind = "unsent"
	// Corrupted: a record that does not hold what it was sent with (I20).
	Corrupted AnomalyKind = "corrupted"
	// WatermarkBack: the end of a partition went back (I7).
	WatermarkBack AnomalyKind = "watermark back"
	// CommitBack: a committed offset went back (I18).
	CommitBack AnomalyKind = "commit back"
)

// maxExamples is how many anomalies of a kind are described.
const maxExamples = 5

// Result is what a Checker found.
type Result struct {
	Acked, Refused, Unknown int64 // records sent
	Read                    int64 // offsets that somebody was shown a record at
	Final                   int64 // records that the final reads were shown, through all nodes
	Commits                 int64 // that were acknowledged
	Anomalies               map[AnomalyKind]int64
	Examples                map[AnomalyKind][]string // the first few of each kind
}

// Err describes the anomalies, or is nil.
func (r *Result) Err() error {
	if len(r.Anomalies) == 0 {
		return nil
	}
	var b strings.Builder
	for i, kind := range slices.Sorted(maps.Keys(r.Anomalies)) {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%d %s", r.Anomalies[kind], kind)
		for _, text := range r.Examples[kind] {
			b.WriteString("\n  " + text)
		}
	}
	return fmt.Errorf("%s", b.String())
}

func (r *Result) found(kind AnomalyKind, format string, args ...any) {
	r.Anomalies[kind]++
	if len(r.Examples[kind]) < maxExamples {
		r.Examples[kind] = append(r.Examples[kind], fmt.Sprintf(format, args...))
	}
}
