package controller

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/internal/fault"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// registerBroker decides BrokerRegistration.
func (d *decider) registerBroker(v *view, req *kmsg.BrokerRegistrationRequest, now time.Time) (decision, error) {
	resp := kmsg.NewPtrBrokerRegistrationResponse()
	resp.Version = req.Version
	id := protocol.NodeID(req.BrokerID)
	r, err := d.registration(v, req, now)
	if err != nil {
		resp.ErrorCode = errcode.Of(err)
		resp.BrokerEpoch = -1
		return answered(resp), nil
	}
	var records []metadata.Record
	existing := v.img.Brokers[id]
	if existing != nil && existing.IncarnationID == r.IncarnationID {
		r.Epoch, r.Fenced, r.InControlledShutdown = existing.Epoch, existing.Fenced, existing.InControlledShutdown
		r.CordonedDirs, r.RegisteredAt = existing.CordonedDirs, existing.RegisteredAt
	} else {
		clean := existing != nil && int64(existing.Epoch) == req.PreviousBrokerEpoch
		records = d.restarted(v, r, clean)
	}
	return decision{
		records: append(records, r),
		respond: func(img *image.Image) kmsg.Response {
			if b := img.Brokers[id]; b != nil {
				resp.BrokerEpoch = int64(b.Epoch)
			}
			return resp
		},
	}, nil
}

// registration checks a registration and makes its record, with epoch 0 for the position it will have.
func (d *decider) registration(v *view, req *kmsg.BrokerRegistrationRequest, now time.Time) (*metadata.RegisterBrokerRecord, error) {
	if req.ClusterID != v.img.ClusterID {
		return nil, errcode.New(errcode.KindInconsistentClusterID, "Expected cluster ID %s, but got cluster ID %s", v.img.ClusterID, req.ClusterID)
	}
	id, incarnation := protocol.NodeID(req.BrokerID), protocol.TopicID(req.IncarnationID)
	// A broker of this very process knows that its predecessors are dead: they had the same directories locked.
	if b := v.img.Brokers[id]; b != nil && b.IncarnationID != incarnation && incarnation != d.incarnation && d.sessions.valid(id, b.Epoch, now) {
		return nil, errcode.New(errcode.KindDuplicateBrokerRegistration, "Another broker is registered with that broker id. If the broker "+
			"was recently restarted this should self-resolve once the heartbeat manager expires the broker's session.")
	}
	if req.IsMigratingZkBroker {
		return nil, errcode.New(errcode.KindBrokerIDNotRegistered, "Controller does not support registering ZK brokers.")
	}
	dirs, err := checkLogDirs(v, id, req.LogDirs)
	if err != nil {
		return nil, err
	}
	features, err := checkBrokerFeatures(v, req.Features)
	if err != nil {
		return nil, err
	}
	r := &metadata.RegisterBrokerRecord{
		ID: id, IncarnationID: incarnation, Rack: req.Rack, Fenced: true, LogDirs: dirs, Features: features,
		RegisteredAt: now.UnixMilli(),
	}
	for _, l := range req.Listeners {
		r.Endpoints = append(r.Endpoints, image.Endpoint{Name: l.Name, Host: l.Host, Port: l.Port, SecurityProtocol: l.SecurityProtocol})
	}
	return r, nil
}

func checkLogDirs(v *view, id protocol.NodeID, dirs [][16]byte) ([]protocol.TopicID, error) {
	refuse := func(format string, args ...any) ([]protocol.TopicID, error) {
		return nil, errcode.New(errcode.KindInvalidRegistration, format, args...)
	}
	if len(dirs) == 0 {
		return refuse("No directories specified in request")
	}
	if len(dirs) > maxDirs {
		return refuse("More than %d directories specified in request", maxDirs)
	}
	out := make([]protocol.TopicID, 0, len(dirs))
	for _, raw := range dirs {
		dir := protocol.TopicID(raw)
		if reserved(dir) {
			return refuse("Reserved directory ID in request")
		}
		if slices.Contains(out, dir) {
			return refuse("Duplicate directory ID in request")
		}
		for _, other := range slices.Sorted(maps.Keys(v.img.Brokers)) {
			if other != id && slices.Contains(v.img.Brokers[other].LogDirs, dir) {
				return refuse("Broker %d is already registered with directory %s", other, dir)
			}
		}
		out = append(out, dir)
	}
	return out, nil
}

// checkBrokerFeatures checks that the broker supports every finalized level.
func checkBrokerFeatures(v *view, features []kmsg.BrokerRegistrationRequestFeature) (map[string]image.FeatureRange, error) {
	out := make(map[string]image.FeatureRange, len(features))
	for _, f := range features {
		out[f.Name] = image.FeatureRange{Min: f.MinSupportedVersion, Max: f.MaxSupportedVersion}
	}
	check := func(name string, r image.FeatureRange) error {
		if level := v.img.Features[name]; level < r.Min || level > r.Max {
			return errcode.New(errcode.KindUnsupportedVersion, "Unable to register because the broker does not support finalized version %d of %s. "+
				"The broker wants a version between %d and %d, inclusive.", level, name, r.Min, r.Max)
		}
		return nil
	}
	for _, f := range features {
		if err := check(f.Name, out[f.Name]); err != nil {
			return nil, err
		}
	}
	if _, ok := out[MetadataVersion]; !ok {
		return nil, errcode.New(errcode.KindInvalidRegistration, "Request features do not contain '%s'", MetadataVersion)
	}
	for _, name := range slices.Sorted(maps.Keys(v.img.Features)) {
		if err := check(name, out[name]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// checkEpoch refuses a broker that is not registered under this epoch.
func checkEpoch(v *view, id protocol.NodeID, epoch int64) error {
	b := v.img.Brokers[id]
	if b == nil {
		return errcode.New(errcode.KindStaleBrokerEpoch, "No broker registration found for broker id %d", id)
	}
	if int64(b.Epoch) != epoch {
		return errcode.New(errcode.KindStaleBrokerEpoch, "Expected broker epoch %d, but got broker epoch %d", b.Epoch, epoch)
	}
	return nil
}

// brokerState is what a broker may do.
type brokerState int

const (
	fenced             brokerState = iota // registered, serves nobody
	unfenced                              // serves
	controlledShutdown                    // still serves what nobody else can, until its leaders have moved
	shutdownNow                           // may stop
)

// heartbeat decides BrokerHeartbeat.
func (d *decider) heartbeat(v *view, req *kmsg.BrokerHeartbeatRequest) (decision, error) {
	resp := kmsg.NewPtrBrokerHeartbeatResponse()
	resp.Version = req.Version
	id := protocol.NodeID(req.BrokerID)
	if err := checkEpoch(v, id, req.BrokerEpoch); err != nil {
		resp.ErrorCode = errcode.Of(err)
		return answered(resp), nil
	}
	if err := checkHeartbeat(req); err != nil {
		return decision{}, err
	}
	b := v.img.Brokers[id]
	next := d.nextState(v, b, req)
	d.sessions.reached(id, req.CurrentMetadataOffset)

	var records []metadata.Record
	change := &metadata.BrokerRegistrationChangeRecord{ID: id, Epoch: b.Epoch}
	switch {
	case next == unfenced && b.Fenced:
		change.Fenced = new(false)
		records = append([]metadata.Record{change}, d.with(v, id)...)
	case (next == fenced || next == shutdownNow) && !b.Fenced:
		records = d.fence(v, b)
	case next == controlledShutdown && !b.InControlledShutdown:
		change.InControlledShutdown = new(true)
		records = append([]metadata.Record{change}, d.without(v, id)...)
	}
	records = append(records, d.dirsOffline(v, b, req.OfflineLogDirs, len(records) > 0)...)
	if cordonsChange(b, req) {
		records = append(records, &metadata.BrokerRegistrationChangeRecord{ID: id, Epoch: b.Epoch, CordonedDirs: cordons(b, req)})
	}

	resp.IsCaughtUp = req.CurrentMetadataOffset >= int64(b.Epoch)
	resp.IsFenced = next == fenced || next == shutdownNow
	resp.ShouldShutdown = next == shutdownNow
	return decision{
		records: records,
		respond: func(img *image.Image) kmsg.Response {
			if next == controlledShutdown {
				d.sessions.beginShutdown(id, img.Version)
			}
			if next == shutdownNow {
				d.sessions.end(id, b.Epoch) // its next incarnation need not wait for the session timeout
			}
			return resp
		},
	}, nil
}

// checkHeartbeat refuses one that names more directories than a broker may have.
func checkHeartbeat(req *kmsg.BrokerHeartbeatRequest) error {
	if len(req.OfflineLogDirs) > maxDirs || len(req.CordonedLogDirs) > maxDirs {
		return errcode.New(errcode.KindInvalidRequest, "a heartbeat names more than %d directories", maxDirs)
	}
	return nil
}

// nextState is what becomes of a broker that sent this heartbeat:
//
//	fenced               wants to stop → shutdownNow; wants to serve and has applied its registration → unfenced
//	unfenced             wants to be fenced → fenced (shutdownNow if it wants to stop too); wants to stop → controlledShutdown
//	                     while it leads something, else shutdownNow
//	controlledShutdown   leads nothing any more and every active broker knows → shutdownNow
func (d *decider) nextState(v *view, b *image.Broker, req *kmsg.BrokerHeartbeatRequest) brokerState {
	offset, shuttingDown := d.sessions.shutdownOffset(b.ID)
	switch {
	case shuttingDown:
		if v.leaders[b.ID] > 0 || offset > d.sessions.lowestActive(v.img) {
			return controlledShutdown
		}
		return shutdownNow
	case b.Fenced:
		switch {
		case req.WantShutdown:
			return shutdownNow
		case !req.WantFence && req.CurrentMetadataOffset >= int64(b.Epoch): // the epoch is the position of the registration
			return unfenced
		default:
			return fenced
		}
	case req.WantFence && req.WantShutdown:
		return shutdownNow
	case req.WantFence:
		return fenced
	case req.WantShutdown && v.leaders[b.ID] > 0:
		return controlledShutdown
	case req.WantShutdown:
		return shutdownNow
	default:
		return unfenced
	}
}

// restarted makes the records for what a broker's incarnation before led and was in sync with. One that did not stop cleanly
// is in no ISR and no ELR from here on (I10), and neither is a replica whose directory did not come back.
func (d *decider) restarted(v *view, r *metadata.RegisterBrokerRecord, clean bool) []metadata.Record {
	if v.holders[r.ID] == 0 {
		return nil
	}
	lost := func(p *image.Partition) bool { return !hasDir(r.LogDirs, p.Directory(r.ID)) }
	in := func(p *image.Partition) bool { return slices.Contains(p.ISR, r.ID) || slices.Contains(p.ELR, r.ID) }
	records := d.affected(v, crashed(r.ID), func(p *image.Partition) bool {
		return in(p) && (!clean || lost(p)) && !fault.On(fault.UncleanStaysInISR)
	})
	if !clean {
		return records
	}
	return append(records, d.affected(v, left(r.ID), func(p *image.Partition) bool { return slices.Contains(p.ISR, r.ID) && !lost(p) })...)
}

// fence makes the records that fence a broker.
func (d *decider) fence(v *view, b *image.Broker) []metadata.Record {
	return append(d.without(v, b.ID), &metadata.BrokerRegistrationChangeRecord{ID: b.ID, Epoch: b.Epoch, Fenced: new(true)})
}

// fenceStale decides the end of a session. It returns no records when the broker was heard of after all.
func (d *decider) fenceStale(v *view, id protocol.NodeID, now time.Time) decision {
	b := v.img.Brokers[id]
	if b == nil || b.Fenced || d.sessions.valid(id, b.Epoch, now) {
		return answered(nil)
	}
	return decision{records: d.fence(v, b), respond: func(*image.Image) kmsg.Response { return nil }}
}

// fenceLost decides what becomes of an incarnation whose process is gone.
func (d *decider) fenceLost(v *view, id protocol.NodeID, incarnation protocol.TopicID) decision {
	b := v.img.Brokers[id]
	if b == nil || b.Fenced || b.IncarnationID != incarnation {
		return answered(nil)
	}
	return decision{records: d.fence(v, b), respond: func(*image.Image) kmsg.Response {
		d.sessions.end(id, b.Epoch) // its next incarnation need not wait for the session timeout
		return nil
	}}
}

// unregisterBroker decides UnregisterBroker.
func (d *decider) unregisterBroker(v *view, req *kmsg.UnregisterBrokerRequest) (decision, error) {
	resp := kmsg.NewPtrUnregisterBrokerResponse()
	resp.Version = req.Version
	id := protocol.NodeID(req.BrokerID)
	b := v.img.Brokers[id]
	if b == nil {
		err := errcode.New(errcode.KindBrokerIDNotRegistered, "Broker ID %d is not currently registered", id)
		resp.ErrorCode, resp.ErrorMessage = errcode.Of(err), errcode.Message(err)
		return answered(resp), nil
	}
	records := append(d.without(v, id), &metadata.UnregisterBrokerRecord{ID: id, Epoch: b.Epoch})
	return decision{records: records, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}

// producerIDBlock is how many producer ids a broker gets at a time.
const producerIDBlock = 1000

// allocateProducerIDs decides AllocateProducerIds.
func (d *decider) allocateProducerIDs(v *view, req *kmsg.AllocateProducerIDsRequest) (decision, error) {
	resp := kmsg.NewPtrAllocateProducerIDsResponse()
	resp.Version = req.Version
	id := protocol.NodeID(req.BrokerID)
	err := checkEpoch(v, id, req.BrokerEpoch)
	first := v.img.NextProducerID
	if err == nil && first > math.MaxInt64-producerIDBlock {
		err = errcode.New(errcode.KindUnknown, "Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit")
	}
	if err != nil {
		resp.ErrorCode = errcode.Of(err)
		return answered(resp), nil
	}
	resp.ProducerIDStart, resp.ProducerIDLen = first, producerIDBlock
	r := &metadata.ProducerIDsRecord{BrokerID: id, BrokerEpoch: protocol.BrokerEpoch(req.BrokerEpoch), NextProducerID: first + producerIDBlock}
	return decision{records: []metadata.Record{r}, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}
