#!/bin/bash
# Makes clean/, killed/, expected/ and dump/ in this folder anew. Needs Java 17 and the jars of Apache Kafka 4.4.0:
#   BROKER=/folder/with/broker/jars TOOLS=/folder/with/tools/jars ./make.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${BROKER:?folder of the broker jars}" "${TOOLS:?folder of the tools jars}" "${PORT:=21400}"
work=$(mktemp -d)
trap 'kill "${pid:-0}" 2>/dev/null || true; rm -rf "$work"' EXIT
cat >"$work/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((PORT + 1))
listeners=PLAINTEXT://127.0.0.1:$PORT,CONTROLLER://127.0.0.1:$((PORT + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$PORT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$work/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
transaction.state.log.segment.bytes=1048576
log.index.size.max.bytes=4096
log.cleaner.backoff.ms=500
log.initial.task.delay.ms=500
metadata.log.max.record.bytes.between.snapshots=4096
P
tool() { java -Xmx256m -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$TOOLS/*" "$@"; }
start() {
  (exec java -Xmx512m -cp "$BROKER/*" kafka.Kafka "$work/server.properties") >>"$work/log" 2>&1 &
  pid=$!
  until (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do kill -0 "$pid" || { tail "$work/log"; exit 1; }; sleep 0.1; done
}
stop() { kill "$pid"; wait "$pid" || true; }
generate() { tool "$here/Generate.java" "$1" "127.0.0.1:$PORT" "${@:2}"; }
keep() { # to: without the preallocated indexes of the metadata log, 20 MB of zeros
  rm -rf "${here:?}/$1"
  cp -a "$work/data" "$here/$1"
  rm -f "$here/$1"/__cluster_metadata-0/*index "$here/$1/.lock"
}

java -cp "$BROKER/*" kafka.tools.StorageTool format -t peerpeerpeerpeerpeerpA -c "$work/server.properties" >/dev/null 2>&1
start
generate fill1
sleep 6 # the cleaner compacts
stop
start
generate fill2
sleep 3
rm -rf "${here:?}/expected" "${here:?}/dump"
generate dump "$here/expected"
keep killed # as kill -9 would leave it: no clean mark, preallocated indexes
stop
keep clean
mkdir "$here/dump"
for folder in "$here"/clean/[a-z]*-[0-9]; do
  for file in "$folder"/*.{log,index,timeindex,snapshot,txnindex}; do
    [ -s "$file" ] || continue
    tool org.apache.kafka.tools.DumpLogSegments --files "$file" | sed "s|$here/||g" || true
  done >"$here/dump/$(basename "$folder").txt" 2>&1
done
