package group

import (
	"log/slog"
	"math/rand/v2"

	"github.com/distributedmq/dmq/kraft/image"
)

// Env is what a State knows of the world.
type Env struct {
	Settings      func() Settings                       // of the broker, as they are now
	GroupSettings func(groupID string) ConsumerSettings // those, with what is set for the group (resource type GROUP)
	Image         func() *image.Image                   // the cluster's metadata as it is now
	Rand          *rand.Rand                            // member ids; used on the shard's loop only
	Logger        *slog.Logger
	Counters      *Counters // of the broker; nil: nobody looks
}

// State is the groups and offsets of one partition of __consumer_offsets. It implements coordlog.Machine.
type State struct {
	env       Env
	groups    map[string]group
	offsets   offsets
	timelines timelines

	topicIndex topicIndex // of the consumer groups
	newTopics  int64      // the version of the image that topics were last added in
}

// NewState returns an empty state.
func NewState(env Env) *State {
	if env.Counters == nil {
		env.Counters = new(Counters)
	}
	return &State{env: env, groups: make(map[string]group), offsets: newOffsets(), timelines: newTimelines(), topicIndex: make(topicIndex)}
}

// Caller is who sent a request.
type Caller struct {
	ClientID   string
	ClientHost string // as DescribeGroups shows it: /127.0.0.1
	// AllTopics reports whether the caller may describe every topic. Until there are ACLs, everyone may.
}
