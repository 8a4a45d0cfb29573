package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/admin/client"
	"github.com/distributedmq/dmq/protocol"
)

// adminFlag adds --admin-url to a command that can do its work by the admin port, too.
func adminFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("admin-url", "", "go by the admin ports of these nodes instead of --brokers: http://host:9091, comma-separated")
}

// rest runs do with a client of admin ports. The context ends when --timeout is over.
func (a *app) rest(ctx context.Context, urls string, do func(context.Context, *client.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(a.timeout))
	defer cancel()
	cl, err := a.restClient(urls)
	if err != nil {
		return err
	}
	return restFailure(do(ctx, cl))
}

func (a *app) restClient(urls string) (*client.Client, error) {
	var nodes []string
	for u := range strings.SplitSeq(urls, ",") {
		if u = strings.TrimSpace(u); u != "" {
			nodes = append(nodes, u)
		}
	}
	cl, err := client.New(client.Options{Nodes: nodes})
	if err != nil {
		return nil, usage("write --admin-url http://host:9091", "%s", err)
	}
	return cl, nil
}

// restFailure words what an admin port refused.
func restFailure(err error) error {
	var refused *client.Error
	var unreachable *client.UnreachableError
	switch {
	case errors.As(err, new(*failure)): // it has its words
		return err
	case errors.As(err, &unreachable):
		return &failure{code: codeUnreachable, what: "cannot reach " + strings.Join(unreachable.Nodes, ", "), why: unreachable.Err.Error(), next: "Name the admin port of a node: --admin-url http://host:9091", cause: err}
	case !errors.As(err, &refused):
		return err
	}
	f := &failure{code: codeFailed, kafka: refused.Body.ErrorCode, what: refused.Error(), cause: err}
	if ke := namedError(refused.Body.ErrorCode); ke != nil {
		f.code, f.cause = kafkaCode(ke), errors.Join(ke, err)
	}
	if refused.Status == http.StatusServiceUnavailable || refused.Status == http.StatusGatewayTimeout {
		f.code = codeUnreachable
	}
	return f
}

// errorsMost is above the highest of Kafka's error codes.
const errorsMost = 200

// namedError is Kafka's error of a name; nil: it has none.
func namedError(name string) *kerr.Error {
	for code := range int16(errorsMost) {
		if e := kerr.TypedErrorForCode(code); code > 0 && e != nil && e.Message == name {
			return e
		}
	}
	return nil
}

// restTopicFailure is topicFailure for what an admin port answered about one topic.
func restTopicFailure(ctx context.Context, cl *client.Client, topic string, err error) *failure {
	f := explain(restFailure(err))
	if errors.Is(f.cause, kerr.UnknownTopicOrPartition) {
		f.what, f.next = fmt.Sprintf("topic %q not found", topic), "List all: dmq topic list"
		var names []string
		if cl.Any(ctx, http.MethodGet, "/metadata/topics", nil, &names) == nil {
			if near := nearest(topic, names); near != "" {
				f.next = fmt.Sprintf("Did you mean %q?   %s", near, f.next)
			}
		}
	} else if f.kafka != "" {
		f.what = fmt.Sprintf("topic %q: %s", topic, f.what)
	}
	return f
}

func topicPath(name string) string { return "/metadata/topics/" + url.PathEscape(name) }

// createTopicsREST is createTopics by the admin port.
func createTopicsREST(ctx context.Context, a *app, cl *client.Client, names []string, o createOptions) error {
	if o.dryRun {
		return usage("leave out --admin-url", "--dry-run does not go by the admin port")
	}
	configs, err := o.topicConfigs()
	if err != nil {
		return err
	}
	q := api.NewTopic{Config: configs}
	if o.partitions >= 0 {
		q.NumPartitions = new(int64(o.partitions))
	}
	if o.replicas >= 0 {
		q.ReplicationFactor = new(int64(o.replicas))
	}
	var done []createdTopic
	var failures []*failure
	for _, name := range names {
		q.TopicName = name
		var t api.Topic
		err := cl.Lead(ctx, http.MethodPost, "/metadata/topics", q, &t)
		if err == nil {
			done = append(done, createdTopic{t.TopicName, t.TopicID, t.NumPartitions, int16(t.ReplicationFactor), true})
			continue
		}
		f := restTopicFailure(ctx, cl, name, err)
		if o.ifNotExists && errors.Is(f.cause, kerr.TopicAlreadyExists) {
			done = append(done, createdTopic{Name: name})
			continue
		}
		failures = append(failures, f)
	}
	if len(done) > 0 {
		if err := a.print(createdResult(done)); err != nil {
			return err
		}
	}
	return several(len(done), failures)
}

// listTopicsREST is listTopics by the admin port.
func listTopicsREST(ctx context.Context, a *app, cl *client.Client, pattern *regexp.Regexp, internal bool) error {
	var m api.ClusterMetadata
	if err := cl.Any(ctx, http.MethodGet, "/metadata/cluster", nil, &m); err != nil {
		return err
	}
	list := []listedTopic{}
	for i := range m.Topics {
		t := &m.Topics[i]
		lt := listedTopic{
			Name: t.TopicName, ID: t.TopicID, Internal: protocol.InternalTopic(t.TopicName), Partitions: len(t.Partitions), Replicas: int(t.ReplicationFactor),
		}
		for _, p := range t.Partitions {
			if len(p.ISR) < int(t.ReplicationFactor) {
				lt.UnderReplicated++
			}
			if p.Leader < 0 {
				lt.Leaderless++
			}
		}
		if pattern.MatchString(lt.Name) && (internal || !lt.Internal) {
			list = append(list, lt)
		}
	}
	return a.print(listedResult(list))
}

// describeTopicsREST is describeTopics by the admin port.
func describeTopicsREST(ctx context.Context, a *app, cl *client.Client, names []string) error {
	described := []describedTopic{}
	r := result{}
	var failures []*failure
	for _, name := range names {
		var t api.Topic
		if err := cl.Any(ctx, http.MethodGet, topicPath(name), nil, &t); err != nil {
			failures = append(failures, restTopicFailure(ctx, cl, name, err))
			continue
		}
		d := restTopic(&t)
		described = append(described, d)
		r.names, r.table = append(r.names, name), append(r.table, topicGrids(d)...)
	}
	if len(described) > 0 {
		r.value = described
		if err := a.print(r); err != nil {
			return err
		}
	}
	return several(len(described), failures)
}

func restTopic(t *api.Topic) describedTopic {
	out := describedTopic{
		Name: t.TopicName, ID: t.TopicID, Internal: protocol.InternalTopic(t.TopicName), Replicas: int(t.ReplicationFactor),
		Partitions: []describedPartition{}, Configs: []configEntry{},
	}
	for _, p := range t.Partitions {
		d := describedPartition{
			Partition: p.ID, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, Replicas: orEmpty(p.Replicas), InSync: orEmpty(p.ISR), Offline: []int32{},
			LogStartOffset: *cmp.Or(p.StartOffset, new(int64(-1))), HighWatermark: *cmp.Or(p.EndOffset, new(int64(-1))),
		}
		if p.Leader >= 0 {
			d.Replicas = append([]int32{p.Leader}, d.Replicas...)
		}
		out.Partitions = append(out.Partitions, d)
	}
	for key, value := range t.Config {
		out.Configs = append(out.Configs, configEntry{Key: key, Value: &value, Source: "topic"})
	}
	slices.SortFunc(out.Configs, func(x, y configEntry) int { return strings.Compare(x.Key, y.Key) })
	return out
}

// deleteTopicsREST is deleteTopics by the admin port.
func deleteTopicsREST(ctx context.Context, a *app, cl *client.Client, names []string, ifExists bool) error {
	deleted := []string{}
	var failures []*failure
	succeeded := 0
	for _, name := range names {
		err := cl.Lead(ctx, http.MethodDelete, topicPath(name), nil, nil)
		if err == nil {
			deleted = append(deleted, name)
			succeeded++
			continue
		}
		f := restTopicFailure(ctx, cl, name, err)
		if ifExists && errors.Is(f.cause, kerr.UnknownTopicOrPartition) {
			succeeded++
			continue
		}
		failures = append(failures, f)
	}
	return a.printDeleted(deleted, succeeded, failures)
}

// listBrokersREST is list-brokers by the admin port; it shows those that are OFFLINE, too.
func listBrokersREST(ctx context.Context, a *app, cl *client.Client) error {
	var m api.ClusterMetadata
	if err := cl.Any(ctx, http.MethodGet, "/metadata/cluster", nil, &m); err != nil {
		return err
	}
	out := []listedBroker{}
	for i := range m.Brokers {
		b := &m.Brokers[i]
		out = append(out, listedBroker{ID: b.ID, Host: b.Host, Port: b.Port, Rack: b.Rack, Controller: b.ID == m.ControllerLeaderID, Status: b.Status, AdminURL: b.AdminURL})
	}
	return a.print(brokersResult(out))
}
