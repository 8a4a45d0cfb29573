// Package docs keeps the generated parts of the documents true: the test fails when one is stale, and
// `go test ./docs -update` rewrites it.
package docs_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/protocol"
)

var update = flag.Bool("update", false, "rewrite the generated parts")

func TestCompatibilityIsCurrent(t *testing.T) {
	check(t, "compatibility.md", "apis", apiTable())
	check(t, "compatibility.md", "ineffective-topic", config.NewSchema().IneffectiveMarkdown(config.ScopeTopic))
	check(t, "compatibility.md", "ineffective-broker", config.NewSchema().IneffectiveMarkdown(config.ScopeBroker))
}

// check compares what stands between <!-- begin:name --> and <!-- end:name --> with want.
func check(t *testing.T, file, name, want string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- begin:"+name+" -->\n", "<!-- end:"+name+" -->"
	head, rest, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("%s has no %q", file, begin)
	}
	got, tail, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no %q", file, end)
	}
	want = strings.TrimSpace(want) + "\n"
	if got == want {
		return
	}
	if !*update {
		t.Errorf("%s: part %q is stale: run go test ./docs -update", file, name)
		return
	}
	if err := os.WriteFile(file, []byte(head+begin+want+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// proofs names what holds an API to Kafka's behaviour beyond its handler's own tests: the differential harness sends
// every version of every key to both brokers, and these clients use it.
var proofs = map[int16]string{
	0: "every client", 1: "every client", 2: "every client", 3: "every client", 18: "every client",
	8: "every client with groups", 9: "every client with groups", 10: "every client with groups", 11: "every client with groups",
	12: "every client with groups", 13: "every client with groups", 14: "every client with groups",
	15: "kafka-consumer-groups, Java Admin", 16: "kafka-consumer-groups, Java Admin", 42: "kafka-consumer-groups --delete",
	47: "kafka-consumer-groups --delete-offsets",
	68: "Java consumer, franz-go, librdkafka", 69: "kafka-consumer-groups, Java Admin",
	19: "kafka-topics, every client", 20: "kafka-topics, Java Admin, kadm", 21: "kafka-delete-records, kadm",
	22: "idempotent producers of every client", 23: "Java consumer, franz-go",
	32: "kafka-configs, Java Admin", 33: "differential harness", 35: "kafka-log-dirs", 37: "kafka-topics --alter",
	44: "kafka-configs --alter", 55: "kafka-metadata-quorum", 57: "kafka-features", 60: "kafka-cluster, Java Admin",
	61: "kafka-transactions describe-producers, kadm", 62: "every start of a broker", 63: "every start of a broker",
	64: "kafka-cluster unregister", 67: "every idempotent producer", 74: "kafka-configs, Java Admin", 75: "kafka-topics --describe",
	43: "kafka-leader-election, Java Admin", 45: "kafka-reassign-partitions, Java Admin", 46: "kafka-reassign-partitions, Java Admin",
	56: "leaders whose ISR changes", 73: "brokers with several log directories",
	70: "every start of a controller", 80: "kafka-metadata-quorum", 81: "kafka-metadata-quorum", 82: "tests of the controller",
}

func apiTable() string {
	var b strings.Builder
	b.WriteString("| key | API | versions | listener | used in the tests by |\n|-|-|-|-|-|\n")
	for _, api := range protocol.APIs() {
		var on []string
		if api.Scope&protocol.ScopeBroker != 0 {
			on = append(on, "client")
		}
		if api.Scope&protocol.ScopeController != 0 {
			on = append(on, "controller")
		}
		versions := fmt.Sprintf("%d-%d", api.MinVersion, api.MaxVersion)
		if api.AdvertisedMin != api.MinVersion {
			versions += fmt.Sprintf(" (advertised from %d)", api.AdvertisedMin)
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", api.Key, api.Name, versions, strings.Join(on, ", "), proofs[api.Key])
	}
	return b.String()
}

func TestEveryAPIHasAProof(t *testing.T) {
	for _, api := range protocol.APIs() {
		if proofs[api.Key] == "" {
			t.Errorf("%s (%d) is served, but nothing is named that proves it", api.Name, api.Key)
		}
	}
}

// The harness is a module of its own and writes its table itself (`compat differences`); here the page and its list are
// held together in both directions, so that changing one alone fails the build that everybody runs.
func TestEveryMeantDifferenceIsListed(t *testing.T) {
	const listFile = "../compat-tests/diff/expected.txt"
	list, err := os.ReadFile(listFile)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "<!-- begin:differences -->")
	table, _, ok := strings.Cut(rest, "<!-- end:differences -->")
	if !ok {
		t.Fatal(`compatibility.md has no part "differences"`)
	}
	var rows []string
	for row := range strings.Lines(table) {
		if strings.HasPrefix(row, "| ") && !strings.HasPrefix(row, "| requests ") {
			rows = append(rows, strings.TrimSpace(row))
		}
	}
	used := make([]bool, len(rows))
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(line, " | ", 5)
		if len(parts) != 5 {
			t.Fatalf("%s: %q has no five parts", listFile, line)
		}
		found, field := false, "`"+parts[1]+"`"
		if parts[1] == "*" {
			field = "| any |"
		}
		for i, row := range rows {
			if strings.HasPrefix(row, "| `"+parts[0]+"` |") && strings.Contains(row, field) && strings.HasSuffix(row, "| "+parts[4]+" |") {
				used[i], found = true, true
			}
		}
		if !found {
			t.Errorf("compatibility.md does not show %q: run `compat differences`", line)
		}
	}
	for i, row := range rows {
		if !used[i] {
			t.Errorf("compatibility.md shows what %s does not name: %s", listFile, row)
		}
	}
}
