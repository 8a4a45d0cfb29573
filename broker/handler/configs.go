package handler

import (
	"context"
	"slices"
	"strconv"

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
//   - the error message is empty, not null, when nothing went wrong and for a topic that does not exist, as in Kafka
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
		out.ErrorCode, out.ErrorMessage = errcode.Of(err), describeMessage(err)
		out.Configs = entries
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

// describeMessage is the message of a described resource: Kafka sends an empty one where it has nothing to say.
func describeMessage(err error) *string {
	if err == nil || errcode.KindOf(err) == errcode.KindUnknownTopicOrPartition {
		return new("")
	}
	return errcode.Message(err)
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
		e.Name, e.Value = name, new(levels[name])
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
