package handler

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// LogLevels is how the BROKER_LOGGER resource reaches the process's logger (KIP-412). Level names are Kafka's.
type LogLevels interface {
	Levels() map[string]string
	SetLevel(logger, level string) error
	// ResetLevel gives the logger the level that it started with.
	ResetLevel(logger string) error
}

// serveDescribeConfigs answers DescribeConfigs from the image at hand and the configuration table.
//
// DescribeConfigs: v1-v4
//
// Behaviour:
//   - resources TOPIC, BROKER (this broker's id, or empty for the cluster-wide default), BROKER_LOGGER, CLIENT_METRICS
//     and GROUP; each fails by itself
//   - null config names mean all
//
// Version notes: v1 synonyms and sources, v3 types and documentation.
func (h *Handler) serveDescribeConfigs(_ context.Context, _ *listener.Request, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	img := h.images.Image()
	for i := range req.Resources {
		in := &req.Resources[i]
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = in.ResourceType, in.ResourceName
		opts := config.DescribeOptions{Names: in.ConfigNames, Synonyms: req.IncludeSynonyms, Docs: req.IncludeDocumentation && req.Version >= 3}
		entries, err := h.describeResource(img, in, opts)
		if err != nil {
			out.ErrorCode, out.ErrorMessage = errcode.Of(err), errcode.Message(err)
		}
		out.Configs = entries
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

func (h *Handler) describeResource(img *image.Image, in *kmsg.DescribeConfigsRequestResource, o config.DescribeOptions) ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	overrides := img.Configs[image.Resource{Type: int8(in.ResourceType), Name: in.ResourceName}]
	switch in.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if err := protocol.ValidateTopicName(in.ResourceName); err != nil {
			return nil, err
		}
		if img.Topic(in.ResourceName) == nil {
			return nil, kerr.UnknownTopicOrPartition
		}
		return h.config.DescribeTopic(overrides, h.dynamic(img), o), nil
	case kmsg.ConfigResourceTypeBroker:
		if in.ResourceName == "" {
			return h.config.DescribeClusterDefault(h.dynamic(img), o), nil
		}
		if err := h.checkOwnID(in.ResourceName, " or empty string"); err != nil {
			return nil, err
		}
		return h.config.DescribeBroker(h.dynamic(img), o), nil
	case kmsg.ConfigResourceTypeBrokerLogger:
		if in.ResourceName == "" {
			return nil, errcode.New(errcode.KindInvalidRequest, "Broker id must not be empty")
		}
		if err := h.checkOwnID(in.ResourceName, ""); err != nil {
			return nil, err
		}
		return h.describeLoggers(o), nil
	case kmsg.ConfigResourceTypeClientMetrics:
		if in.ResourceName == "" {
			return nil, errcode.New(errcode.KindInvalidRequest, "Client metrics subscription name must not be empty")
		}
		return h.config.DescribeClientMetrics(overrides, o), nil
	case kmsg.ConfigResourceTypeGroupConfig:
		if in.ResourceName == "" {
			return nil, errcode.New(errcode.KindInvalidRequest, "Group name must not be empty")
		}
		return h.config.DescribeGroup(overrides, h.dynamic(img), o), nil
	default:
		return nil, errcode.New(errcode.KindInvalidRequest, "Unexpected resource type %d for resource %s", in.ResourceType, in.ResourceName)
	}
}

// dynamic returns the dynamic configuration that applies to this broker.
func (h *Handler) dynamic(img *image.Image) config.Dynamic {
	return config.Dynamic{
		Broker:  img.Configs[image.Resource{Type: image.ResourceBroker, Name: strconv.Itoa(int(h.nodeID))}],
		Cluster: img.Configs[image.Resource{Type: image.ResourceBroker}],
	}
}

// checkOwnID refuses the name of a broker resource that is not this node's id.
func (h *Handler) checkOwnID(name, alternative string) error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return errcode.New(errcode.KindInvalidRequest, "Broker id must be an integer, but it is: %s", name)
	}
	if id != int64(h.nodeID) {
		return errcode.New(errcode.KindInvalidRequest, "Unexpected broker id, expected %d%s, but received %s", h.nodeID, alternative, name)
	}
	return nil
}

func (h *Handler) describeLoggers(o config.DescribeOptions) []kmsg.DescribeConfigsResponseResourceConfig {
	levels := h.logLevels.Levels()
	names := make([]string, 0, len(levels))
	for name := range levels {
		if o.Names == nil || slices.Contains(o.Names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := make([]kmsg.DescribeConfigsResponseResourceConfig, 0, len(names))
	for _, name := range names {
		e := kmsg.NewDescribeConfigsResponseResourceConfig()
		e.Name, e.Value = name, kmsg.StringPtr(levels[name])
		e.Source = kmsg.ConfigSourceDynamicBrokerLoggerConfig
		out = append(out, e)
	}
	return out
}

// serveListConfigResources lists what carries configuration.
//
// ListConfigResources: v0-v1
//
// Version notes: v0 knows CLIENT_METRICS only (as ListClientMetricsResources); v1 filters by type, no types mean all
// (KIP-1142).
func (h *Handler) serveListConfigResources(_ context.Context, r *listener.Request, req *kmsg.ListConfigResourcesRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	supported := []int8{image.ResourceGroup, image.ResourceClientMetrics, image.ResourceBrokerLogger, image.ResourceBroker, image.ResourceTopic}
	if req.Version == 0 {
		supported = []int8{image.ResourceClientMetrics}
	}
	wanted := supported
	if len(req.ResourceTypes) > 0 {
		wanted = req.ResourceTypes
	}
	for _, t := range wanted {
		if !slices.Contains(supported, t) {
			resp.ErrorCode = kerr.UnsupportedVersion.Code
			return resp
		}
	}
	img := h.images.Image()
	add := func(t int8, names []string) {
		if !slices.Contains(wanted, t) {
			return
		}
		for _, name := range names {
			e := kmsg.NewListConfigResourcesResponseConfigResource()
			e.Name, e.Type = name, t
			resp.ConfigResources = append(resp.ConfigResources, e)
		}
	}
	brokers := brokerNames(img, r.Conn.ListenerName)
	add(image.ResourceGroup, configured(img, image.ResourceGroup))
	add(image.ResourceClientMetrics, configured(img, image.ResourceClientMetrics))
	add(image.ResourceBrokerLogger, brokers)
	add(image.ResourceBroker, brokers)
	add(image.ResourceTopic, sortedTopics(img))
	return resp
}

func configured(img *image.Image, t int8) []string {
	var names []string
	for r := range img.Configs {
		if r.Type == t {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}

func brokerNames(img *image.Image, listenerName string) []string {
	nodes := brokerNodes(img, listenerName, true)
	names := make([]string, len(nodes))
	for i := range nodes {
		names[i] = itoa(int(nodes[i].NodeID))
	}
	return names
}

// serveIncrementalAlterConfigs checks what only this broker can check, sets log levels, and has the controller commit
// the rest.
//
// IncrementalAlterConfigs: v0-v1
//
// Behaviour (Kafka's ConfigAdminManager): a resource named twice fails on both entries; duplicate keys and null values
// are refused; a broker resource must be empty or this broker's id and its keys must be dynamic ones.
func (h *Handler) serveIncrementalAlterConfigs(ctx context.Context, r *listener.Request, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	img := h.images.Image()
	count := make(map[image.Resource]int)
	for i := range req.Resources {
		count[image.Resource{Type: int8(req.Resources[i].ResourceType), Name: req.Resources[i].ResourceName}]++
	}
	forwarded := kmsg.NewPtrIncrementalAlterConfigsRequest()
	forwarded.Version, forwarded.ValidateOnly = req.Version, req.ValidateOnly
	results := make(map[image.Resource]error) // of those that are not forwarded
	for i := range req.Resources {
		in := &req.Resources[i]
		id := image.Resource{Type: int8(in.ResourceType), Name: in.ResourceName}
		if count[id] > 1 {
			results[id] = errcode.New(errcode.KindInvalidRequest, "Each resource must appear at most once.")
			continue
		}
		done, err := h.checkIncremental(img, in, req.ValidateOnly)
		if done || err != nil {
			results[id] = err
			continue
		}
		forwarded.Resources = append(forwarded.Resources, *in)
	}
	committed := make(map[image.Resource]kmsg.IncrementalAlterConfigsResponseResource)
	if len(forwarded.Resources) > 0 {
		answer, err := h.controller.Handle(ctx, forwarded)
		if err != nil {
			return errorResponse(req, err, "")
		}
		for _, out := range answer.(*kmsg.IncrementalAlterConfigsResponse).Resources {
			committed[image.Resource{Type: int8(out.ResourceType), Name: out.ResourceName}] = out
		}
	}
	for i := range req.Resources {
		in := &req.Resources[i]
		id := image.Resource{Type: int8(in.ResourceType), Name: in.ResourceName}
		out, ok := committed[id]
		if !ok {
			out = kmsg.NewIncrementalAlterConfigsResponseResource()
			out.ErrorCode, out.ErrorMessage = errcode.Of(results[id]), errcode.Message(results[id])
			out.ResourceType, out.ResourceName = in.ResourceType, in.ResourceName
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

// checkIncremental checks one resource; done means that nothing is left for the controller.
func (h *Handler) checkIncremental(img *image.Image, in *kmsg.IncrementalAlterConfigsRequestResource, validateOnly bool) (done bool, err error) {
	var names, nulls []string
	for i := range in.Configs {
		c := &in.Configs[i]
		names = append(names, c.Name)
		if c.Op != kmsg.IncrementalAlterConfigOpDelete && c.Value == nil {
			nulls = append(nulls, c.Name)
		}
	}
	if err := checkNames(names, nulls); err != nil {
		return false, err
	}
	switch in.ResourceType {
	case kmsg.ConfigResourceTypeBrokerLogger:
		if err := h.checkOwnID(in.ResourceName, ""); err != nil {
			return true, err
		}
		return true, h.alterLoggers(in, validateOnly)
	case kmsg.ConfigResourceTypeBroker:
		if in.ResourceName != "" {
			if err := h.checkOwnID(in.ResourceName, ""); err != nil {
				return false, err
			}
		}
		for i := range in.Configs {
			c := &in.Configs[i]
			if c.Value == nil {
				continue
			}
			if err := h.checkBrokerConfig(c.Name, *c.Value, in.ResourceName != ""); err != nil {
				return false, err
			}
		}
		return false, nil
	case kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig:
		return false, nil
	default:
		return false, errcode.New(errcode.KindInvalidRequest, "Unknown resource type %d", in.ResourceType)
	}
}

func checkNames(names, nulls []string) error {
	slices.Sort(names)
	if len(slices.Compact(slices.Clone(names))) != len(names) {
		return errcode.New(errcode.KindInvalidRequest, "Error due to duplicate config keys")
	}
	if len(nulls) > 0 {
		return errcode.New(errcode.KindInvalidRequest, "Null value not supported for : %s", strings.Join(nulls, ", "))
	}
	return nil
}

// checkBrokerConfig validates a dynamic broker property. Kafka answers INVALID_REQUEST here (KAFKA-13609).
func (h *Handler) checkBrokerConfig(name, value string, perBroker bool) error {
	if err := h.config.Schema().ValidateBroker(name, value, perBroker); err != nil {
		return errcode.New(errcode.KindInvalidRequest, "%s", err.Error())
	}
	return nil
}

// alterLoggers sets log levels; all changes are checked before the first is made.
func (h *Handler) alterLoggers(in *kmsg.IncrementalAlterConfigsRequestResource, validateOnly bool) error {
	levels := h.logLevels.Levels()
	for i := range in.Configs {
		c := &in.Configs[i]
		if _, ok := levels[c.Name]; !ok {
			return errcode.New(errcode.KindInvalidConfig, "Logger %s does not exist!", c.Name)
		}
		switch c.Op {
		case kmsg.IncrementalAlterConfigOpSet:
			if !slices.Contains([]string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}, *c.Value) {
				return errcode.New(errcode.KindInvalidConfig, "Cannot set the log level of %s to %s as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN", c.Name, *c.Value)
			}
		case kmsg.IncrementalAlterConfigOpDelete:
		default:
			return errcode.New(errcode.KindInvalidRequest, "%s operation is not allowed for the BROKER_LOGGER resource", opName(c.Op))
		}
	}
	if validateOnly {
		return nil
	}
	for i := range in.Configs {
		c := &in.Configs[i]
		err := error(nil)
		if c.Op == kmsg.IncrementalAlterConfigOpSet {
			err = h.logLevels.SetLevel(c.Name, *c.Value)
		} else {
			err = h.logLevels.ResetLevel(c.Name)
		}
		if err != nil {
			return fmt.Errorf("set the level of logger %s: %w", c.Name, err)
		}
	}
	return nil
}

func opName(op kmsg.IncrementalAlterConfigOp) string {
	switch op {
	case kmsg.IncrementalAlterConfigOpAppend:
		return "APPEND"
	case kmsg.IncrementalAlterConfigOpSubtract:
		return "SUBTRACT"
	default:
		return "Unknown"
	}
}

// serveAlterConfigs replaces the whole configuration of each resource; clients have long preferred
// IncrementalAlterConfigs.
//
// AlterConfigs: v0-v2
func (h *Handler) serveAlterConfigs(ctx context.Context, _ *listener.Request, req *kmsg.AlterConfigsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	count := make(map[image.Resource]int)
	for i := range req.Resources {
		count[image.Resource{Type: int8(req.Resources[i].ResourceType), Name: req.Resources[i].ResourceName}]++
	}
	forwarded := kmsg.NewPtrAlterConfigsRequest()
	forwarded.Version, forwarded.ValidateOnly = req.Version, req.ValidateOnly
	results := make(map[image.Resource]error)
	for i := range req.Resources {
		in := &req.Resources[i]
		id := image.Resource{Type: int8(in.ResourceType), Name: in.ResourceName}
		err := error(nil)
		if count[id] > 1 {
			err = errcode.New(errcode.KindInvalidRequest, "Each resource must appear at most once.")
		} else {
			err = h.checkAlter(in)
		}
		if err != nil {
			results[id] = err
			continue
		}
		forwarded.Resources = append(forwarded.Resources, *in)
	}
	committed := make(map[image.Resource]kmsg.AlterConfigsResponseResource)
	if len(forwarded.Resources) > 0 {
		answer, err := h.controller.Handle(ctx, forwarded)
		if err != nil {
			return errorResponse(req, err, "")
		}
		for _, out := range answer.(*kmsg.AlterConfigsResponse).Resources {
			committed[image.Resource{Type: int8(out.ResourceType), Name: out.ResourceName}] = out
		}
	}
	for i := range req.Resources {
		in := &req.Resources[i]
		id := image.Resource{Type: int8(in.ResourceType), Name: in.ResourceName}
		out, ok := committed[id]
		if !ok {
			out = kmsg.NewAlterConfigsResponseResource()
			out.ErrorCode, out.ErrorMessage = errcode.Of(results[id]), errcode.Message(results[id])
			out.ResourceType, out.ResourceName = in.ResourceType, in.ResourceName
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

func (h *Handler) checkAlter(in *kmsg.AlterConfigsRequestResource) error {
	var names, nulls []string
	for i := range in.Configs {
		names = append(names, in.Configs[i].Name)
		if in.Configs[i].Value == nil {
			nulls = append(nulls, in.Configs[i].Name)
		}
	}
	if err := checkNames(names, nulls); err != nil {
		return err
	}
	switch in.ResourceType {
	case kmsg.ConfigResourceTypeBroker:
		if in.ResourceName != "" {
			if err := h.checkOwnID(in.ResourceName, ""); err != nil {
				return err
			}
		}
		for i := range in.Configs {
			if err := h.checkBrokerConfig(in.Configs[i].Name, *in.Configs[i].Value, in.ResourceName != ""); err != nil {
				return err
			}
		}
		return nil
	case kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig:
		return nil
	default:
		return errcode.New(errcode.KindInvalidRequest, "Unknown resource type %d", in.ResourceType)
	}
}
