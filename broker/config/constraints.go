package config

import (
	"fmt"
	"slices"
	"strings"
)

// constraints checks the rules that span several properties; the texts are Kafka's.
func (b *builder) constraints() {
	const hour, minute = 3600 * 1000, 60 * 1000
	roll, jitter := b.inMillis(unit{"log.roll.ms", 1}, unit{"log.roll.hours", hour}), b.inMillis(unit{"log.roll.jitter.ms", 1}, unit{"log.roll.jitter.hours", hour})
	retention := b.inMillis(unit{"log.retention.ms", 1}, unit{"log.retention.minutes", minute}, unit{"log.retention.hours", hour})
	b.require("log.roll.ms", roll >= 1, "log.roll.ms must be greater than or equal to 1")
	b.require("log.roll.jitter.ms", jitter >= 0, "log.roll.jitter.ms must be greater than or equal to 0")
	b.require("log.retention.ms", retention != 0, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1")
	threads := max(b.int("log.cleaner.threads"), 1)
	b.require("log.cleaner.dedupe.buffer.size", b.int("log.cleaner.dedupe.buffer.size")/threads > 1<<20, "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.")
	wait := b.int("replica.fetch.wait.max.ms")
	b.require("replica.socket.timeout.ms", wait <= b.int("replica.socket.timeout.ms"), "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts")
	b.require("replica.fetch.wait.max.ms", wait <= b.int("replica.lag.time.max.ms"), "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent changes in ISR")
	if queued := b.int("queued.max.request.bytes"); queued > 0 {
		b.require("queued.max.request.bytes", queued >= b.int("socket.request.max.bytes"), "queued.max.request.bytes must be larger or equal to socket.request.max.bytes")
	}
	if b.int("max.connections.per.ip") == 0 {
		b.require("max.connections.per.ip", b.text("max.connections.per.ip.overrides") != "", "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.")
	}
	if idle, delay := b.int("connections.max.idle.ms"), b.int("connection.failed.authentication.delay.ms"); idle >= 0 {
		b.require("connections.max.idle.ms", delay < idle, fmt.Sprintf("connection.failed.authentication.delay.ms=%d should always be less than connections.max.idle.ms=%d to prevent failed authentication responses from timing out", delay, idle))
	}
	shortest, longest := b.int("log.cleaner.min.compaction.lag.ms"), b.int("log.cleaner.max.compaction.lag.ms")
	b.require("log.cleaner.min.compaction.lag.ms", shortest <= longest, fmt.Sprintf("conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", shortest, longest))
	if b.int("broker.heartbeat.interval.ms")*2 > b.int("broker.session.timeout.ms") {
		b.warnings = append(b.warnings, Warning{
			Kind: WarnOther, Key: "broker.heartbeat.interval.ms", Source: b.sources["broker.heartbeat.interval.ms"],
			Text: "is more than half of broker.session.timeout.ms, so one late heartbeat fences the broker", Hint: "lower it or raise the timeout",
		})
	}
	b.require("broker.heartbeat.interval.ms", b.int("broker.heartbeat.interval.ms") >= 1, "broker.heartbeat.interval.ms must be greater than or equal to 1")
	b.require("broker.session.timeout.ms", b.int("broker.session.timeout.ms") >= 1, "broker.session.timeout.ms must be greater than or equal to 1")
	b.selector()
	b.perIP()
	b.cordoned()
	b.groups()
	b.sessions()
}

// rackAwareSelector is the one class of Kafka's that chooses followers.
const rackAwareSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"

// selector checks replica.selector.class: there are no other classes here than Kafka's own.
func (b *builder) selector() {
	class := b.text("replica.selector.class")
	b.require("replica.selector.class", class == "" || class == rackAwareSelector, "only "+rackAwareSelector+" is served")
}

// require notes a fault unless ok.
func (b *builder) require(key string, ok bool, text string) {
	if !ok {
		b.fault(key, text, "")
	}
}

// inMillis reads the first property of a family that is set, as topicDefault does.
func (b *builder) inMillis(units ...unit) int64 {
	for _, u := range units {
		if b.get(u.name) != nil {
			return b.int(u.name) * u.factor
		}
	}
	return 0
}

// cordoned holds cordoned.log.dirs against the data directories.
func (b *builder) cordoned() {
	cordoned := b.list("cordoned.log.dirs")
	dirs := b.list("log.dirs")
	if len(dirs) == 0 {
		dirs = b.list("log.dir")
	}
	var missing []string
	for _, dir := range cordoned {
		switch {
		case dir == "*" && len(cordoned) > 1:
			b.fault("cordoned.log.dirs", "When cordoned.log.dirs is set to *, it must not contain other values", "")
			return
		case dir != "*" && !slices.Contains(dirs, dir):
			missing = append(missing, dir)
		}
	}
	list := format(missing)
	b.require("cordoned.log.dirs", len(missing) == 0, "All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : "+list[1:len(list)-1])
}

// groups holds each group default against its minimum and maximum.
func (b *builder) groups() {
	for _, p := range b.schema.sorted[ScopeGroup] {
		if p.Synonym == "" || p.Type != tInt && p.Type != tLong {
			continue
		}
		kind, rest, _ := strings.Cut(strings.TrimPrefix(p.Synonym, "group."), ".")
		rest = strings.TrimPrefix(rest, "num.") // num.standby.replicas is bounded by max.standby.replicas
		for _, which := range []string{"min", "max"} {
			bound := "group." + kind + "." + which + "." + rest
			if _, ok := b.schema.props[ScopeBroker][bound]; !ok {
				continue
			}
			value, limit := b.int(p.Synonym), b.int(bound)
			b.requirePlain(p.Synonym, which != "min" || value >= limit, fmt.Sprintf("%s must be greater than or equal to %s", p.Synonym, bound))
			b.requirePlain(p.Synonym, which != "max" || value <= limit, fmt.Sprintf("%s must be less than or equal to %s", p.Synonym, bound))
		}
	}
}

// sessions has members report more than once in a session, and the assignors be those that there are.
func (b *builder) sessions() {
	for _, kind := range []string{"consumer", "share", "streams"} {
		interval, session := "group."+kind+".heartbeat.interval.ms", "group."+kind+".session.timeout.ms"
		b.requirePlain(interval, b.int(interval) < b.int(session), interval+" must be less than "+session)
	}
	for _, name := range b.list("group.consumer.assignors") {
		b.requirePlain("group.consumer.assignors", slices.Contains(servedAssignors, name),
			name+" is not an assignor of consumer groups. Known are "+strings.Join(servedAssignors, " and ")+".")
	}
}

// requirePlain is require for rules that Kafka does not word "requirement failed".
func (b *builder) requirePlain(key string, ok bool, text string) {
	if !ok {
		b.fault(key, text, "")
		b.faults[len(b.faults)-1].require = false
	}
}
