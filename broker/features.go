package broker

import (
	"maps"
	"slices"
	"strconv"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/kraft/controller"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
)

// The levels of metadata.version that Apache Kafka 4.4 knows: 3.3-IV3 to 4.4-IV2.
const (
	metadataVersion    = "metadata.version"
	minMetadataVersion = 7
	maxMetadataVersion = 33
)

// groupVersion is the feature of consumer groups (KIP-848): level 1 serves them.
const groupVersion = "group.version"

// eligibleLeaderReplicas is the feature of replicas outside the ISR that may lead (KIP-966).
const eligibleLeaderReplicas = controller.EligibleLeaderReplicas

// kraftVersion is the feature of voters that change (KIP-853).
const kraftVersion = controller.KRaftVersion

// features are the levels this node supports: only of what it serves.
func features() map[string]image.FeatureRange {
	return map[string]image.FeatureRange{
		metadataVersion:        {Min: minMetadataVersion, Max: maxMetadataVersion},
		groupVersion:           {Min: 0, Max: 1},
		eligibleLeaderReplicas: {Min: 0, Max: 1},
		kraftVersion:           {Min: 0, Max: 1},
	}
}

// firstFeatures are the levels that a new cluster begins with: the highest. Eligible leader replicas need one
// min.insync.replicas that holds for every broker, whatever its own file says.
func firstFeatures(props *config.Config) []metadata.Record {
	minISR := strconv.Itoa(int(props.MinInsyncReplicas))
	out := []metadata.Record{&metadata.ConfigRecord{ResourceType: image.ResourceBroker, Name: "min.insync.replicas", Value: &minISR}}
	for _, name := range slices.Sorted(maps.Keys(features())) {
		out = append(out, &metadata.FeatureLevelRecord{Name: name, Level: features()[name].Max})
	}
	return out
}
