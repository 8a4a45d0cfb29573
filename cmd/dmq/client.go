package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// connectTimeout is how long one attempt to connect may take.
const connectTimeout = 5 * time.Second

// client connects to the cluster, so that a wrong address is told at once and in words. The caller closes it.
func (a *app) client(ctx context.Context, opts ...kgo.Opt) (*kgo.Client, error) {
	seeds, err := a.seeds()
	if err != nil {
		return nil, err
	}
	timeout := time.Duration(a.timeout)
	dialer := &net.Dialer{Timeout: min(connectTimeout, timeout)}
	all := append([]kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.ClientID("dmq"), kgo.SoftwareNameAndVersion("dmq", softwareVersion()),
		kgo.Dialer(dialer.DialContext), kgo.RetryTimeout(timeout), kgo.RequestTimeoutOverhead(timeout), kgo.MetadataMinAge(100 * time.Millisecond),
	}, opts...)
	cl, err := kgo.NewClient(all...)
	if err != nil {
		return nil, usage("", "%s", err)
	}
	pingCtx, cancel := context.WithTimeout(ctx, min(connectTimeout, timeout))
	defer cancel()
	if err := cl.Ping(pingCtx); err != nil {
		cl.Close()
		return nil, a.unreachable(ctx, seeds, err)
	}
	return cl, nil
}

// seeds splits --brokers.
func (a *app) seeds() ([]string, error) {
	var out []string
	for s := range strings.SplitSeq(a.brokers, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(s); err != nil {
			if strings.Contains(s, "]") || !strings.Contains(s, ":") {
				s = net.JoinHostPort(strings.Trim(s, "[]"), "9092")
			} else {
				return nil, usage("write --brokers host:9092", "%q is not a broker's address", s)
			}
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, usage("write --brokers host:9092, or set DMQ_BROKERS", "no brokers are given")
	}
	return out, nil
}

// softwareVersion is the version in the form ApiVersions accepts: letters, digits, dots and dashes, neither first nor last a dash.
func softwareVersion() string {
	v := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, versionInfo().Version)
	if v = strings.Trim(v, ".-"); v == "" {
		return "dev"
	}
	return v
}

func (a *app) unreachable(ctx context.Context, seeds []string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	why := err.Error()
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		why = fmt.Sprintf("no answer within %s", min(connectTimeout, time.Duration(a.timeout)))
	case errors.As(err, &op):
		why = op.Err.Error()
	}
	return &failure{
		code: codeUnreachable, what: "cannot reach " + strings.Join(seeds, ", "), why: why, cause: err,
		next: "Start a node: dmq serve   Name another: --brokers host:port, or DMQ_BROKERS",
	}
}

// withClient runs do with a client. The context ends when --timeout is over.
func (a *app) withClient(ctx context.Context, do func(context.Context, *kgo.Client) error) error {
	cl, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(a.timeout))
	defer cancel()
	return do(ctx, cl)
}

// admin is withClient for administration.
func (a *app) admin(ctx context.Context, do func(context.Context, *kadm.Client) error) error {
	return a.withClient(ctx, func(ctx context.Context, cl *kgo.Client) error {
		adm := kadm.NewClient(cl)
		adm.SetTimeoutMillis(int32(min(time.Duration(a.timeout), time.Hour) / time.Millisecond))
		return do(ctx, adm)
	})
}

// topicFailure words what went wrong with one topic; for a missing one it looks for a name like it.
func topicFailure(ctx context.Context, adm *kadm.Client, topic string, err error, message string) *failure {
	f := explain(err)
	out := &failure{code: f.code, kafka: f.kafka, what: fmt.Sprintf("topic %q: %s", topic, f.what), why: message, cause: err}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		out.what, out.why = fmt.Sprintf("topic %q not found", topic), ""
		out.next = "List all: dmq topic list"
		if near := nearest(topic, topicNames(ctx, adm)); near != "" {
			out.next = fmt.Sprintf("Did you mean %q?   %s", near, out.next)
		}
	case errors.Is(err, kerr.TopicAlreadyExists):
		out.what, out.why = fmt.Sprintf("topic %q exists already", topic), ""
		out.next = "See it: dmq topic describe " + topic
	case errors.Is(err, kerr.InvalidTopicException):
		out.what = fmt.Sprintf("%q cannot be a topic's name", topic)
	case message != "":
		out.what, out.why = fmt.Sprintf("topic %q: %s", topic, message), ""
	}
	return out
}

// topicNames lists the topics as far as it can be done at once; it is for hints.
func topicNames(ctx context.Context, adm *kadm.Client) []string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	topics, err := adm.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil
	}
	names := topics.Names()
	slices.Sort(names)
	return names
}
