#!/usr/bin/env bash
# kcat (Debian's, on librdkafka 2.0.2) against the broker at $DMQ_BOOTSTRAP or $1. Topics come by auto-creation, as kcat users know it.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
suite=kcat
. ../lib.sh
broker=${1:-${DMQ_BOOTSTRAP:?address of a broker}}
run=kcat-$$-$RANDOM
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
quick=(-X fetch.wait.max.ms=20 -X topic.metadata.refresh.fast.interval.ms=20)
k() { timeout 30 kcat -b "$broker" "${quick[@]}" "$@"; }
# made NAME: asks for the topic's metadata, which creates it, and waits until it is there; librdkafka itself looks again only after a second
made() {
  for _ in $(seq 200); do
    k -L -J -t "$1" 2>/dev/null | jq -e '.topics[0].partitions | length > 0' >/dev/null && return
  done
  echo "$1 was not created"
  return 1
}
produce() { k -P "$@"; }
consume() { k -C -q -e -p 0 "$@"; }

command -v kcat >/dev/null || { echo "FAIL kcat: it is not installed"; echo "0 passed, 1 failed"; exit 1; }

lists() { k -L -J | jq -e ".brokers | length == ${DMQ_TEST_REPLICAS:-1}"; }
creates() { produce -t "$run-auto" <<<hello && same hello "$(consume -t "$run-auto")"; }
round() { # codec acks
  local t=$run-$1-$2
  made "$t" || return 1
  seq -f "record number %g of many, of many, of many" 500 >"$work/in"
  produce -t "$t" -p 0 -z "$1" -X acks="$2" -l "$work/in" || return 1
  for _ in $(seq 100); do # acks=0 does not wait
    consume -t "$t" -o beginning >"$work/out" || return 1
    [ "$(wc -l <"$work/out")" -ge 500 ] && break
  done
  cmp "$work/in" "$work/out"
}
idempotent() {
  made "$run-idem" || return 1
  seq 1000 >"$work/in"
  produce -t "$run-idem" -p 0 -X enable.idempotence=true -l "$work/in" && consume -t "$run-idem" >"$work/out" && cmp "$work/in" "$work/out"
}
headers() {
  made "$run-headers" || return 1
  produce -t "$run-headers" -p 0 -H a=1 -H b=two -H a=3 <<<x || return 1
  same 'a=1,b=two,a=3 x' "$(consume -t "$run-headers" -f '%h %s\n')"
}
nulls() {
  made "$run-nulls" || return 1
  printf 'key:value\nempty:\n' | produce -t "$run-nulls" -p 0 -K: -Z || return 1
  printf 'novalue:\n' | produce -t "$run-nulls" -p 0 -K: -Z || return 1
  same 'key/value/3/5 empty//5/-1 novalue//7/-1 ' "$(consume -t "$run-nulls" -f '%k/%s/%K/%S ')"
}
empties() {
  made "$run-empty" || return 1
  printf 'k:\n' | produce -t "$run-empty" -p 0 -K: || return 1
  same '1/0' "$(consume -t "$run-empty" -f '%K/%S')"
}
large() { # codec; 1000000 bytes are the largest that librdkafka sends and a topic takes without configuration
  made "$run-large-$1" || return 1
  head -c 999000 /dev/urandom >"$work/big"
  produce -t "$run-large-$1" -p 0 -z "$1" "$work/big" || return 1
  consume -t "$run-large-$1" -D '' -X fetch.message.max.bytes=3000000 >"$work/out" && cmp "$work/big" "$work/out"
}
offsets() {
  made "$run-offsets" || return 1
  seq 100 | produce -t "$run-offsets" -p 0 || return 1
  same "$(seq 43 100)" "$(consume -t "$run-offsets" -o 42)" || return 1
  same "$(seq 96 100)" "$(consume -t "$run-offsets" -o -5)" || return 1
  same "$(printf '10 11\n11 12')" "$(k -C -q -t "$run-offsets" -p 0 -o 10 -c 2 -f '%o %s\n')"
}
times() {
  made "$run-times" || return 1
  local between now
  echo one | produce -t "$run-times" -p 0 || return 1
  between=$(($(consume -t "$run-times" -f '%T') + 1))
  now=$(date +%s%3N)
  [ "$between" -gt $((now - 60000)) ] && [ "$between" -lt $((now + 60000)) ] || { echo "timestamp $between, now $now"; return 1; }
  while [ "$(date +%s%3N)" -le $((between + 2)) ]; do :; done
  echo two | produce -t "$run-times" -p 0 || return 1
  same two "$(consume -t "$run-times" -o "s@$between")" || return 1
  same one "$(consume -t "$run-times" -o s@0 -o "e@$between")" || return 1
  same "$run-times [0] offset 1" "$(k -Q -t "$run-times:0:$between")"
}
partitioned() { # every partition of the topic is there and read
  k -L -J -t "$run-auto" | jq -e '.topics[0].partitions | length >= 1 and all(.leader >= 0)'
}
badname() { ! produce -t "bad/name" -X message.timeout.ms=3000 <<<x; }
badpartition() { ! produce -t "$run-auto" -p 500 -X message.timeout.ms=1500 <<<x; }
beyond() { ! k -C -q -e -p 0 -t "$run-auto" -o 5000 -X auto.offset.reset=error; }
toolarge() {
  made "$run-toolarge" || return 1
  head -c 2000000 /dev/urandom >"$work/big"
  produce -t "$run-toolarge" -p 0 -X message.max.bytes=4000000 "$work/big" 2>"$work/err" && return 1
  grep -i 'too large' "$work/err"
}

check "metadata" lists
check "auto-create, produce, consume" creates
for codec in none gzip snappy lz4 zstd; do
  for acks in 0 1 all; do check "codec $codec, acks $acks" round $codec $acks; done
done
check "idempotent produce" idempotent
check "headers" headers
check "null values" nulls
check "empty values" empties
check "large record" large none
check "large record, zstd" large zstd
check "offsets" offsets
check "timestamps, from a time" times
check "partitions have leaders" partitioned
check "error: invalid topic name" badname
check "error: unknown partition" badpartition
check "error: offset out of range" beyond
check "error: record too large" toolarge
closing
