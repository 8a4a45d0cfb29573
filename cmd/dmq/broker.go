package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newBroker(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use: "broker", Short: "List, describe, drain, resume and unregister brokers", GroupID: "ops", Aliases: []string{"brokers"},
		Example: "  dmq broker list\n  dmq broker describe 3\n  dmq broker drain 3",
	}, newBrokerList(a), newBrokerDescribe(a), newBrokerDrain(a), newBrokerResume(a), newBrokerUnregister(a))
}

// brokerDisks is what a broker itself tells of what it holds.
type brokerDisks struct {
	Bytes    int64     `json:"bytes"` // of all replicas; -1: not known
	Held     int       `json:"held"`  // replicas on its disks, also those that are still copied or to be deleted; -1: not known
	Cordoned bool      `json:"cordoned"`
	Dirs     []diskDir `json:"log_dirs"`
}

type diskDir struct {
	Dir      string `json:"dir"`
	Error    string `json:"error,omitempty"`
	Bytes    int64  `json:"bytes"`
	Replicas int    `json:"replicas"`
	Total    int64  `json:"total_bytes"` // of the disk; -1: not known
	Usable   int64  `json:"usable_bytes"`
	Cordoned bool   `json:"cordoned"`
}

func newBrokerDisks(dirs kadm.DescribedLogDirs) brokerDisks {
	out := brokerDisks{Dirs: []diskDir{}}
	for _, d := range dirs.Sorted() {
		dir := diskDir{Dir: d.Dir, Total: d.TotalBytes, Usable: d.UsableBytes, Cordoned: d.IsCordoned}
		if d.Err != nil {
			dir.Error = explain(d.Err).what
		}
		for _, partitions := range d.Topics {
			for _, p := range partitions {
				dir.Bytes += p.Size
				dir.Replicas++
			}
		}
		out.Bytes += dir.Bytes
		out.Held += dir.Replicas
		out.Dirs = append(out.Dirs, dir)
	}
	out.Cordoned = len(out.Dirs) > 0 && !slices.ContainsFunc(out.Dirs, func(d diskDir) bool { return !d.Cordoned })
	return out
}

// allDisks asks every broker that is up what it holds. Those that do not answer are left out.
func allDisks(ctx context.Context, adm *kadm.Client) map[int32]brokerDisks {
	all, _ := adm.DescribeAllLogDirs(ctx, nil) // who did not answer is missing
	out := make(map[int32]brokerDisks, len(all))
	for id, dirs := range all {
		out[id] = newBrokerDisks(dirs)
	}
	return out
}

// unknownDisks are those of a broker that did not answer.
func unknownDisks() brokerDisks { return brokerDisks{Bytes: -1, Held: -1, Dirs: []diskDir{}} }

type listedBrokerState struct {
	brokerState
	brokerDisks
}

func newBrokerList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List brokers, what they hold and what state they are in", Aliases: []string{"ls"},
		Example: "  dmq broker list\n  dmq broker list -o wide",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error {
				s, err := a.clusterState(ctx, cl)
				if err != nil {
					return err
				}
				return a.print(listedBrokers(s, allDisks(ctx, kadm.NewClient(cl))))
			})
		},
	}
}

func listedBrokers(s *clusterState, disks map[int32]brokerDisks) result {
	g := grid{
		header:  []string{"BROKER", "ADDRESS", "RACK", "STATE", "CONTROLLER", "LEADERS", "REPLICAS", "OUT-OF-SYNC", "SIZE", "FREE", "LOG-DIRS", "PREFERRED"},
		numeric: []int{0, 5, 6, 7, 8, 9, 10, 11}, wide: 9,
	}
	r := result{}
	out := []listedBrokerState{}
	for _, b := range s.Brokers {
		d, ok := disks[b.ID]
		if !ok {
			d = unknownDisks()
		}
		out = append(out, listedBrokerState{b, d})
		mark := ""
		if b.Controller {
			mark = "active"
		}
		state := b.State
		if d.Cordoned {
			state += ", cordoned"
		}
		var free int64 = -1
		for _, dir := range d.Dirs {
			if dir.Usable >= 0 {
				free = max(free, 0) + dir.Usable
			}
		}
		g.rows = append(g.rows, []any{b.ID, b.address(), orDash(b.Rack), state, mark, b.Leaders, b.Replicas, b.OutOfSync, size(d.Bytes), size(free), len(d.Dirs), b.PreferredLeader})
		r.names = append(r.names, fmt.Sprint(b.ID))
	}
	r.value, r.table = out, []grid{g}
	return r
}

// size is a number of bytes in words, or "-" when it is not known.
func size(bytes int64) string {
	if bytes < 0 {
		return "-"
	}
	return humanize.IBytes(uint64(bytes))
}

type describedBroker struct {
	brokerState
	brokerDisks
	Quorum     *quorumMember    `json:"quorum"`     // null: it is no member of the quorum
	Configs    []configEntry    `json:"configs"`    // those that were set at run time
	Partitions []partitionState `json:"partitions"` // that have a replica on it
}

func newBrokerDescribe(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "describe BROKER", Short: "Show one broker: state, disks, settings made at run time, and what is wrong with its replicas",
		Long:    `Show one broker. The table of partitions has those of its replicas that are out of sync or move; -o wide and -o json have all.`,
		Example: "  dmq broker describe 3\n  dmq broker describe 3 -o wide\n  dmq broker describe 3 -o json",
		Args:    args(1, 1, "the id of a broker"), ValidArgsFunction: a.brokerCompletion(1),
		RunE: func(cmd *cobra.Command, given []string) error {
			id, err := nodeID(given[0])
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error { return a.describeBroker(ctx, cl, id) })
		},
	}
}

func (a *app) describeBroker(ctx context.Context, cl *kgo.Client, id int32) error {
	s, err := a.clusterState(ctx, cl)
	if err != nil {
		return err
	}
	b, err := s.mustBroker(id)
	if err != nil {
		return err
	}
	d := describedBroker{brokerState: *b, brokerDisks: unknownDisks(), Quorum: s.member(id), Configs: []configEntry{}, Partitions: []partitionState{}}
	adm := kadm.NewClient(cl)
	if b.State == brokerUp {
		if dirs, err := adm.DescribeBrokerLogDirs(ctx, id, nil); err == nil { // else it shows as not known
			d.brokerDisks = newBrokerDisks(dirs)
		}
		if d.Configs, err = brokerConfigs(ctx, adm, id); err != nil {
			return err
		}
	}
	for _, p := range s.Partitions {
		if slices.Contains(p.Replicas, id) {
			d.Partitions = append(d.Partitions, p)
		}
	}
	return a.print(result{value: d, names: []string{fmt.Sprint(id)}, table: a.describedBrokerGrids(&d)})
}

// mustBroker is the broker, or the failure that there is none.
func (s *clusterState) mustBroker(id int32) (*brokerState, error) {
	if b := s.broker(id); b != nil {
		return b, nil
	}
	return nil, &failure{code: codeNotFound, what: fmt.Sprintf("broker %d not found", id), next: "List all: dmq broker list"}
}

// brokerConfigs are the settings of a broker that were made at run time, for it or for all.
func brokerConfigs(ctx context.Context, adm *kadm.Client, id int32) ([]configEntry, error) {
	configs, err := adm.DescribeBrokerConfigs(ctx, id)
	if err != nil {
		return nil, err
	}
	out := []configEntry{}
	rc, err := configs.On(strconv.Itoa(int(id)), nil)
	if err == nil {
		err = rc.Err
	}
	if err != nil {
		return nil, err
	}
	for _, c := range rc.Configs {
		if c.Source == kmsg.ConfigSourceDynamicBrokerConfig || c.Source == kmsg.ConfigSourceDynamicDefaultBrokerConfig {
			out = append(out, newConfigEntry(c))
		}
	}
	return out, nil
}

func (a *app) describedBrokerGrids(d *describedBroker) []grid {
	state := d.State
	if d.Cordoned {
		state += ", cordoned"
	}
	quorum := "-"
	if d.Quorum != nil {
		quorum = d.Quorum.Role
	}
	grids := []grid{{
		header:  []string{"BROKER", "ADDRESS", "RACK", "STATE", "QUORUM", "LEADERS", "REPLICAS", "OUT-OF-SYNC", "SIZE"},
		rows:    [][]any{{d.ID, d.address(), orDash(d.Rack), state, quorum, d.Leaders, d.Replicas, d.OutOfSync, size(d.Bytes)}},
		numeric: []int{0, 5, 6, 7, 8},
	}}
	if len(d.Dirs) > 0 {
		g := grid{header: []string{"LOG-DIR", "STATE", "REPLICAS", "SIZE", "FREE", "DISK"}, numeric: []int{2, 3, 4, 5}}
		for _, dir := range d.Dirs {
			state := "ok"
			if dir.Cordoned {
				state = "cordoned"
			}
			if dir.Error != "" {
				state = dir.Error
			}
			g.rows = append(g.rows, []any{dir.Dir, state, dir.Replicas, size(dir.Bytes), size(dir.Usable), size(dir.Total)})
		}
		grids = append(grids, g)
	}
	if len(d.Configs) > 0 {
		g := grid{header: []string{"CONFIG", "VALUE", "SET FOR"}}
		for _, c := range d.Configs {
			g.rows = append(g.rows, []any{c.Key, orHidden(c.Value), c.Source})
		}
		grids = append(grids, g)
	}
	var shown []partitionState
	for _, p := range d.Partitions {
		if a.output == "wide" || p.reassigning() || !slices.Contains(p.InSync, d.ID) {
			shown = append(shown, p)
		}
	}
	if len(shown) > 0 {
		grids = append(grids, partitionGrid(shown))
	}
	return grids
}

// brokerCompletion offers the ids of brokers for the first n arguments.
func (a *app) brokerCompletion(n int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(given) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.live(cmd.Context(), prefix, brokerIDs), cobra.ShellCompDirectiveNoFileComp
	}
}

// brokerIDs lists the brokers that are registered.
func brokerIDs(ctx context.Context, cl *kgo.Client) []string {
	return idsOf(ctx, cl, func(*brokerState) bool { return true })
}

// fencedIDs lists the brokers that are registered and not up.
func fencedIDs(ctx context.Context, cl *kgo.Client) []string {
	return idsOf(ctx, cl, func(b *brokerState) bool { return b.State == brokerFenced })
}

func idsOf(ctx context.Context, cl *kgo.Client, wanted func(*brokerState) bool) []string {
	s := new(clusterState)
	if s.askBrokers(ctx, cl) != nil {
		return nil
	}
	var out []string
	for i := range s.Brokers {
		if wanted(&s.Brokers[i]) {
			out = append(out, strconv.Itoa(int(s.Brokers[i].ID)))
		}
	}
	return out
}
