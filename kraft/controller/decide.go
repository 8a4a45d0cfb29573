package controller

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// decider is the pure core of the controller: every decision is a function of its fields, the view, the request and the
// time.
type decider struct {
	nodeID      protocol.NodeID
	incarnation protocol.TopicID
	schema      ConfigSchema
	settings    Settings
	features    map[string]image.FeatureRange
	sessions    *sessions
	newID       func() (protocol.TopicID, error)
	directory   func(controller protocol.NodeID) protocol.TopicID // of its metadata log, as far as the quorum knows
}

// decision is the outcome of a request: the records to commit, if any, and the answer once they are.
type decision struct {
	records []metadata.Record
	// respond makes the answer, given the image that includes the records and the position of the last command in it.
	respond func(img *image.Image) kmsg.Response
}

func answered(resp kmsg.Response) decision {
	return decision{respond: func(*image.Image) kmsg.Response { return resp }}
}

// maxRecords is how many records one request of a user may lead to, as in Kafka.
const maxRecords = 10_000

func checkSize(records []metadata.Record) error {
	if len(records) > maxRecords {
		return errcode.New(errcode.KindPolicyViolation, "Unable to perform excessively large batch operation.")
	}
	return nil
}

// decision returns how to decide a request, or nil for one that is none of the controller's.
func (d *decider) decision(req kmsg.Request) func(v *view, now time.Time) (decision, error) {
	switch r := req.(type) {
	case *kmsg.CreateTopicsRequest:
		return func(v *view, now time.Time) (decision, error) { return d.createTopics(v, r, now) }
	case *kmsg.DeleteTopicsRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.deleteTopics(v, r) }
	case *kmsg.CreatePartitionsRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.createPartitions(v, r) }
	case *kmsg.AlterConfigsRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.alterConfigs(v, r) }
	case *kmsg.IncrementalAlterConfigsRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.incrementalAlterConfigs(v, r) }
	case *kmsg.UpdateFeaturesRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.updateFeatures(v, r) }
	case *kmsg.BrokerRegistrationRequest:
		return func(v *view, now time.Time) (decision, error) { return d.registerBroker(v, r, now) }
	case *kmsg.ControllerRegistrationRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.registerController(v, r) }
	case *kmsg.BrokerHeartbeatRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.heartbeat(v, r) }
	case *kmsg.UnregisterBrokerRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.unregisterBroker(v, r) }
	case *kmsg.AlterPartitionRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.alterPartition(v, r) }
	case *kmsg.ElectLeadersRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.electLeaders(v, r) }
	case *kmsg.AlterPartitionAssignmentsRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.alterReassignments(v, r) }
	case *kmsg.ListPartitionReassignmentsRequest:
		return func(v *view, _ time.Time) (decision, error) { return listReassignments(v, r), nil }
	case *kmsg.AssignReplicasToDirsRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.assignDirs(v, r) }
	case *kmsg.AllocateProducerIDsRequest:
		return func(v *view, _ time.Time) (decision, error) { return d.allocateProducerIDs(v, r) }
	default:
		return nil
	}
}
