package groupdata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/distributedmq/dmq/compat-tests/peer"
	"github.com/distributedmq/dmq/compat-tests/report"
)

// Journey checks that groups move between brokers: there, Kafka plays them and is stopped, and the broker that start starts
// on its folder has to say of each what Kafka said; back, Kafka's own tools read the records of b, which Check has played
// the groups on, over the wire and from its files.
func Journey(ctx context.Context, r *report.Report, home peer.Home, b *peer.Broker, start func(context.Context, peer.Options) (*peer.Broker, error), dir string) {
	r.Check("a folder that Kafka wrote", func() error { return there(ctx, home, start, dir) })
	for formatter, want := range map[string][]string{
		"OffsetsMessageFormatter":       {`"group":"simple"`, `"topic":"orders"`, `"offset":`},
		"GroupMetadataMessageFormatter": {`"group":"classic`, `"protocolType":"consumer"`, `"currentStateTimestamp"`},
	} {
		r.Check("Kafka's console consumer with its "+formatter, func() error {
			out, err := tool(ctx, home, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", b.Addr, "--topic", "__consumer_offsets",
				"--from-beginning", "--timeout-ms", "4000", "--formatter", "org.apache.kafka.tools.consumer."+formatter)
			return errors.Join(err, shows(out, want))
		})
	}
	r.Check("Kafka's dump of the files", func() error {
		if err := b.Stop(); err != nil {
			return err
		}
		out, err := tool(ctx, home, "org.apache.kafka.tools.DumpLogSegments", "--offsets-decoder", "--files",
			filepath.Join(b.DataDir, "__consumer_offsets-0", "00000000000000000000.log"))
		return errors.Join(err, shows(out, []string{"simple", "orders", "consumer"}))
	})
}

func tool(ctx context.Context, home peer.Home, class string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "java", append([]string{
		"-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", home.ToolsClasspath(), class,
	}, args...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(out) > 0 { // the console consumer ends with an error when its time is up
		err = nil
	}
	return string(out), err
}

func shows(out string, want []string) error {
	for _, w := range want {
		if !strings.Contains(out, w) {
			return fmt.Errorf("%q is not in what it printed:\n%.2000s", w, out)
		}
	}
	if strings.Contains(strings.ToLower(out), "exception") {
		return fmt.Errorf("an exception: %.2000s", out)
	}
	return nil
}

// there has Kafka play the groups and compares what another broker says of them on a copy of its folder.
func there(ctx context.Context, home peer.Home, start func(context.Context, peer.Options) (*peer.Broker, error), dir string) (err error) {
	dataDir := filepath.Join(dir, "data")
	k, err := peer.StartKafka(ctx, home, peer.Options{Dir: filepath.Join(dir, "kafka"), DataDir: dataDir, Properties: Properties()})
	if err != nil {
		return err
	}
	want, err := playedAnswers(ctx, k)
	if err := errors.Join(err, k.Stop()); err != nil {
		return err
	}
	b, err := start(ctx, peer.Options{Dir: filepath.Join(dir, "other"), DataDir: dataDir, Unformatted: true, Properties: Properties()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	w := &writer{addr: b.Addr}
	defer w.close()
	got, err := w.answersByGroup(ctx)
	if err != nil {
		return err
	}
	if len(want) == 0 {
		return errors.New("Kafka has no groups")
	}
	for group, answer := range want {
		if slices.Contains(unserved, group) {
			continue
		}
		if got[group] != answer {
			err = errors.Join(err, fmt.Errorf("group %s:\nwant %s\ngot  %s", group, answer, or(got[group], "nothing")))
		}
	}
	return err
}

func playedAnswers(ctx context.Context, b *peer.Broker) (map[string]string, error) {
	w := &writer{addr: b.Addr}
	defer w.close()
	if err := w.play(ctx, append(w.served(), step{"transactions", w.transactions}, step{"groups of other kinds", w.others})); err != nil {
		return nil, err
	}
	return w.answersByGroup(ctx)
}

// answersByGroup returns what the broker says of each group, without the texts of errors.
func (w *writer) answersByGroup(ctx context.Context) (map[string]string, error) {
	var text []byte
	err := poll(ctx, func() (done bool, err error) { // the coordinator may still be loading
		text, err = w.answers(ctx)
		return len(text) > len("\n]\n"), err
	})
	if err != nil {
		return nil, err
	}
	var all []Answer
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	out := make(map[string]string, len(all))
	for _, a := range all {
		a.Classic.ErrorMessage = nil
		if a.Consumer != nil {
			a.Consumer.ErrorMessage = nil
		}
		b, err := json.Marshal(a)
		if err != nil {
			return nil, err
		}
		if out[a.Listed.Group], err = sorted(b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sorted returns JSON whose lists are in one order: brokers list members, topics and partitions in any.
func sorted(text []byte) (string, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return "", err
	}
	b, err := json.Marshal(sortLists(v))
	return string(b), err
}

func sortLists(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = sortLists(v[k])
		}
	case []any:
		for i := range v {
			v[i] = sortLists(v[i])
		}
		slices.SortFunc(v, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return v
}
