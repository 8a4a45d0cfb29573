package config

import "time"

// Replication is how partitions of other leaders are followed.
type Replication struct {
	Fetchers         int           // num.replica.fetchers, dynamic
	MinBytes         int32         // replica.fetch.min.bytes
	MaxBytes         int32         // replica.fetch.max.bytes
	ResponseMaxBytes int32         // replica.fetch.response.max.bytes
	MaxWait          time.Duration // replica.fetch.wait.max.ms
	Backoff          time.Duration // replica.fetch.backoff.ms
	SocketTimeout    time.Duration // replica.socket.timeout.ms

	LeaderRate   int64         // leader.replication.throttled.rate in bytes per second, dynamic
	FollowerRate int64         // follower.replication.throttled.rate in bytes per second, dynamic
	QuotaWindows int           // replication.quota.window.num
	QuotaWindow  time.Duration // replication.quota.window.size.seconds
}

func (b *builder) replication() Replication {
	return Replication{
		Fetchers: int(b.int("num.replica.fetchers")),
		MinBytes: int32(b.int("replica.fetch.min.bytes")), MaxBytes: int32(b.int("replica.fetch.max.bytes")),
		ResponseMaxBytes: int32(b.int("replica.fetch.response.max.bytes")),
		MaxWait:          b.ms("replica.fetch.wait.max.ms"), Backoff: b.ms("replica.fetch.backoff.ms"), SocketTimeout: b.ms("replica.socket.timeout.ms"),

		LeaderRate:   b.int("leader.replication.throttled.rate"),
		FollowerRate: b.int("follower.replication.throttled.rate"),
		QuotaWindows: int(b.int("replication.quota.window.num")),
		QuotaWindow:  time.Duration(b.int("replication.quota.window.size.seconds")) * time.Second,
	}
}
