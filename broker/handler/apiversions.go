package handler

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// softwareName is what a client's name and version must look like (KIP-511).
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// serveAPIVersions answers ApiVersions with the served table and the feature levels. A version we do not know never
// gets here: the listener answers it in the v0 format with UNSUPPORTED_VERSION.
//
// ApiVersions: v0-v5
//
// Version notes:
//   - v3 client software name and version (KIP-511), features (KIP-584)
//   - below v4, features whose lowest level is 0 are left out: old clients reject a minimum of 0 (KAFKA-17011)
//   - v5 cluster id and node id the client expects; not ours: REBOOTSTRAP_REQUIRED (KIP-1242)
func (h *Handler) serveAPIVersions(_ context.Context, r *listener.Request, req *kmsg.ApiVersionsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	resp.FinalizedFeaturesEpoch = -1
	img := h.images.Image()
	if code := h.checkAPIVersions(img, req); code != 0 {
		resp.ErrorCode = code
		return resp
	}
	if req.Version >= 3 {
		r.Conn.ClientSoftwareName, r.Conn.ClientSoftwareVersion = req.ClientSoftwareName, req.ClientSoftwareVersion
	}
	for _, api := range protocol.APIs() {
		if api.Scope&r.Conn.Scope == 0 {
			continue
		}
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = api.Key, api.AdvertisedMin, api.MaxVersion
		resp.ApiKeys = append(resp.ApiKeys, k)
	}
	resp.SupportedFeatures = supportedFeatures(h.features, req.Version)
	resp.FinalizedFeatures = finalizedFeatures(img)
	resp.FinalizedFeaturesEpoch = img.FeaturesEpoch
	return resp
}

func (h *Handler) checkAPIVersions(img *image.Image, req *kmsg.ApiVersionsRequest) int16 {
	if req.Version >= 5 {
		if (req.ClusterID == nil) != (req.NodeID == -1) {
			return kerr.InvalidRequest.Code
		}
	}
	if req.Version >= 3 && (!softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion)) {
		return kerr.InvalidRequest.Code
	}
	if req.Version >= 5 && req.ClusterID != nil && (*req.ClusterID != img.ClusterID || req.NodeID != int32(h.nodeID)) {
		return kerr.RebootstrapRequired.Code
	}
	return 0
}

func supportedFeatures(features map[string]image.FeatureRange, version int16) []kmsg.ApiVersionsResponseSupportedFeature {
	out := make([]kmsg.ApiVersionsResponseSupportedFeature, 0, len(features))
	for name, levels := range features {
		if version < 4 && levels.Min == 0 {
			continue
		}
		f := kmsg.NewApiVersionsResponseSupportedFeature()
		f.Name, f.MinVersion, f.MaxVersion = name, levels.Min, levels.Max
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b kmsg.ApiVersionsResponseSupportedFeature) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func finalizedFeatures(img *image.Image) []kmsg.ApiVersionsResponseFinalizedFeature {
	out := make([]kmsg.ApiVersionsResponseFinalizedFeature, 0, len(img.Features))
	for name, level := range img.Features {
		f := kmsg.NewApiVersionsResponseFinalizedFeature()
		f.Name, f.MinVersionLevel, f.MaxVersionLevel = name, level, level
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b kmsg.ApiVersionsResponseFinalizedFeature) int { return strings.Compare(a.Name, b.Name) })
	return out
}
