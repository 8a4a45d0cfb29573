package group

import (
	"errors"
	"log/slog"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"time"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Bounds of a pattern. Matching takes time in proportion to the program that a pattern becomes, and repetitions within
// repetitions make that far longer than the pattern.
const (
	maxPatternBytes   = 8 << 10
	maxPatternProgram = 10_000 // instructions, about
)

// minRegexRefresh is how long a group's patterns are left alone after they were matched.
const minRegexRefresh = 10 * time.Second

// resolvedRegex are the topics that match a pattern.
type resolvedRegex struct {
	topics    []string // sorted
	version   int64    // of the image that they were looked up in
	timestamp int64    // when they were, in milliseconds
}

// compilePattern compiles a pattern that has to match the whole name of a topic. Like Kafka's RE2/J, it is RE2's syntax.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPatternBytes {
		return nil, errcode.New(errcode.KindInvalidRegularExpression, "a pattern of %d bytes is too long", len(pattern))
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		reason := err.Error()
		if se, ok := errors.AsType[*syntax.Error](err); ok {
			reason = se.Code.String()
		}
		return nil, errcode.New(errcode.KindInvalidRegularExpression, "pattern `%s` is not a valid regular expression: %s", pattern, reason)
	}
	if programSize(parsed) > maxPatternProgram {
		return nil, errcode.New(errcode.KindInvalidRegularExpression, "pattern `%s` is too costly", pattern)
	}
	// The text of what was parsed is closed in itself, whatever the pattern ends with.
	re, err := regexp.Compile(`\A(?:` + parsed.String() + `)\z`)
	if err != nil {
		return nil, errcode.New(errcode.KindInvalidRegularExpression, "pattern `%s` is not a valid regular expression: %w", pattern, err)
	}
	return re, nil
}

// programSize is about how many instructions a pattern becomes. It is at most a little above maxPatternProgram when there are
// more.
func programSize(re *syntax.Regexp) int {
	size := 1
	if re.Op == syntax.OpLiteral {
		size = len(re.Rune)
	}
	if re.Op == syntax.OpCharClass {
		size = 1 + len(re.Rune)/16 // one instruction, but one that takes its time
	}
	for _, sub := range re.Sub {
		if size > maxPatternProgram {
			break
		}
		size += programSize(sub)
	}
	if re.Op == syntax.OpRepeat && size <= maxPatternProgram {
		size *= max(re.Min, re.Max) + 1
	}
	return size
}

// resolve looks up the topics that match each pattern.
func resolve(img *image.Image, patterns []string, now time.Time) map[string]*resolvedRegex {
	out := make(map[string]*resolvedRegex, len(patterns))
	for _, pattern := range patterns {
		r := &resolvedRegex{version: img.Version, timestamp: now.UnixMilli()}
		out[pattern] = r
		re, err := compilePattern(pattern)
		if err != nil {
			continue // from the log of a release that took it; it matches nothing
		}
		for name := range img.Topics.All() {
			if re.MatchString(name) {
				r.topics = append(r.topics, name)
			}
		}
		slices.Sort(r.topics)
	}
	return out
}

// regexChange says what a member's new pattern means.
type regexChange uint8

const (
	regexSame       regexChange = iota
	regexUnresolved             // new, and its topics are not known yet: they will raise the group epoch when they are
	regexResolved               // new, and its topics are known
)

// updateRegex handles the pattern of a member that may have changed, and says whether the group's patterns have to be matched.
//
// Case A: the last member with a pattern has another one. What is known of the old one is removed.
//
// Case B: nobody had the new pattern. It has to be valid, and is to be matched.
//
// Case C: others have the new pattern already.
//
// Case D: the member has no pattern any more.
func (o *consumerOp) updateRegex(old, m *consumerMember) (change regexChange, isNew bool, err error) {
	if equalPointers(old.regex, m.regex) {
		return regexSame, false, nil
	}
	if old.hasRegex() && o.g.regexes[*old.regex] == 1 { // Case A
		o.add(tombstone(schema.Key{Type: schema.ConsumerGroupRegularExpression, Group: o.g.groupID, Regex: *old.regex}))
	}
	switch {
	case m.hasRegex() && o.g.regexes[*m.regex] == 0: // Case B
		if _, err := compilePattern(*m.regex); err != nil {
			return regexSame, false, err
		}
		return regexUnresolved, true, nil
	case m.hasRegex() && o.g.resolved[*m.regex] == nil, !m.hasRegex() && !old.hasRegex(): // Case C
		return regexUnresolved, false, nil
	default: // Cases C and D
		return regexResolved, false, nil
	}
}

// refreshRegexes has the group's patterns matched, all together so that they lead to one rebalance, if there are any, if that is
// not being done, if it was not done just now, and if
//
// Case A: a pattern has not been matched yet,
//
// Case B: there are topics that were not there when it was last done, or
//
// Case C: it was last done a long time ago. Nothing asks for that but who may see which topics.
//
// last and version are from before the operation: who changes a pattern again and again has it matched no more often for that.
func (o *consumerOp) refreshRegexes(isNew bool, last, version int64) {
	g := o.g
	if len(g.regexes) == 0 || g.resolving {
		return
	}
	now := o.fx.Now().UnixMilli()
	if last >= 0 && now <= last+minRegexRefresh.Milliseconds() {
		return
	}
	if !isNew && len(g.regexes) == len(g.resolved) && // Case A
		version >= o.s.newTopics && // Case B
		now <= last+o.s.env.Settings().RegexRefresh.Milliseconds() { // Case C
		return
	}
	g.resolving = true
	patterns := make([]string, 0, len(g.regexes))
	for pattern := range g.regexes {
		patterns = append(patterns, pattern)
	}
	slices.Sort(patterns)
	s, img, at := o.s, o.s.env.Image(), o.fx.Now()
	o.fx.Go(func() func(coordlog.Effects) {
		resolved := resolve(img, patterns, at)
		return func(fx coordlog.Effects) { s.regexesResolved(fx, g, patterns, resolved) }
	})
}

// lastResolved returns when the patterns were last matched, -1 for never, and against which image. All are at the same time.
func (g *consumerGroup) lastResolved() (timestamp, version int64) {
	for _, r := range g.resolved {
		return r.timestamp, r.version
	}
	return -1, 0
}

// regexesResolved writes down what the patterns match. The group epoch rises when that is something new.
func (s *State) regexesResolved(fx coordlog.Effects, g *consumerGroup, patterns []string, resolved map[string]*resolvedRegex) {
	g.resolving = false
	if s.groups[g.groupID] != group(g) {
		return
	}
	o := s.consumer(fx, g)
	topics := g.topics
	bump := false
	for _, pattern := range patterns {
		if g.regexes[pattern] == 0 {
			continue // nobody wants to know any more
		}
		r := resolved[pattern]
		var known []string
		if old := g.resolved[pattern]; old != nil {
			known = old.topics
		}
		if !slices.Equal(known, r.topics) {
			if !bump {
				bump, topics = true, maps.Clone(topics)
			}
			for _, topic := range known {
				countTopic(topics, topic, subscribers{byRegex: -1})
			}
			for _, topic := range r.topics {
				countTopic(topics, topic, subscribers{byRegex: 1})
			}
		}
		o.add(regexRecord(g.groupID, pattern, r))
	}
	hash := s.metadataHash(topics)
	if bump || hash != g.metadataHash {
		o.bump(hash, "the topics that match the group's patterns changed")
	}
	if err := o.commit(); err != nil {
		o.logger().Error("the topics of patterns could not be written", slog.Any("err", err))
	}
}
