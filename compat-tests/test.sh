#!/usr/bin/env bash
# Everything that has to pass: `make test`. LONG=1 runs the long forms (20 power cuts, groups under load): `make compat`.
#
#   install     what is missing, beside the Go tests (compat-tests/install.sh)
#   go test     the tests of this repository, and that the lower rooms build for wasip1
#   cli         the scripts of dmq group against Apache Kafka
#   clients     every Kafka client against dmq as a real process, and Kafka's own tools on its files
#   clients 3   the same against three nodes and three replicas, and Kafka's own tools for clusters while nodes are stopped
#   kgo         franz-go's own published tests against dmq; with LONG=1 against three nodes, too
#   proof       only with LONG=1: Kafka against Kafka shows no difference, in any of diff, three, voters and life
#   groups      groups of every client live, and live through a kill of the broker; with LONG=1 in every protocol and assignor
#   groups 3    the same against three nodes of which each is killed, by three of the clients; with LONG=1 by all
#   storm       hundreds of members come, go, crash and fall silent while the broker is killed; with LONG=1 for two minutes
#   storm 3     the same on three nodes, of which one after the other is killed or restarted, and all at the end
#   diff        the same bytes to Apache Kafka and to dmq, every answer compared
#   three       the same bytes to three nodes of Apache Kafka and of dmq; nodes are lost and come back
#   voters      the same while voters are added to the quorum and removed
#   groupdata   the records of groups of every kind, beside those that Kafka wrote
#   life        scripts of group life played on both, the transcripts compared
#   transcripts only with LONG=1: the transcripts of the state machine of classic groups played by dmq
#   datadir     Kafka's data directory opened by dmq, and dmq's partitions by Kafka
#   faults      faults planted in dmq: the tests of their rooms have to find them
#   scenarios   three controllers and two brokers from a services.json, by HTTP and kcat: the eight acceptance scenarios
#   crash       kill -9 and power cuts under load; power cuts need root (or sudo) and loop devices
#   chaos       90 seconds of every kind of fault on three nodes, always of the same seed; networks and disks of their own need root (or sudo)
#
# Each part prints its own lines; the end is a table, one "N passed, N failed" line over all of them and, where a part could
# not run on this machine, a last line that starts with NOT RUN.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
mkdir -p .cache
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 table='' notrun=''

# part NAME COMMAND...: runs the command, shows what it prints, and counts its closing lines, or go test's packages
part() {
  local name=$1 began=$SECONDS code p f
  shift
  echo "== $name"
  "$@" 2>&1 | tee "$work/out"
  code=${PIPESTATUS[0]}
  p=$(grep -cE '^ok\s+\S*distributedmq' "$work/out")
  f=$(grep -cE '^FAIL\s+\S*distributedmq' "$work/out")
  while read -r a b; do
    p=$((p + a)) f=$((f + b))
  done < <(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$work/out")
  [ "$code" = 0 ] || [ "$f" != 0 ] || f=1
  [ "$code" != 0 ] || [ "$p" != 0 ] || grep -q '^NOT RUN' "$work/out" || { echo "FAIL $name: it tested nothing"; f=1; }
  passed=$((passed + p)) failed=$((failed + f))
  table+=$(printf '%-12s %5d passed %4d failed %5d s' "$name" "$p" "$f" $((SECONDS - began)))$'\n'
  notrun+=$(grep '^NOT RUN' "$work/out")
}

gotest() {
  go vet ./... && go test ./... && GOOS=wasip1 GOARCH=wasm go build ./protocol/... ./log/... ./kraft/... ./broker/... && (cd compat-tests && go vet ./... && go test ./...)
}

rounds=5 short=(-short) three=(-short -run '^(java|librdkafka|franz-go)') storm3=(-groups 1 -for 12s) long=()
[ -z "${LONG:-}" ] || rounds=20 short=() three=() storm3=(-long) long=(-long)
compat=.cache/bin/compat
./compat-tests/install.sh >"$work/install" 2>&1 &
installing=$!
part "go test" gotest
wait $installing || { failed=$((failed + 1)); echo "FAIL install"; }
cat "$work/install"
if ! go build -trimpath -o .cache/bin/dmq ./cmd/dmq; then
  echo "FAIL build: dmq does not compile"
  echo "$passed passed, $((failed + 1)) failed"
  exit 1
fi
export DMQ_BIN=$PWD/.cache/bin/dmq

part cli $compat with kafka -p group.initial.rebalance.delay.ms=0 -- bash -c 'DMQ_TEST_BROKERS=$DMQ_BOOTSTRAP go test -count=1 -run "TestScripts/group(_consumer)?$" ./cmd/dmq'
part clients $compat smoke
part "clients 3" $compat smoke -nodes 3
part kgo $compat kgo
[ -z "${LONG:-}" ] || part "kgo 3" $compat kgo -nodes 3
part groups $compat groups "${short[@]}"
part "groups 3" $compat groups -nodes 3 "${three[@]}"
part storm $compat storm -for 12s "${long[@]}"
part "storm 3" $compat storm -nodes 3 "${storm3[@]}"
part diff $compat diff
part three $compat three
part voters $compat voters
part life $compat life
[ -z "${LONG:-}" ] || part proof $compat diff -b kafka
[ -z "${LONG:-}" ] || part "proof three" $compat three -b kafka
[ -z "${LONG:-}" ] || part "proof voters" $compat voters -b kafka
part groupdata $compat groupdata
[ -z "${LONG:-}" ] || part "proof life" $compat life -b kafka
[ -z "${LONG:-}" ] || part transcripts $compat transcripts
part datadir $compat datadir
part faults $compat faults
part scenarios $compat scenarios
part "kill -9" $compat kill -rounds "$rounds"
part "power cut" $compat powercut -rounds "$rounds"
part chaos $compat chaos -seed 1 -duration 90s

echo
echo "$table"
echo "$passed passed, $failed failed"
[ -z "$notrun" ] || echo "$notrun"
[ "$failed" = 0 ]
