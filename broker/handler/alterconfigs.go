package handler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// alterResult is the answer for one resource.
type alterResult struct {
	code    int16
	message *string
}

func failed(err error) alterResult {
	return alterResult{code: errcode.Of(err), message: errcode.Message(err)}
}

// alter answers each resource of a request: those named twice and those that check refuses or finishes by itself are
// answered here, the rest by commit, which is given their indexes (Kafka's ConfigAdminManager).
func alter(resources []image.Resource, check func(i int) (finished bool, err error), commit func(rest []int) (map[image.Resource]alterResult, error)) ([]alterResult, error) {
	count := make(map[image.Resource]int, len(resources))
	for _, r := range resources {
		count[r]++
	}
	results := make([]alterResult, len(resources))
	var rest []int
	for i, r := range resources {
		if count[r] > 1 {
			results[i] = failed(errcode.New(errcode.KindInvalidRequest, "Each resource must appear at most once."))
			continue
		}
		switch finished, err := check(i); {
		case err != nil:
			results[i] = failed(err)
		case !finished:
			rest = append(rest, i)
		}
	}
	if len(rest) == 0 {
		return results, nil
	}
	committed, err := commit(rest)
	if err != nil {
		return nil, err
	}
	for _, i := range rest {
		results[i] = committed[resources[i]]
	}
	return results, nil
}

// serveIncrementalAlterConfigs checks what only this broker can check, sets log levels, and has the controller commit
// the rest.
//
// IncrementalAlterConfigs: v0-v1
//
// Behaviour: a resource named twice fails on both entries; duplicate keys and null values are refused; a broker resource
// must be empty or this broker's id, its keys dynamic ones, and the configuration it would give a sound one.
func (h *Handler) serveIncrementalAlterConfigs(ctx context.Context, _ *listener.Request, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	img := h.images.Image()
	resources := make([]image.Resource, len(req.Resources))
	for i := range req.Resources {
		resources[i] = image.Resource{Type: int8(req.Resources[i].ResourceType), Name: req.Resources[i].ResourceName}
	}
	results, err := alter(resources,
		func(i int) (bool, error) { return h.checkIncremental(img, &req.Resources[i], req.ValidateOnly) },
		func(rest []int) (map[image.Resource]alterResult, error) {
			forwarded := kmsg.NewPtrIncrementalAlterConfigsRequest()
			forwarded.Version, forwarded.ValidateOnly = req.Version, req.ValidateOnly
			for _, i := range rest {
				forwarded.Resources = append(forwarded.Resources, req.Resources[i])
			}
			return h.commitIncremental(ctx, forwarded)
		})
	if err != nil {
		return errorResponse(req, err, "")
	}
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	for i, r := range results {
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ErrorCode, out.ErrorMessage = r.code, r.message
		out.ResourceType, out.ResourceName = req.Resources[i].ResourceType, req.Resources[i].ResourceName
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

func (h *Handler) commitIncremental(ctx context.Context, req *kmsg.IncrementalAlterConfigsRequest) (map[image.Resource]alterResult, error) {
	answer, err := h.controller.Handle(ctx, req)
	if err != nil {
		return nil, err
	}
	resp, ok := answer.(*kmsg.IncrementalAlterConfigsResponse)
	if !ok {
		return nil, fmt.Errorf("controller answered IncrementalAlterConfigs with %T", answer)
	}
	out := make(map[image.Resource]alterResult, len(resp.Resources))
	for _, r := range resp.Resources {
		out[image.Resource{Type: int8(r.ResourceType), Name: r.ResourceName}] = alterResult{r.ErrorCode, r.ErrorMessage}
	}
	return out, nil
}

// checkIncremental checks one resource; finished means that nothing is left for the controller.
func (h *Handler) checkIncremental(img *image.Image, in *kmsg.IncrementalAlterConfigsRequestResource, validateOnly bool) (finished bool, err error) {
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
			return false, err
		}
		return true, h.alterLoggers(in, validateOnly)
	case kmsg.ConfigResourceTypeBroker:
		next := maps.Clone(img.Configs[image.Resource{Type: image.ResourceBroker, Name: in.ResourceName}])
		if next == nil {
			next = make(map[string]string, len(in.Configs))
		}
		for i := range in.Configs {
			switch c := &in.Configs[i]; c.Op {
			case kmsg.IncrementalAlterConfigOpDelete:
				delete(next, c.Name)
			case kmsg.IncrementalAlterConfigOpSet:
				next[c.Name] = *c.Value
			default: // the controller knows which keys are lists
			}
		}
		return false, h.checkBrokerConfig(img, in.ResourceName, next)
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

// checkBrokerConfig checks the complete new dynamic configuration of this broker, or of the cluster-wide default.
func (h *Handler) checkBrokerConfig(img *image.Image, name string, configs map[string]string) error {
	if name != "" {
		if err := h.checkOwnID(name, ""); err != nil {
			return err
		}
	}
	return h.config.ValidateBroker(configs, name != "", h.dynamic(img))
}

var logLevels = []string{"DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"}

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
			if !slices.Contains(logLevels, *c.Value) {
				return errcode.New(errcode.KindInvalidConfig, "Cannot set the log level of %s to %s as it is not a supported log level. Valid log levels are %s",
					c.Name, *c.Value, strings.Join(logLevels, ", "))
			}
		case kmsg.IncrementalAlterConfigOpDelete:
		default:
			return errcode.New(errcode.KindInvalidRequest, "%s operation is not allowed for the BROKER_LOGGER resource", strings.ToUpper(c.Op.String()))
		}
	}
	if validateOnly {
		return nil
	}
	for i := range in.Configs {
		c := &in.Configs[i]
		set := func() error { return h.logLevels.ResetLevel(c.Name) }
		if c.Op == kmsg.IncrementalAlterConfigOpSet {
			set = func() error { return h.logLevels.SetLevel(c.Name, *c.Value) }
		}
		if err := set(); err != nil {
			return fmt.Errorf("set the level of logger %s: %w", c.Name, err)
		}
	}
	return nil
}

// serveAlterConfigs replaces the whole configuration of each resource; clients have long preferred
// IncrementalAlterConfigs.
//
// AlterConfigs: v0-v2
func (h *Handler) serveAlterConfigs(ctx context.Context, _ *listener.Request, req *kmsg.AlterConfigsRequest) kmsg.Response {
	img := h.images.Image()
	resources := make([]image.Resource, len(req.Resources))
	for i := range req.Resources {
		resources[i] = image.Resource{Type: int8(req.Resources[i].ResourceType), Name: req.Resources[i].ResourceName}
	}
	results, err := alter(resources,
		func(i int) (bool, error) { return false, h.checkAlter(img, &req.Resources[i]) },
		func(rest []int) (map[image.Resource]alterResult, error) {
			forwarded := kmsg.NewPtrAlterConfigsRequest()
			forwarded.Version, forwarded.ValidateOnly = req.Version, req.ValidateOnly
			for _, i := range rest {
				forwarded.Resources = append(forwarded.Resources, req.Resources[i])
			}
			return h.commitAlter(ctx, forwarded)
		})
	if err != nil {
		return errorResponse(req, err, "")
	}
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	for i, r := range results {
		out := kmsg.NewAlterConfigsResponseResource()
		out.ErrorCode, out.ErrorMessage = r.code, r.message
		out.ResourceType, out.ResourceName = req.Resources[i].ResourceType, req.Resources[i].ResourceName
		resp.Resources = append(resp.Resources, out)
	}
	return resp
}

func (h *Handler) commitAlter(ctx context.Context, req *kmsg.AlterConfigsRequest) (map[image.Resource]alterResult, error) {
	answer, err := h.controller.Handle(ctx, req)
	if err != nil {
		return nil, err
	}
	resp, ok := answer.(*kmsg.AlterConfigsResponse)
	if !ok {
		return nil, fmt.Errorf("controller answered AlterConfigs with %T", answer)
	}
	out := make(map[image.Resource]alterResult, len(resp.Resources))
	for _, r := range resp.Resources {
		out[image.Resource{Type: int8(r.ResourceType), Name: r.ResourceName}] = alterResult{r.ErrorCode, r.ErrorMessage}
	}
	return out, nil
}

func (h *Handler) checkAlter(img *image.Image, in *kmsg.AlterConfigsRequestResource) error {
	var names, nulls []string
	next := make(map[string]string, len(in.Configs))
	for i := range in.Configs {
		c := &in.Configs[i]
		names = append(names, c.Name)
		if c.Value == nil {
			nulls = append(nulls, c.Name)
			continue
		}
		next[c.Name] = *c.Value
	}
	if err := checkNames(names, nulls); err != nil {
		return err
	}
	switch in.ResourceType {
	case kmsg.ConfigResourceTypeBroker:
		return h.checkBrokerConfig(img, in.ResourceName, next)
	case kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig:
		return nil
	default:
		return errcode.New(errcode.KindInvalidRequest, "Unknown resource type %d", in.ResourceType)
	}
}
