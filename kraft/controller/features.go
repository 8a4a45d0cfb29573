package controller

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// MetadataVersion is the feature that says which metadata a cluster may contain.
const MetadataVersion = "metadata.version"

// metadataChanged lists the levels of metadata.version of Kafka 4.4 (3.3-IV3 is 7, 4.4-IV2 is 33) that brought metadata
// which the level before does not know: a cluster cannot go back over one of them.
func metadataChanged(level int16) bool {
	switch level {
	case 8, 11, 13, 14, 15, 17, 23, 30, 32, 33:
		return true
	default:
		return false
	}
}

// How an update of a feature may move its level (FeatureUpdate.UpgradeType).
const (
	upgrade         int8 = 1
	safeDowngrade   int8 = 2
	unsafeDowngrade int8 = 3
)

// updateFeatures decides UpdateFeatures: all features move, or none.
func (d *decider) updateFeatures(v *view, req *kmsg.UpdateFeaturesRequest) (decision, error) {
	resp := kmsg.NewPtrUpdateFeaturesResponse()
	resp.Version = req.Version
	var records []metadata.Record
	for i := range req.FeatureUpdates {
		u := &req.FeatureUpdates[i]
		if req.Version == 0 { // a flag instead of the type
			u.UpgradeType = upgrade
			if u.AllowDowngrade {
				u.UpgradeType = safeDowngrade
			}
		}
		r, err := d.updateFeature(v, u)
		if err != nil {
			resp.ErrorCode = errcode.Of(err)
			text := "The update failed for all features since the following feature had an error: " + err.Error()
			resp.ErrorMessage = &text
			return answered(resp), nil
		}
		records = append(records, r)
		if req.Version <= 1 {
			result := kmsg.NewUpdateFeaturesResponseResult()
			result.Feature = u.Feature
			result.ErrorMessage = new("NONE") // Kafka's text of no error
			resp.Results = append(resp.Results, result)
		}
	}
	if req.ValidateOnly {
		return answered(resp), nil
	}
	records = append(d.unifyMinISR(v, records), records...)
	records = append(records, d.settle(v, records)...)
	return decision{records: records, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}

// unifyMinISR makes the records that eligible leader replicas need to be safe when they are switched on: one
// min.insync.replicas for the whole cluster, and no broker with one of its own.
func (d *decider) unifyMinISR(v *view, updates []metadata.Record) []metadata.Record {
	on := slices.ContainsFunc(updates, func(r metadata.Record) bool {
		f, ok := r.(*metadata.FeatureLevelRecord)
		return ok && f.Name == EligibleLeaderReplicas && f.Level > 0
	})
	if !on {
		return nil
	}
	var records []metadata.Record
	if _, ok := v.img.Configs[image.Resource{Type: image.ResourceBroker}][minISRConfig]; !ok {
		value := strconv.Itoa(d.schema.TopicPolicy(nil, nil, nil).MinISR)
		records = append(records, &metadata.ConfigRecord{ResourceType: image.ResourceBroker, Name: minISRConfig, Value: &value})
	}
	var own []string
	for r, configs := range v.img.Configs {
		if _, ok := configs[minISRConfig]; ok && r.Type == image.ResourceBroker && r.Name != "" {
			own = append(own, r.Name)
		}
	}
	slices.Sort(own)
	for _, name := range own {
		records = append(records, &metadata.ConfigRecord{ResourceType: image.ResourceBroker, ResourceName: name, Name: minISRConfig})
	}
	return records
}

// updateFeature decides one feature.
func (d *decider) updateFeature(v *view, u *kmsg.UpdateFeaturesRequestFeatureUpdate) (metadata.Record, error) {
	level, current := u.MaxVersionLevel, v.img.Features[u.Feature]
	refuse := func(reason string) error {
		return errcode.New(errcode.KindInvalidUpdateVersion, "Invalid update version %d for feature %s. %s", level, u.Feature, reason)
	}
	if u.UpgradeType < upgrade || u.UpgradeType > unsafeDowngrade {
		return nil, refuse("The controller does not support the given upgrade type.")
	}
	if level < 0 {
		return nil, refuse("A feature version cannot be less than 0.")
	}
	if reason := d.unsupported(v, u.Feature, level); reason != "" {
		return nil, refuse(reason)
	}
	if _, ok := d.features[u.Feature]; !ok { // level 0 of a feature that nobody has
		return nil, refuse(fmt.Sprintf("Feature %s not found.", u.Feature))
	}
	switch {
	case level < current && u.UpgradeType == upgrade:
		return nil, refuse("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.")
	case level > current && u.UpgradeType != upgrade:
		return nil, refuse("Can't downgrade to a newer version.")
	}
	if u.Feature == KRaftVersion && level < current {
		return nil, refuse("Can't downgrade the version of this feature.")
	}
	if u.Feature == MetadataVersion && level < current {
		if err := checkDowngrade(current, level, u.UpgradeType); err != nil {
			return nil, err
		}
	}
	return &metadata.FeatureLevelRecord{Name: u.Feature, Level: level}, nil
}

// checkDowngrade refuses to go below a level that brought new metadata.
func checkDowngrade(from, to int16, upgradeType int8) error {
	for level := to + 1; level <= from; level++ {
		if !metadataChanged(level) {
			continue
		}
		reason := "Refusing to perform the requested downgrade because it might delete metadata information."
		if upgradeType == unsafeDowngrade {
			reason = "Unsafe metadata downgrade is not supported in this version."
		}
		return errcode.New(errcode.KindInvalidUpdateVersion, "Unsupported metadata.version downgrade from %d to %d. %s", from, to, reason)
	}
	return nil
}

// unsupported says which node does not support a feature at a level, or "".
func (d *decider) unsupported(v *view, feature string, level int16) string {
	check := func(who string, r image.FeatureRange) string {
		switch {
		case level >= r.Min && level <= r.Max:
			return ""
		case r.Max == 0:
			return who + " does not support this feature."
		default:
			return fmt.Sprintf("%s only supports versions %s", who, formatRange(r))
		}
	}
	if reason := check(fmt.Sprintf("Local controller %d", d.nodeID), d.features[feature]); reason != "" {
		return reason
	}
	for _, id := range slices.Sorted(maps.Keys(v.img.Brokers)) {
		if v.img.Brokers[id].ByREST() {
			continue // it runs no code of ours
		}
		if reason := check(fmt.Sprintf("Broker %d", id), v.img.Brokers[id].Features[feature]); reason != "" {
			return reason
		}
	}
	for _, id := range slices.Sorted(maps.Keys(v.img.Controllers)) {
		if id == d.nodeID {
			continue
		}
		if reason := check(fmt.Sprintf("Controller %d", id), v.img.Controllers[id].Features[feature]); reason != "" {
			return reason
		}
	}
	return ""
}

// formatRange writes a range as Kafka does: one level alone, both ends, or open upwards.
func formatRange(r image.FeatureRange) string {
	switch {
	case r.Min == r.Max:
		return fmt.Sprint(r.Min)
	case r.Max == math.MaxInt16:
		return fmt.Sprintf("%d+", r.Min)
	default:
		return fmt.Sprintf("%d-%d", r.Min, r.Max)
	}
}
