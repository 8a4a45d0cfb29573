package controller

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// configChange is what a request wants of one resource.
type configChange struct {
	resource image.Resource
	set      map[string]*string // by key; nil: remove
	err      error              // found while reading the request
}

// incrementalAlterConfigs decides IncrementalAlterConfigs. Each resource is changed whole or not at all.
func (d *decider) incrementalAlterConfigs(v *view, req *kmsg.IncrementalAlterConfigsRequest) (decision, error) {
	changes := make([]configChange, len(req.Resources))
	for i := range req.Resources {
		r := &req.Resources[i]
		changes[i].resource = image.Resource{Type: int8(r.ResourceType), Name: r.ResourceName}
		changes[i].set, changes[i].err = d.applyOperations(v, changes[i].resource, r.Configs)
	}
	resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
	resp.Version = req.Version
	records, err := d.changeConfigs(v, changes, func(r image.Resource, err error) {
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ErrorCode, out.ErrorMessage = errcode.Of(err), errcode.Message(err)
		out.ResourceType, out.ResourceName = kmsg.ConfigResourceType(r.Type), r.Name
		resp.Resources = append(resp.Resources, out)
	})
	if err != nil {
		return decision{}, err
	}
	if req.ValidateOnly {
		records = nil
	}
	return decision{records: records, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}

// alterConfigs decides AlterConfigs, which replaces all configs of a resource.
func (d *decider) alterConfigs(v *view, req *kmsg.AlterConfigsRequest) (decision, error) {
	changes := make([]configChange, len(req.Resources))
	for i := range req.Resources {
		r := &req.Resources[i]
		changes[i].resource = image.Resource{Type: int8(r.ResourceType), Name: r.ResourceName}
		changes[i].set = make(map[string]*string)
		for name := range v.img.Configs[changes[i].resource] {
			changes[i].set[name] = nil
		}
		for _, c := range r.Configs {
			changes[i].set[c.Name] = c.Value
		}
	}
	resp := kmsg.NewPtrAlterConfigsResponse()
	resp.Version = req.Version
	records, err := d.changeConfigs(v, changes, func(r image.Resource, err error) {
		out := kmsg.NewAlterConfigsResponseResource()
		out.ErrorCode, out.ErrorMessage = errcode.Of(err), errcode.Message(err)
		out.ResourceType, out.ResourceName = kmsg.ConfigResourceType(r.Type), r.Name
		resp.Resources = append(resp.Resources, out)
	})
	if err != nil {
		return decision{}, err
	}
	if req.ValidateOnly {
		records = nil
	}
	return decision{records: records, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}

// applyOperations computes the new value of each key.
func (d *decider) applyOperations(v *view, r image.Resource, configs []kmsg.IncrementalAlterConfigsRequestResourceConfig) (map[string]*string, error) {
	set := make(map[string]*string, len(configs))
	for i := range configs {
		c := &configs[i]
		switch c.Op {
		case kmsg.IncrementalAlterConfigOpSet:
			set[c.Name] = c.Value
		case kmsg.IncrementalAlterConfigOpDelete:
			set[c.Name] = nil
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			value, err := d.changeList(v, r, c)
			if err != nil {
				return nil, err
			}
			set[c.Name] = &value
		default:
			return nil, errcode.New(errcode.KindInvalidRequest, "Unknown operations type %d", int8(c.Op))
		}
	}
	return set, nil
}

// changeList appends the values to a list, or takes them off it.
func (d *decider) changeList(v *view, r image.Resource, c *kmsg.IncrementalAlterConfigsRequestResourceConfig) (string, error) {
	if !d.schema.IsList(r, c.Name) {
		op := "APPEND"
		if c.Op == kmsg.IncrementalAlterConfigOpSubtract {
			op = "SUBTRACT"
		}
		return "", errcode.New(errcode.KindInvalidConfig, "Can't %s to key %s because its type is not LIST.", op, c.Name)
	}
	if c.Value == nil {
		return "", errcode.New(errcode.KindInvalidRequest, "Null value not supported for : %s", c.Name)
	}
	current, ok := v.img.Configs[r][c.Name]
	if !ok {
		cluster := v.img.Configs[image.Resource{Type: image.ResourceBroker}]
		current, _ = d.schema.Default(r, c.Name, cluster)
	}
	var list []string
	for part := range strings.SplitSeq(current, ",") {
		if part != "" {
			list = append(list, part)
		}
	}
	for value := range strings.SplitSeq(*c.Value, ",") {
		at := slices.Index(list, value)
		switch {
		case c.Op == kmsg.IncrementalAlterConfigOpAppend && at < 0:
			list = append(list, value)
		case c.Op == kmsg.IncrementalAlterConfigOpSubtract && at >= 0:
			list = slices.Delete(list, at, at+1)
		}
	}
	return strings.Join(list, ","), nil
}

// changeConfigs decides all resources of a request and reports on each. A resource named twice is refused, once.
func (d *decider) changeConfigs(v *view, changes []configChange, report func(r image.Resource, err error)) ([]metadata.Record, error) {
	count := make(map[image.Resource]int)
	for _, c := range changes {
		count[c.resource]++
	}
	var records []metadata.Record
	for _, c := range changes {
		var err error
		switch n := count[c.resource]; {
		case !knownResource(c.resource.Type):
			err = errcode.New(errcode.KindUnsupportedVersion, "Unknown resource type %d.", c.resource.Type)
		case n == 0:
			continue
		case n > 1:
			count[c.resource] = 0
			err = errcode.New(errcode.KindInvalidRequest, "Duplicate resource.")
		case c.resource.Type == image.ResourceBrokerLogger:
			err = errcode.New(errcode.KindInvalidRequest, "Unexpected resource type %s.", "BROKER_LOGGER")
		default:
			var changed []metadata.Record
			changed, err = d.changeResource(v, c)
			records = append(records, changed...)
		}
		report(c.resource, err)
	}
	if err := checkSize(records); err != nil {
		return nil, err
	}
	return append(records, d.settle(v, records)...), nil
}

// settle makes the records for partitions of which other things hold once these records do: what the ELR is kept for, and
// whether any replica may lead. Where min.insync.replicas rises the partition epoch does as well, in the same command: its leader,
// which may not have heard yet and still commit with fewer, gets no other ISR before it has.
func (d *decider) settle(v *view, records []metadata.Record) []metadata.Record {
	if !slices.ContainsFunc(records, settles) {
		return nil
	}
	b := image.NewBuilder(v.img)
	if err := b.Apply(math.MaxInt64, &metadata.Command{Records: records}); err != nil {
		return nil // it is void, and what it would lead to as well
	}
	next := &view{img: b.Image()}
	raised := make(map[string]bool)
	for name := range next.img.Topics.Keys() {
		switchedOn := v.img.Features[EligibleLeaderReplicas] == 0 // until now every broker had a value of its own
		raised[name] = next.img.Features[EligibleLeaderReplicas] > 0 && (switchedOn || d.policy(next, name).MinISR > d.policy(v, name).MinISR)
	}
	var out []metadata.Record
	for _, at := range next.find(func(p *image.Partition) bool { return true }) {
		p, touched := at.partition(), raised[at.topic.Name]
		if p.Leader != image.NoLeader && len(p.ELR)+len(p.LastKnownELR) == 0 && !touched {
			continue
		}
		r := d.follow(next, at.topic, p, event{left: noNode, joined: noNode, unclean: noNode})
		if r == nil && touched {
			r = &metadata.PartitionChangeRecord{}
		}
		if r != nil {
			r.TopicID, r.Partition = at.topic.ID, int32(at.index)
			out = append(out, r)
		}
	}
	return out
}

// settles reports whether a record changes on what partitions are decided.
func settles(r metadata.Record) bool {
	switch r := r.(type) {
	case *metadata.FeatureLevelRecord:
		return r.Name == EligibleLeaderReplicas
	case *metadata.ConfigRecord:
		switch r.Name {
		case minISRConfig, "unclean.leader.election.enable", "flush.messages", "log.flush.interval.messages":
			return true
		}
	}
	return false
}

const minISRConfig = "min.insync.replicas"

// checkMinISR refuses changes that would let brokers differ about min.insync.replicas: the ELR is right only while all agree.
func checkMinISR(v *view, r image.Resource, name string, value *string) error {
	switch {
	case name != minISRConfig || r.Type != image.ResourceBroker || v.img.Features[EligibleLeaderReplicas] == 0:
		return nil
	case r.Name != "":
		return errcode.New(errcode.KindInvalidConfig, "Broker-level %s cannot be altered while ELR is enabled.", minISRConfig)
	case value == nil:
		return errcode.New(errcode.KindInvalidConfig, "Cluster-level %s cannot be removed while ELR is enabled.", minISRConfig)
	default:
		return nil
	}
}

func knownResource(t int8) bool {
	switch t {
	case image.ResourceTopic, image.ResourceBroker, image.ResourceBrokerLogger, image.ResourceClientMetrics, image.ResourceGroup:
		return true
	default:
		return false
	}
}

// changeResource decides one resource.
func (d *decider) changeResource(v *view, c configChange) ([]metadata.Record, error) {
	if c.err != nil {
		return nil, c.err
	}
	current := v.img.Configs[c.resource]
	next := maps.Clone(current)
	if next == nil {
		next = make(map[string]string)
	}
	var records []metadata.Record
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(c.set)) {
		value := c.set[name]
		old, had := current[name]
		// A broker's key is written again even if its value stays: it makes the brokers load what it names anew, such as a
		// key store.
		if same := value == nil && !had || value != nil && had && *value == old; same && c.resource.Type != image.ResourceBroker {
			continue
		}
		if err := checkMinISR(v, c.resource, name, value); err != nil {
			return nil, err
		}
		if value == nil {
			delete(next, name)
		} else {
			if len(*value) > math.MaxInt16 {
				return nil, errcode.New(errcode.KindInvalidConfig,
					"The configuration value cannot be added because it exceeds the maximum value size of %d bytes.", math.MaxInt16)
			}
			next[name] = *value
			changed = append(changed, name)
		}
		records = append(records, &metadata.ConfigRecord{ResourceType: c.resource.Type, ResourceName: c.resource.Name, Name: name, Value: value})
	}
	if err := d.validateConfigs(c.resource, next, changed); err != nil {
		return nil, err
	}
	if err := d.checkExists(v, c.resource); err != nil {
		return nil, err
	}
	return records, nil
}

// validateConfigs checks all overrides a resource would have.
func (d *decider) validateConfigs(r image.Resource, configs map[string]string, changed []string) error {
	err := d.schema.Validate(r, configs, changed)
	if err != nil && errcode.KindOf(err) == errcode.KindUnknown {
		return &errcode.Error{Kind: errcode.KindInvalidConfig, Msg: err.Error(), Err: err}
	}
	return err
}

func (d *decider) checkExists(v *view, r image.Resource) error {
	switch r.Type {
	case image.ResourceTopic:
		if v.img.Topics.Get(r.Name) == nil {
			return errcode.New(errcode.KindUnknownTopicOrPartition, "The topic '%s' does not exist.", r.Name)
		}
	case image.ResourceBroker:
		if r.Name == "" {
			return nil
		}
		id, err := strconv.ParseInt(r.Name, 10, 32)
		if err != nil {
			return errcode.New(errcode.KindInvalidRequest, "Invalid broker name %s", r.Name)
		}
		if n := protocol.NodeID(id); v.img.Brokers[n] == nil && v.img.Controllers[n] == nil {
			return &errcode.Error{Kind: errcode.KindBrokerIDNotRegistered, Msg: fmt.Sprintf("No node with id %d found.", id)}
		}
	}
	return nil
}
