package controller_test

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/internal/transcript"
	"github.com/distributedmq/dmq/kraft/controller"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// TestTranscripts plays what a controller decides.
func TestTranscripts(t *testing.T) {
	transcript.Play(t, "testdata/*.txt", func(t *testing.T) func(line string) string {
		s := controller.NewScript(controller.Options{
			NodeID: 1, Schema: schema{}, Logger: slog.New(slog.DiscardHandler),
			Settings: controller.Settings{NumPartitions: 2},
			Features: map[string]image.FeatureRange{"metadata.version": {Min: 7, Max: 33}, "group.version": {Min: 0, Max: 1}, "eligible.leader.replicas.version": {Min: 0, Max: 1}},
		}, "cluster")
		return func(line string) string { return run(t, s, line) }
	})
}

// args are the key=value words of a command; a key may come several times.
type args map[string][]string

func (a args) one(key, def string) string {
	if v := a[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return def
}

func (a args) num(key string, def int64) int64 {
	n, err := strconv.ParseInt(a.one(key, fmt.Sprint(def)), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (a args) flag(key string) bool { _, ok := a[key]; return ok }

// id makes a directory, incarnation or topic id of a number.
func id(s string) (v [16]byte) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		panic(err)
	}
	v[15] = byte(n)
	return v
}

func nullable(s string) *string {
	if s == "null" {
		return nil
	}
	return &s
}

func run(t *testing.T, s *controller.Script, line string) string {
	t.Helper()
	fields := strings.Fields(line)
	a := words(fields[1:])
	var req kmsg.Request
	switch fields[0] {
	case "after":
		d, err := time.ParseDuration(fields[1])
		if err != nil {
			t.Fatal(err)
		}
		s.Now = s.Now.Add(d)
		records, err := s.Expire()
		if err != nil {
			t.Fatal(err)
		}
		return formatRecords(s, records)
	case "balance":
		records, err := s.Balance(int(a.num("limit", 1000)))
		if err != nil {
			t.Fatal(err)
		}
		return formatRecords(s, records)
	case "image":
		return formatImage(s.Image())
	case "register":
		if a.flag("clean") {
			a["previous"] = []string{fmt.Sprint(epochOf(s, a))}
		}
		req = registerRequest(a)
	case "heartbeat":
		req = heartbeatRequest(s, a)
	case "unregister":
		r := kmsg.NewPtrUnregisterBrokerRequest()
		r.BrokerID = int32(a.num("id", 0))
		req = r
	case "producer-ids":
		r := kmsg.NewPtrAllocateProducerIDsRequest()
		r.BrokerID = int32(a.num("id", 0))
		r.BrokerEpoch = epochOf(s, a)
		req = r
	case "create":
		req = createRequest(line, a)
	case "create-partitions":
		req = createPartitionsRequest(line, a)
	case "delete":
		req = deleteRequest(a)
	case "config":
		req = configRequest(line, a)
	case "replace-config":
		req = replaceConfigRequest(line, a)
	case "feature":
		req = featureRequest(line, a)
	case "alter-isr":
		req = alterPartitionRequest(s, line, a)
	case "elect":
		req = electRequest(line, a)
	case "reassign":
		req = reassignRequest(line, a)
	case "reassignments":
		req = reassignmentsRequest(a)
	case "assign-dirs":
		req = assignDirsRequest(s, line, a)
	default:
		t.Fatalf("unknown command %s", line)
	}
	resp, records, err := s.Request(req)
	if err != nil {
		return fmt.Sprintf("error %s: %s\n", errcode.Name(errcode.Of(err)), err)
	}
	return formatResponse(resp) + formatRecords(s, records)
}

func epochOf(s *controller.Script, a args) int64 {
	n := protocol.NodeID(a.num("id", 0))
	if b := s.Image().Brokers[n]; b != nil {
		return a.num("epoch", int64(b.Epoch))
	}
	return a.num("epoch", 1)
}

func registerRequest(a args) kmsg.Request {
	r := kmsg.NewPtrBrokerRegistrationRequest()
	r.Version = 4
	r.BrokerID = int32(a.num("id", 0))
	r.ClusterID = a.one("cluster", "cluster")
	r.IncarnationID = id(a.one("incarnation", "1"))
	r.IsMigratingZkBroker = a.flag("zk")
	r.PreviousBrokerEpoch = a.num("previous", -1)
	if rack, ok := a["rack"]; ok {
		r.Rack = &rack[0]
	}
	for _, d := range a["dir"] {
		r.LogDirs = append(r.LogDirs, id(d))
	}
	for _, f := range append([]string{"metadata.version:" + a.one("mv", "7-33"), "eligible.leader.replicas.version:0-1"}, a["feature"]...) {
		name, levels, _ := strings.Cut(f, ":")
		if levels == "" {
			continue
		}
		low, high, _ := strings.Cut(levels, "-")
		rf := kmsg.NewBrokerRegistrationRequestFeature()
		rf.Name = name
		l, _ := strconv.Atoi(low)
		h, _ := strconv.Atoi(high)
		rf.MinSupportedVersion, rf.MaxSupportedVersion = int16(l), int16(h)
		r.Features = append(r.Features, rf)
	}
	l := kmsg.NewBrokerRegistrationRequestListener()
	l.Name, l.Host, l.Port = "PLAINTEXT", "localhost", 9092
	r.Listeners = append(r.Listeners, l)
	return r
}

func heartbeatRequest(s *controller.Script, a args) kmsg.Request {
	r := kmsg.NewPtrBrokerHeartbeatRequest()
	r.Version = 1
	r.BrokerID = int32(a.num("id", 0))
	r.BrokerEpoch = epochOf(s, a)
	r.CurrentMetadataOffset = a.num("offset", s.Image().Version)
	r.WantFence = a.flag("fence")
	r.WantShutdown = a.flag("shutdown")
	if a.flag("cordoned") {
		r.CordonedLogDirs = [][16]byte{}
	}
	for _, d := range a["cordoned"] {
		if d != "" {
			r.CordonedLogDirs = append(r.CordonedLogDirs, id(d))
		}
	}
	for _, d := range a["offline"] {
		r.OfflineLogDirs = append(r.OfflineLogDirs, id(d))
	}
	return r
}

// sections splits "command key=value / name key=value / name…" into the words after each slash.
func sections(line string) [][]string {
	var all [][]string
	for part := range strings.SplitSeq(line, " / ") {
		all = append(all, strings.Fields(part))
	}
	return all[1:]
}

func words(fields []string) args {
	a := args{}
	for _, w := range fields {
		key, value, _ := strings.Cut(w, "=")
		a[key] = append(a[key], value)
	}
	return a
}

func assignment(s string) (partition int32, replicas []int32) {
	p, list, _ := strings.Cut(s, ":")
	n, _ := strconv.Atoi(p)
	for id := range strings.SplitSeq(list, ",") {
		if v, err := strconv.Atoi(id); err == nil {
			replicas = append(replicas, int32(v))
		}
	}
	return int32(n), replicas
}

func createRequest(line string, a args) kmsg.Request {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version = int16(a.num("v", 7))
	r.ValidateOnly = a.flag("validate-only")
	for _, fields := range sections(line) {
		o := words(fields[1:])
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic = strings.Trim(fields[0], `"`)
		topic.NumPartitions = int32(o.num("partitions", -1))
		topic.ReplicationFactor = int16(o.num("factor", -1))
		for _, as := range o["assign"] {
			ra := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			ra.Partition, ra.Replicas = assignment(as)
			topic.ReplicaAssignment = append(topic.ReplicaAssignment, ra)
		}
		for _, c := range o["config"] {
			name, value, _ := strings.Cut(c, ":")
			rc := kmsg.NewCreateTopicsRequestTopicConfig()
			rc.Name, rc.Value = name, nullable(value)
			topic.Configs = append(topic.Configs, rc)
		}
		r.Topics = append(r.Topics, topic)
	}
	return r
}

func createPartitionsRequest(line string, a args) kmsg.Request {
	r := kmsg.NewPtrCreatePartitionsRequest()
	r.ValidateOnly = a.flag("validate-only")
	for _, fields := range sections(line) {
		o := words(fields[1:])
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic = fields[0]
		topic.Count = int32(o.num("count", 0))
		for _, as := range o["assign"] {
			ra := kmsg.NewCreatePartitionsRequestTopicAssignment()
			_, ra.Replicas = assignment("0:" + as)
			topic.Assignment = append(topic.Assignment, ra)
		}
		r.Topics = append(r.Topics, topic)
	}
	return r
}

func deleteRequest(a args) kmsg.Request {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Version = int16(a.num("v", 6))
	for _, name := range a["name"] {
		if r.Version < 6 {
			r.TopicNames = append(r.TopicNames, name)
			continue
		}
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic = &name
		r.Topics = append(r.Topics, topic)
	}
	for _, n := range a["id"] {
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.TopicID = id(n)
		r.Topics = append(r.Topics, topic)
	}
	for _, both := range a["both"] {
		name, n, _ := strings.Cut(both, ":")
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic, topic.TopicID = &name, id(n)
		r.Topics = append(r.Topics, topic)
	}
	return r
}

func resource(s string) (kmsg.ConfigResourceType, string) {
	kind, name, _ := strings.Cut(s, ":")
	types := map[string]int8{"topic": 2, "broker": 4, "logger": 8, "metrics": 16, "group": 32}
	if t, ok := types[kind]; ok {
		return kmsg.ConfigResourceType(t), name
	}
	n, err := strconv.Atoi(kind)
	if err != nil {
		panic(err)
	}
	return kmsg.ConfigResourceType(n), name
}

func configRequest(line string, a args) kmsg.Request {
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.ValidateOnly = a.flag("validate-only")
	for _, fields := range sections(line) {
		rr := kmsg.NewIncrementalAlterConfigsRequestResource()
		rr.ResourceType, rr.ResourceName = resource(fields[0])
		for _, f := range fields[1:] {
			i := strings.IndexAny(f, "=+-!?")
			c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			c.Name, c.Value = f[:i], nullable(f[i+1:])
			c.Op = kmsg.IncrementalAlterConfigOp(strings.IndexByte("=!+-??????", f[i]))
			if f[i] == '?' {
				c.Op = 9
			}
			if n, err := strconv.Atoi(f[i+1:]); err == nil && n > 1000 {
				big := strings.Repeat("x", n)
				c.Value = &big
			}
			rr.Configs = append(rr.Configs, c)
		}
		r.Resources = append(r.Resources, rr)
	}
	return r
}

func replaceConfigRequest(line string, a args) kmsg.Request {
	r := kmsg.NewPtrAlterConfigsRequest()
	r.ValidateOnly = a.flag("validate-only")
	for _, fields := range sections(line) {
		rr := kmsg.NewAlterConfigsRequestResource()
		rr.ResourceType, rr.ResourceName = resource(fields[0])
		for _, f := range fields[1:] {
			name, value, _ := strings.Cut(f, "=")
			c := kmsg.NewAlterConfigsRequestResourceConfig()
			c.Name, c.Value = name, nullable(value)
			rr.Configs = append(rr.Configs, c)
		}
		r.Resources = append(r.Resources, rr)
	}
	return r
}

// alterPartitionRequest reads "alter-isr id=1 / topic:partition isr=1,2:epoch leader-epoch=0 partition-epoch=0". Epochs default
// to the present ones; "old" is one less.
func alterPartitionRequest(s *controller.Script, line string, a args) kmsg.Request {
	r := kmsg.NewPtrAlterPartitionRequest()
	r.Version = int16(a.num("v", 3))
	r.BrokerID = int32(a.num("id", 0))
	r.BrokerEpoch = epochOf(s, a)
	for _, fields := range sections(line) {
		o := words(fields[1:])
		name, n, _ := strings.Cut(fields[0], ":")
		rt := kmsg.NewAlterPartitionRequestTopic()
		rp := kmsg.NewAlterPartitionRequestTopicPartition()
		partition, _ := strconv.Atoi(n)
		rp.Partition = int32(partition)
		rp.LeaderRecoveryState = int8(o.num("recovery", 0))
		if t := s.Image().Topics.Get(name); t != nil {
			rt.TopicID = t.ID
			if partition < len(t.Partitions) {
				rp.LeaderEpoch = t.Partitions[partition].LeaderEpoch + int32(o.num("leader-epoch", 0))
				rp.PartitionEpoch = t.Partitions[partition].PartitionEpoch + int32(o.num("partition-epoch", 0))
			}
		}
		for m := range strings.SplitSeq(o.one("isr", ""), ",") {
			id, epoch, given := strings.Cut(m, ":")
			member := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
			member.BrokerID = int32(number(id))
			if b := s.Image().Brokers[protocol.NodeID(member.BrokerID)]; b != nil {
				member.BrokerEpoch = int64(b.Epoch)
			}
			if given {
				member.BrokerEpoch = int64(number(epoch))
			}
			rp.NewEpochISR = append(rp.NewEpochISR, member)
			rp.NewISR = append(rp.NewISR, member.BrokerID)
		}
		rt.Partitions = append(rt.Partitions, rp)
		r.Topics = append(r.Topics, rt)
	}
	return r
}

// electRequest reads "elect kind=1 / topic:0,1"; without topics all are meant.
func electRequest(line string, a args) kmsg.Request {
	r := kmsg.NewPtrElectLeadersRequest()
	r.Version = int16(a.num("v", 2))
	r.ElectionType = int8(a.num("kind", 0))
	for _, fields := range sections(line) {
		rt := kmsg.NewElectLeadersRequestTopic()
		name, list, _ := strings.Cut(fields[0], ":")
		rt.Topic = name
		_, rt.Partitions = assignment("0:" + list)
		r.Topics = append(r.Topics, rt)
	}
	return r
}

// reassignRequest reads "reassign / topic:0 to=1,2"; without to the reassignment ends.
func reassignRequest(line string, a args) kmsg.Request {
	r := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	r.Version = int16(a.num("v", 1))
	r.AllowReplicationFactorChange = !a.flag("same-factor")
	for _, fields := range sections(line) {
		o := words(fields[1:])
		name, n, _ := strings.Cut(fields[0], ":")
		rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
		rt.Topic = name
		rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		rp.Partition = int32(number(n))
		if o.flag("to") {
			_, rp.Replicas = assignment("0:" + o.one("to", ""))
			rp.Replicas = append([]int32{}, rp.Replicas...)
		}
		rt.Partitions = append(rt.Partitions, rp)
		r.Topics = append(r.Topics, rt)
	}
	return r
}

// reassignmentsRequest reads "reassignments of=topic:0,1"; without of all are meant.
func reassignmentsRequest(a args) kmsg.Request {
	r := kmsg.NewPtrListPartitionReassignmentsRequest()
	for _, of := range a["of"] {
		name, list, _ := strings.Cut(of, ":")
		rt := kmsg.NewListPartitionReassignmentsRequestTopic()
		rt.Topic = name
		_, rt.Partitions = assignment("0:" + list)
		r.Topics = append(r.Topics, rt)
	}
	return r
}

// assignDirsRequest reads "assign-dirs id=1 / topic:0 dir=101".
func assignDirsRequest(s *controller.Script, line string, a args) kmsg.Request {
	r := kmsg.NewPtrAssignReplicasToDirsRequest()
	r.BrokerID = int32(a.num("id", 0))
	r.BrokerEpoch = epochOf(s, a)
	for _, fields := range sections(line) {
		name, n, _ := strings.Cut(fields[0], ":")
		rt := kmsg.NewAssignReplicasToDirsRequestDirectoryTopic()
		if t := s.Image().Topics.Get(name); t != nil {
			rt.TopicID = t.ID
		}
		rp := kmsg.NewAssignReplicasToDirsRequestDirectoryTopicPartition()
		rp.Partition = int32(number(n))
		rt.Partitions = append(rt.Partitions, rp)
		rd := kmsg.NewAssignReplicasToDirsRequestDirectory()
		rd.ID = id(words(fields[1:]).one("dir", "0"))
		rd.Topics = append(rd.Topics, rt)
		r.Directories = append(r.Directories, rd)
	}
	return r
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func featureRequest(line string, a args) kmsg.Request {
	r := kmsg.NewPtrUpdateFeaturesRequest()
	r.Version = int16(a.num("v", 2))
	r.ValidateOnly = a.flag("validate-only")
	for _, fields := range sections(line) {
		o := words(fields[1:])
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature = fields[0]
		u.MaxVersionLevel = int16(o.num("level", 0))
		u.UpgradeType = int8(o.num("type", 1))
		r.FeatureUpdates = append(r.FeatureUpdates, u)
	}
	return r
}

func code(c int16, text *string) string {
	if c == 0 && text == nil {
		return "ok"
	}
	if text == nil {
		return errcode.Name(c)
	}
	return errcode.Name(c) + ": " + *text
}

func formatResponse(resp kmsg.Response) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	switch r := resp.(type) {
	case *kmsg.BrokerRegistrationResponse:
		p("%s epoch %d", code(r.ErrorCode, nil), r.BrokerEpoch)
	case *kmsg.ElectLeadersResponse:
		for _, t := range r.Topics {
			for _, rp := range t.Partitions {
				p("%s-%d %s", t.Topic, rp.Partition, code(rp.ErrorCode, rp.ErrorMessage))
			}
		}
	case *kmsg.AlterPartitionAssignmentsResponse:
		for _, t := range r.Topics {
			for _, rp := range t.Partitions {
				p("%s-%d %s", t.Topic, rp.Partition, code(rp.ErrorCode, rp.ErrorMessage))
			}
		}
	case *kmsg.ListPartitionReassignmentsResponse:
		for _, t := range r.Topics {
			for _, rp := range t.Partitions {
				p("%s-%d replicas %v adding %v removing %v", t.Topic, rp.Partition, rp.Replicas, rp.AddingReplicas, rp.RemovingReplicas)
			}
		}
	case *kmsg.AssignReplicasToDirsResponse:
		if r.ErrorCode != 0 {
			p("%s", code(r.ErrorCode, nil))
		}
		for _, d := range r.Directories {
			for _, t := range d.Topics {
				for _, rp := range t.Partitions {
					p("%d-%d in %d %s", t.TopicID[15], rp.Partition, d.ID[15], code(rp.ErrorCode, nil))
				}
			}
		}
	case *kmsg.AlterPartitionResponse:
		if r.ErrorCode != 0 {
			p("%s", code(r.ErrorCode, nil))
		}
		for _, t := range r.Topics {
			for _, rp := range t.Partitions {
				p("%d-%d %s leader %d isr %v epoch %d/%d recovery %d", t.TopidID[15], rp.Partition, code(rp.ErrorCode, nil),
					rp.LeaderID, rp.ISR, rp.LeaderEpoch, rp.PartitionEpoch, rp.LeaderRecoveryState)
			}
		}
	case *kmsg.BrokerHeartbeatResponse:
		p("%s caught-up=%v fenced=%v stop=%v", code(r.ErrorCode, nil), r.IsCaughtUp, r.IsFenced, r.ShouldShutdown)
	case *kmsg.UnregisterBrokerResponse:
		p("%s", code(r.ErrorCode, r.ErrorMessage))
	case *kmsg.AllocateProducerIDsResponse:
		p("%s %d from %d", code(r.ErrorCode, nil), r.ProducerIDLen, r.ProducerIDStart)
	case *kmsg.CreateTopicsResponse:
		for _, t := range r.Topics {
			var configs []string
			for _, c := range t.Configs {
				value := "null"
				if c.Value != nil {
					value = *c.Value
				}
				configs = append(configs, fmt.Sprintf("%s=%s(%d)", c.Name, value, c.Source))
			}
			p("%s %s id %d partitions %d factor %d %v", t.Topic, code(t.ErrorCode, t.ErrorMessage), t.TopicID[15], t.NumPartitions, t.ReplicationFactor, configs)
		}
	case *kmsg.CreatePartitionsResponse:
		for _, t := range r.Topics {
			p("%s %s", t.Topic, code(t.ErrorCode, t.ErrorMessage))
		}
	case *kmsg.DeleteTopicsResponse:
		for _, t := range r.Topics {
			name := "null"
			if t.Topic != nil {
				name = *t.Topic
			}
			p("%s id %d %s", name, t.TopicID[15], code(t.ErrorCode, t.ErrorMessage))
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for _, t := range r.Resources {
			p("%d:%s %s", t.ResourceType, t.ResourceName, code(t.ErrorCode, t.ErrorMessage))
		}
	case *kmsg.AlterConfigsResponse:
		for _, t := range r.Resources {
			p("%d:%s %s", t.ResourceType, t.ResourceName, code(t.ErrorCode, t.ErrorMessage))
		}
	case *kmsg.UpdateFeaturesResponse:
		p("%s", code(r.ErrorCode, r.ErrorMessage))
		for _, t := range r.Results {
			p("%s %s", t.Feature, code(t.ErrorCode, t.ErrorMessage))
		}
	default:
		p("%T", resp)
	}
	return b.String()
}

func formatRecords(s *controller.Script, records []metadata.Record) string {
	var b strings.Builder
	for i, r := range records {
		if i == 12 {
			fmt.Fprintf(&b, "  … %d records in all\n", len(records))
			break
		}
		b.WriteString("  " + formatRecord(s, r) + "\n")
	}
	return b.String()
}

func formatRecord(s *controller.Script, r metadata.Record) string {
	topic := func(id protocol.TopicID) string { return s.Image().TopicNames.Get(id) }
	switch r := r.(type) {
	case *metadata.PartitionRecord:
		return fmt.Sprintf("partition %s-%d %s", topic(r.TopicID), r.Partition, formatPartition(&r.PartitionState))
	case *metadata.PartitionChangeRecord:
		out := fmt.Sprintf("change %s-%d", topic(r.TopicID), r.Partition)
		if r.Leader != nil {
			out += fmt.Sprintf(" leader %d", *r.Leader)
		}
		if r.ISR != nil {
			out += fmt.Sprintf(" isr %v", r.ISR)
		}
		for _, f := range []struct {
			name string
			list []protocol.NodeID
		}{{"elr", r.ELR}, {"known", r.LastKnownELR}, {"replicas", r.Replicas}, {"adding", r.Adding}, {"removing", r.Removing}} {
			if f.list != nil {
				out += fmt.Sprintf(" %s %v", f.name, f.list)
			}
		}
		if r.Directories != nil {
			out += fmt.Sprintf(" dirs %v", lastBytes(r.Directories))
		}
		if r.LeaderRecoveryState != nil {
			out += fmt.Sprintf(" recovery %d", *r.LeaderRecoveryState)
		}
		return out
	case *metadata.TopicRecord:
		return fmt.Sprintf("topic %s id %d", r.Name, r.ID[15])
	case *metadata.RemoveTopicRecord:
		return fmt.Sprintf("remove topic id %d", r.ID[15])
	case *metadata.ConfigRecord:
		value := "null"
		if r.Value != nil {
			value = *r.Value
		}
		return fmt.Sprintf("config %d:%s %s=%s", r.ResourceType, r.ResourceName, r.Name, value)
	case *metadata.RegisterBrokerRecord:
		return fmt.Sprintf("register broker %d incarnation %d fenced %v", r.ID, r.IncarnationID[15], r.Fenced)
	case *metadata.UnregisterBrokerRecord:
		return fmt.Sprintf("unregister broker %d", r.ID)
	case *metadata.BrokerRegistrationChangeRecord:
		out := fmt.Sprintf("broker %d", r.ID)
		if r.Fenced != nil {
			out += fmt.Sprintf(" fenced %v", *r.Fenced)
		}
		if r.InControlledShutdown != nil {
			out += fmt.Sprintf(" shutting down %v", *r.InControlledShutdown)
		}
		if r.LogDirs != nil {
			out += fmt.Sprintf(" %d dirs left", len(r.LogDirs))
		}
		if r.CordonedDirs != nil {
			out += fmt.Sprintf(" cordoned %v", lastBytes(r.CordonedDirs))
		}
		return out
	case *metadata.ProducerIDsRecord:
		return fmt.Sprintf("producer ids up to %d", r.NextProducerID)
	case *metadata.FeatureLevelRecord:
		return fmt.Sprintf("feature %s at %d", r.Name, r.Level)
	default:
		return fmt.Sprintf("%T", r)
	}
}

func lastBytes(ids []protocol.TopicID) (out []byte) {
	for _, id := range ids {
		out = append(out, id[15])
	}
	return out
}

func formatPartition(p *image.Partition) string {
	out := fmt.Sprintf("replicas %v dirs %v isr %v leader %d epoch %d/%d",
		p.Replicas, lastBytes(p.Directories), p.ISR, p.Leader, p.LeaderEpoch, p.PartitionEpoch)
	for _, f := range []struct {
		name string
		list []protocol.NodeID
	}{{"elr", p.ELR}, {"known", p.LastKnownELR}, {"adding", p.Adding}, {"removing", p.Removing}} {
		if len(f.list) > 0 {
			out += fmt.Sprintf(" %s %v", f.name, f.list)
		}
	}
	if p.LeaderRecoveryState != 0 {
		out += fmt.Sprintf(" recovery %d", p.LeaderRecoveryState)
	}
	if p.UncleanEpoch != 0 {
		out += fmt.Sprintf(" unclean since %d", p.UncleanEpoch)
	}
	return out
}

func formatImage(img *image.Image) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(img.Brokers)) {
		br := img.Brokers[id]
		fmt.Fprintf(&b, "broker %d epoch %d incarnation %d fenced %v shutting down %v dirs %d\n",
			id, br.Epoch, br.IncarnationID[15], br.Fenced, br.InControlledShutdown, len(br.LogDirs))
	}
	for _, name := range slices.Sorted(img.Topics.Keys()) {
		for i := range img.Topics.Get(name).Partitions {
			fmt.Fprintf(&b, "%s-%d %s\n", name, i, formatPartition(&img.Topics.Get(name).Partitions[i]))
		}
	}
	return b.String()
}

// schema is a small set of keys with Kafka's behaviour.
type schema struct{}

func (schema) Validate(r image.Resource, configs map[string]string, _ []string) error {
	if r.Type == image.ResourceTopic {
		if err := protocol.ValidateTopicName(r.Name); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		switch name {
		case "cleanup.policy", "listeners", "client", "min.insync.replicas", "unclean.leader.election.enable", "flush.messages":
		case "retention.ms":
			if _, err := strconv.Atoi(configs[name]); err != nil {
				return errcode.New(errcode.KindInvalidConfig, "Invalid value %s for configuration retention.ms: Not a number of type LONG", configs[name])
			}
		default:
			if r.Type == image.ResourceTopic {
				return errcode.New(errcode.KindInvalidConfig, "Unknown topic config name: %s", name)
			}
		}
	}
	return nil
}

func (schema) TopicPolicy(topic, _, cluster map[string]string) controller.TopicPolicy {
	p := controller.TopicPolicy{MinISR: 1, Durable: true}
	for _, layer := range []map[string]string{cluster, topic} {
		if n, err := strconv.Atoi(layer["min.insync.replicas"]); err == nil {
			p.MinISR = n
		}
		if v, ok := layer["unclean.leader.election.enable"]; ok {
			p.UncleanElection = v == "true"
		}
		if v, ok := layer["flush.messages"]; ok {
			p.Durable = v == "1"
		}
	}
	return p
}

func (schema) IsList(_ image.Resource, key string) bool {
	return key == "cleanup.policy" || key == "listeners"
}

func (schema) Default(_ image.Resource, key string, _ map[string]string) (string, bool) {
	return "delete", key == "cleanup.policy"
}

func (schema) TopicConfigs(overrides, cluster map[string]string) []controller.TopicConfig {
	value, source := "delete", int8(5)
	if v, ok := cluster["cleanup.policy"]; ok {
		value, source = v, 3
	}
	if v, ok := overrides["cleanup.policy"]; ok {
		value, source = v, 1
	}
	return []controller.TopicConfig{{Name: "cleanup.policy", Value: &value, Source: source}}
}
