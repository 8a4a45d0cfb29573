package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/broker/config"
)

// The exit codes. Scripts rely on them.
const (
	codeOK          = 0
	codeFailed      = 1
	codeUsage       = 2
	codeNotFound    = 3
	codeDenied      = 4
	codeUnhealthy   = 5
	codePartly      = 6
	codeUnreachable = 7
	codeConflict    = 8
	codeInterrupted = 130
	codeBrokenPipe  = 141
	codeTerminated  = 143
)

// failure is an error as the user sees it: what, why and what to do next, in three lines.
type failure struct {
	code  int
	kafka string // Kafka's name of the error, if it has one
	what  string
	why   string // may be empty
	next  string // may be empty
	cause error
}

func (f *failure) Error() string { return f.what }

func (f *failure) Unwrap() error { return f.cause }

// print writes the failure to standard error.
func (f *failure) print(a *app) {
	name := ""
	if f.kafka != "" {
		name = f.kafka + ", "
	}
	a.say("%s %s (%sexit %d)\n", a.paint(a.err, red, "Error:"), printable(f.what), name, f.code)
	for _, text := range []string{f.why, f.next} {
		if text == "" {
			continue
		}
		for line := range strings.SplitSeq(text, "\n") {
			a.say("  %s\n", printable(line))
		}
	}
}

// usage is a mistake on the command line.
func usage(next, format string, args ...any) error {
	return &failure{code: codeUsage, what: fmt.Sprintf(format, args...), next: next}
}

// explain finds the words and the exit code for any error.
func explain(err error) *failure {
	if f := (*failure)(nil); errors.As(err, &f) {
		return f
	}
	var ke *kerr.Error
	var dns *net.DNSError
	var op *net.OpError
	text := err.Error()
	switch {
	case errors.As(err, &ke):
		return &failure{code: kafkaCode(ke), kafka: ke.Message, what: ke.Description, cause: err}
	case errors.Is(err, context.DeadlineExceeded) && text == context.DeadlineExceeded.Error(): // nothing else is known
		return &failure{code: codeUnreachable, what: "no answer in time", next: "See how the cluster is: dmq cluster health   Wait longer: --timeout", cause: err}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &dns), errors.As(err, &op), errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, kgo.ErrClientClosed):
		return &failure{code: codeUnreachable, what: text, cause: err}
	case strings.HasPrefix(text, "unknown command"), strings.HasPrefix(text, "accepts "), strings.HasPrefix(text, "requires "), strings.HasPrefix(text, "unknown flag"), strings.HasPrefix(text, "unknown shorthand"), strings.HasPrefix(text, "required flag"):
		what, rest, _ := strings.Cut(text, "\n")
		return &failure{code: codeUsage, what: what, next: strings.TrimSpace(rest), cause: err}
	}
	return &failure{code: codeFailed, what: text, cause: err}
}

// kafkaCode is the exit code for an error that a broker answered.
func kafkaCode(err *kerr.Error) int {
	switch err.Code {
	case kerr.UnknownTopicOrPartition.Code, kerr.UnknownTopicID.Code, kerr.ResourceNotFound.Code, kerr.GroupIDNotFound.Code, kerr.OffsetOutOfRange.Code:
		return codeNotFound
	case kerr.TopicAuthorizationFailed.Code, kerr.GroupAuthorizationFailed.Code, kerr.ClusterAuthorizationFailed.Code, kerr.SaslAuthenticationFailed.Code, kerr.TransactionalIDAuthorizationFailed.Code:
		return codeDenied
	case kerr.RequestTimedOut.Code, kerr.CoordinatorNotAvailable.Code, kerr.LeaderNotAvailable.Code, kerr.BrokerNotAvailable.Code, kerr.NetworkException.Code,
		kerr.CoordinatorLoadInProgress.Code, kerr.NotCoordinator.Code:
		return codeUnreachable
	case kerr.TopicAlreadyExists.Code, kerr.NotEnoughReplicas.Code, kerr.NotEnoughReplicasAfterAppend.Code, kerr.ReassignmentInProgress.Code,
		kerr.NonEmptyGroup.Code, kerr.GroupSubscribedToTopic.Code, kerr.UnknownMemberID.Code, kerr.RebalanceInProgress.Code, kerr.InconsistentGroupProtocol.Code:
		return codeConflict
	case kerr.InvalidConfig.Code, kerr.InvalidRequest.Code, kerr.InvalidPartitions.Code, kerr.InvalidReplicationFactor.Code, kerr.InvalidTopicException.Code,
		kerr.InvalidReplicaAssignment.Code, kerr.PolicyViolation.Code, kerr.MessageTooLarge.Code, kerr.InvalidTimestamp.Code, kerr.InvalidRecord.Code, kerr.InvalidGroupID.Code:
		return codeUsage
	}
	return codeFailed
}

// several makes one failure of the failures of many things: alone it stands for itself, with successes beside it the
// whole is partly done.
func several(succeeded int, failures []*failure) error {
	if len(failures) == 0 {
		return nil
	}
	if len(failures) == 1 && succeeded == 0 {
		return failures[0]
	}
	first := failures[0]
	out := &failure{code: first.code, kafka: first.kafka, next: first.next}
	if succeeded > 0 || slices.ContainsFunc(failures, func(f *failure) bool { return f.code != first.code }) {
		out.code, out.kafka = codePartly, ""
	}
	if succeeded == 0 && out.code == codePartly {
		out.code = codeFailed
	}
	lines := make([]string, len(failures))
	for i, f := range failures {
		lines[i] = f.what
		if f.why != "" {
			lines[i] += ": " + f.why
		}
	}
	out.what = fmt.Sprintf("%d of %d failed", len(failures), len(failures)+succeeded)
	out.why = strings.Join(lines, "\n")
	return out
}

// nearest returns the candidate a name was probably meant to be, or "".
func nearest(name string, candidates []string) string {
	best, at := "", max(2, len(name)/4)+1
	for _, c := range candidates {
		if d := config.Distance(strings.ToLower(name), strings.ToLower(c), at); d < at {
			best, at = c, d
		}
	}
	return best
}

func asInterrupt(ctx context.Context, target *interrupted) bool {
	if i, ok := errors.AsType[*interrupted](context.Cause(ctx)); ok {
		*target = *i
		return true
	}
	return false
}
