package image

import "github.com/distributedmq/dmq/protocol"

// Delta says what changed between two images. It is immutable; Prev and Next are complete.
type Delta struct {
	Prev, Next *Image

	ChangedTopics      map[string]*Topic // topics of Next that are new or differ; a recreated topic is here and in DeletedTopics
	DeletedTopics      []*Topic          // topic incarnations of Prev that are gone
	ChangedConfigs     map[Resource]struct{}
	ChangedBrokers     map[protocol.NodeID]struct{} // registered, changed or unregistered
	ControllersChanged bool
	FeaturesChanged    bool
}

// Publisher is told of every new image, in order, on the apply goroutine. It must not block: the metadata log
// stands still meanwhile.
type Publisher interface {
	Publish(d *Delta)
}

// PublisherFunc makes a function a Publisher.
type PublisherFunc func(d *Delta)

// Publish calls f.
func (f PublisherFunc) Publish(d *Delta) { f(d) }
