package group

import (
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/distributedmq/dmq/broker/coordlog"
)

const (
	expiryTimer = "offsets-expiry"
	// expiredPerRun bounds what one run removes: it goes on after the operations that wait.
	expiredPerRun = 20_000
)

// loadedOffsets starts the search for expired offsets.
func (s *State) loadedOffsets(fx coordlog.Effects) {
	fx.SetTimer(expiryTimer, fx.Now().Add(s.env.Settings().OffsetsRetentionCheck), s.expireOffsets)
}

// expireOffsets removes offsets that are too old, and groups that have neither members nor offsets any more.
func (s *State) expireOffsets(fx coordlog.Effects) {
	next := fx.Now().Add(s.env.Settings().OffsetsRetentionCheck)
	removed := 0
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		n, err := s.expireGroup(fx, id, s.groups[id])
		if err != nil {
			s.env.Logger.Warn("remove expired offsets", slog.String("group", id), slog.Any("err", err))
			break
		}
		if removed += n; removed >= expiredPerRun {
			next = fx.Now()
			break
		}
	}
	fx.SetTimer(expiryTimer, next, s.expireOffsets)
}

// expireGroup does so for one group, and returns how many records that took.
func (s *State) expireGroup(fx coordlog.Effects, id string, g group) (int, error) {
	expired, all := s.expiredOffsets(id, g, fx.Now().UnixMilli())
	err := s.endOffsets(fx, expired)
	if err == nil {
		s.env.Counters.OffsetExpirations.Add(int64(len(expired)))
	}
	if err != nil || !all || !g.empty() {
		return len(expired), err
	}
	tombstones := g.tombstones()
	if err := fx.Append(tombstones...); err != nil {
		return len(expired), err
	}
	s.timelines.add(id, Event{Time: fx.Now(), Kind: GroupDeleted, Epoch: g.groupEpoch(), Reason: "it had no members and all its offsets expired"})
	return len(expired) + len(tombstones), nil
}

// expiredOffsets returns the offsets of a group that are too old, and whether those are all it has, open transactions
// included.
func (s *State) expiredOffsets(id string, g group, now int64) (expired []groupPartition, all bool) {
	all = s.offsets.open.groups[id] == 0
	found := s.offsets.groups[id]
	if found == nil {
		return nil, all
	}
	since := g.expiry().since
	if since == nil {
		return nil, false
	}
	retention := s.env.Settings().OffsetsRetention
	for _, t := range found.topics {
		if g.subscribed(t.topic) {
			all = false
			continue
		}
		for c := range t.all() {
			if c.expired(since, retention, now) && !s.offsets.open.has(id, t.topic, c.partition) {
				expired = append(expired, groupPartition{id, t.topic, c.partition})
			} else {
				all = false
			}
		}
	}
	return expired, all
}

// expired reports whether the offset is too old. One that says itself when it expires does so; others do when they are older than
// the retention, counted as the group says.
func (c *committedOffset) expired(since func(commitTimestamp int64) (int64, bool), retention time.Duration, now int64) bool {
	if c.expireTimestamp >= 0 {
		return now >= c.expireTimestamp
	}
	from, ok := since(c.commitTimestamp)
	return ok && now-from >= retention.Milliseconds()
}
