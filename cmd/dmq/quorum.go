package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
)

func newQuorum(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use: "quorum", Short: "The voters of the metadata quorum: see, add, remove, hand leadership over",
		Example: "  dmq cluster quorum status\n  dmq cluster quorum add-voter 4\n  dmq cluster quorum remove-voter 2 --yes",
	}, newQuorumStatus(a), newAddVoter(a), newRemoveVoter(a), newTransfer(a))
}

func newQuorumStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the voters and observers, and how far they are behind",
		Long: `Show the metadata quorum. Voters elect the leader, which is the active controller; observers only follow. Lag is counted
in records of the metadata log, and times are the leader's.`,
		Example: "  dmq cluster quorum status\n  dmq cluster quorum status -o wide\n  dmq cluster quorum status -o json",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error {
				q, err := askQuorum(ctx, cl)
				if err != nil {
					return quorumFailure(err)
				}
				r := result{value: q, table: []grid{quorumGrid(q, time.Now())}}
				for _, m := range q.Replicas {
					r.names = append(r.names, fmt.Sprint(m.ID))
				}
				return a.print(r)
			})
		},
	}
}

// quorumFailure words that the quorum could not be asked.
func quorumFailure(err error) error {
	f := explain(err)
	if f.code != codeUnreachable {
		return f
	}
	return &failure{
		code: f.code, kafka: f.kafka, what: "the metadata quorum does not answer", why: f.what + "; it needs a majority of its voters",
		next: "Start the controllers that are down; their logs say whom they miss", cause: err,
	}
}

type voterOptions struct {
	directoryID string
	endpoints   []string
	yes         bool
}

func newAddVoter(a *app) *cobra.Command {
	var o voterOptions
	cmd := &cobra.Command{
		Use: "add-voter NODE [--directory-id ID] [--endpoint NAME://HOST:PORT]...", Short: "Let a node vote in the quorum",
		Long: `Let a node with the role controller vote. It has to run as an observer already, started with the quorum's address in
controller.quorum.bootstrap.servers, and is added once it has caught up. Its directory id and endpoints are those that the
quorum knows of it, unless they are given: the directory id is the one in meta.properties of its metadata directory. Of an
observer the quorum mostly does not know the endpoint.`,
		Example: "  dmq cluster quorum add-voter 4 --endpoint CONTROLLER://10.0.0.4:9093\n  dmq cluster quorum add-voter 4 --directory-id 6yo-Cw_qTT-wQF3t5zRdLg --endpoint CONTROLLER://10.0.0.4:9093",
		Args:    args(1, 1, "the id of a node"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, given []string) error {
			id, err := nodeID(given[0])
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error { return a.addVoter(ctx, cl, id, o) })
		},
	}
	cmd.Flags().StringVar(&o.directoryID, "directory-id", "", "the id of the node's metadata directory")
	cmd.Flags().StringArrayVar(&o.endpoints, "endpoint", nil, "where the node's controller listens: NAME://HOST:PORT; may be repeated")
	return cmd
}

func (a *app) addVoter(ctx context.Context, cl *kgo.Client, id int32, o voterOptions) error {
	q, err := askQuorum(ctx, cl)
	if err != nil {
		return quorumFailure(err)
	}
	m := q.member(id)
	if m == nil && o.directoryID == "" {
		return &failure{
			code: codeNotFound, what: fmt.Sprintf("the quorum does not know node %d", id), why: "a node is added once it follows the metadata log",
			next: "Start it with the quorum's controller.quorum.bootstrap.servers   See who is there: dmq cluster quorum status",
		}
	}
	if m == nil {
		m = &quorumMember{ID: id, Role: roleObserver}
	}
	if m.voter() {
		return &failure{code: codeConflict, what: fmt.Sprintf("node %d is a voter already", id), next: "See who is there: dmq cluster quorum status -o wide"}
	}
	req := kmsg.NewPtrAddRaftVoterRequest()
	req.TimeoutMillis = int32(min(time.Duration(a.timeout), time.Hour) / time.Millisecond)
	req.VoterID = id
	if req.VoterDirectoryID, err = directoryID(o.directoryID, m); err != nil {
		return err
	}
	endpoints := o.endpoints
	if len(endpoints) == 0 {
		endpoints = m.Endpoints
	}
	if req.Listeners, err = voterListeners(id, endpoints); err != nil {
		return err
	}
	req.AckWhenCommitted = true
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return voterFailure(id, err, nil)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return voterFailure(id, err, resp.ErrorMessage)
	}
	return a.printVoter(id, "voter")
}

func (q *quorumState) member(id int32) *quorumMember {
	for i := range q.Replicas {
		if q.Replicas[i].ID == id {
			return &q.Replicas[i]
		}
	}
	return nil
}

// directoryID is the id that was given, or the one that the quorum knows.
func directoryID(given string, m *quorumMember) ([16]byte, error) {
	text := given
	if text == "" {
		text = m.DirectoryID
	}
	if text == "" {
		return [16]byte{}, usage("It is directory.id in meta.properties of the node's metadata directory: --directory-id ID   "+
			"A quorum whose voters are fixed in controller.quorum.voters knows none, and is not changed at run time", "the directory id of node %d is not known", m.ID)
	}
	id, err := protocol.ParseTopicID(text)
	if err != nil {
		return [16]byte{}, usage("It is directory.id in meta.properties of the node's metadata directory", "%q is not a directory id", text)
	}
	return id, nil
}

// voterListeners parses where a voter listens.
func voterListeners(id int32, endpoints []string) ([]kmsg.AddRaftVoterRequestListener, error) {
	const example = "for example --endpoint CONTROLLER://10.0.0.4:9093"
	if len(endpoints) == 0 {
		return nil, usage(example, "where node %d listens is not known", id)
	}
	var out []kmsg.AddRaftVoterRequestListener
	for _, e := range endpoints {
		name, address, ok := strings.Cut(e, "://")
		host, portText, err := net.SplitHostPort(address)
		port, portErr := strconv.ParseUint(portText, 10, 16)
		if !ok || err != nil || portErr != nil || host == "" || port == 0 {
			return nil, usage(example, "%q is not an endpoint", e)
		}
		l := kmsg.NewAddRaftVoterRequestListener()
		l.Name, l.Host, l.Port = name, host, uint16(port)
		out = append(out, l)
	}
	return out, nil
}

// voterFailure words why a voter could not be changed.
func voterFailure(id int32, err error, message *string) error {
	f := explain(err)
	out := &failure{code: f.code, kafka: f.kafka, what: fmt.Sprintf("node %d: %s", id, f.what), next: "See who is there: dmq cluster quorum status -o wide", cause: err}
	if message != nil && *message != "" {
		out.what = fmt.Sprintf("node %d: %s", id, *message)
	}
	if unsupported(err) {
		out.what, out.why = "this quorum cannot be changed at run time", "its voters are fixed in controller.quorum.voters, or its brokers are older than KIP-853"
	}
	return out
}

func (a *app) printVoter(id int32, role string) error {
	return a.print(result{
		value: map[string]any{"node": id, "role": role}, names: []string{fmt.Sprint(id)},
		table: []grid{{header: []string{"NODE", "ROLE"}, rows: [][]any{{id, role}}, numeric: []int{0}}},
	})
}

func newRemoveVoter(a *app) *cobra.Command {
	var o voterOptions
	cmd := &cobra.Command{
		Use: "remove-voter NODE [--directory-id ID]", Short: "Take a node's vote in the quorum",
		Long: `Take a node's vote. It goes on as an observer while it runs; one that is gone for good no longer counts for majorities.
A node whose disk was replaced comes with another directory id: remove the old one, then add the new one.`,
		Example: "  dmq cluster quorum remove-voter 2\n  dmq cluster quorum remove-voter 2 --directory-id 6yo-Cw_qTT-wQF3t5zRdLg --yes",
		Args:    args(1, 1, "the id of a node"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, given []string) error {
			id, err := nodeID(given[0])
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error { return a.removeVoter(ctx, cl, id, o) })
		},
	}
	cmd.Flags().StringVar(&o.directoryID, "directory-id", "", "the id of the node's metadata directory")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) removeVoter(ctx context.Context, cl *kgo.Client, id int32, o voterOptions) error {
	q, err := askQuorum(ctx, cl)
	if err != nil {
		return quorumFailure(err)
	}
	m := q.member(id)
	if m == nil || !m.voter() {
		return &failure{code: codeNotFound, what: fmt.Sprintf("node %d is no voter", id), next: "See who is there: dmq cluster quorum status"}
	}
	req := kmsg.NewPtrRemoveRaftVoterRequest()
	req.VoterID = id
	if req.VoterDirectoryID, err = directoryID(o.directoryID, m); err != nil {
		return err
	}
	if err := a.confirm(o.yes, "remove voter "+q.consequence(m)); err != nil {
		return err
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return voterFailure(id, err, nil)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return voterFailure(id, err, resp.ErrorMessage)
	}
	return a.printVoter(id, roleObserver)
}

// consequence says what the quorum is without a voter.
func (q *quorumState) consequence(m *quorumMember) string {
	all, following := q.voters()
	left := following
	if m.following() {
		left--
	}
	return fmt.Sprintf("%d (of the other %s %d run, and %d of them have to)", m.ID, count(all-1, "voter"), left, (all-1)/2+1)
}

// nodeID parses the id of a node.
func nodeID(text string) (int32, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, usage("Node ids are numbers: see dmq broker list", "%q is not the id of a node", text)
	}
	return int32(n), nil
}
