"""kafka-python against the broker at $DMQ_BOOTSTRAP or the first argument: a client that is Python all the way down."""

import os
import sys
import time
import traceback
import uuid

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic

BOOTSTRAP = sys.argv[1] if len(sys.argv) > 1 else os.environ["DMQ_BOOTSTRAP"]
PREFIX = f"python-{uuid.uuid4().hex[:8]}-"
BASE = int(time.time()) // 3600 * 3600_000 - 86_400_000
VERBOSE = bool(os.environ.get("VERBOSE"))
counts = {"passed": 0, "failed": 0}


def check(name, fn, *args):
    began = time.monotonic()
    try:
        fn(*args)
        counts["passed"] += 1
        if VERBOSE:
            print(f"ok   kafka-python: {name} ({(time.monotonic() - began) * 1000:.0f} ms)")
    except Exception as err:
        counts["failed"] += 1
        print(f"FAIL kafka-python: {name}: {type(err).__name__}: {err}")
        if VERBOSE:
            traceback.print_exc()


def same(got, want, what):
    if got != want:
        raise AssertionError(f"{what} is {str(got)[:300]}, want {str(want)[:300]}")


def fails(kind, fn, *args, **kwargs):
    try:
        fn(*args, **kwargs)
    except kind:
        return
    except Exception as err:
        raise AssertionError(f"failed with {type(err).__name__}: {err}, want {kind.__name__}") from err
    raise AssertionError(f"no error, want {kind.__name__}")


admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def consumer(**options):
    return KafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=None, enable_auto_commit=False, fetch_max_wait_ms=50,
                         max_partition_fetch_bytes=4 << 20, **options)


def usable(topic, partitions=1):
    """A broker opens a new partition some milliseconds after it has answered CreateTopics."""
    with_end = time.monotonic() + 10
    c = consumer()
    try:
        while True:
            try:
                c.end_offsets([TopicPartition(topic, p) for p in range(partitions)])
                return
            except errors.KafkaError:
                if time.monotonic() > with_end:
                    raise
    finally:
        c.close()


REPLICAS = int(os.environ.get("DMQ_TEST_REPLICAS", "1"))


def topic(name, configs=None, partitions=1):
    t = PREFIX + name
    admin.create_topics([NewTopic(t, partitions, REPLICAS, topic_configs=configs or {})])
    usable(t, partitions)
    return t


def produce(t, records, **options):
    options = {"acks": "all", "linger_ms": 1, "enable_idempotence": False, "max_request_size": 8 << 20} | options
    p = KafkaProducer(bootstrap_servers=BOOTSTRAP, **options)
    try:
        sent = [p.send(t, partition=0, **r) for r in records]
        p.flush(20)
        return [f.get(20) for f in sent]
    finally:
        p.close()


def read(t, offset, n):
    c = consumer()
    tp = TopicPartition(t, 0)
    c.assign([tp])
    c.seek(tp, offset)
    out = []
    end = time.monotonic() + 20
    while len(out) < n and time.monotonic() < end:
        for records in c.poll(200).values():
            out.extend(records)
    c.close()
    same(len(out), n, "number of records read")
    return out


def some(tag, n):
    return [{"key": f"{tag}-{i}".encode(), "value": (f"{tag} {i} " * 20).encode(), "timestamp_ms": BASE + i * 1000} for i in range(n)]


def compare(got, want, first):
    same([r.offset for r in got], list(range(first, first + len(want))), "offsets")
    same([r.key for r in got], [w.get("key") for w in want], "keys")
    same([r.value for r in got], [w.get("value") for w in want], "values")
    for r, w in zip(got, want):
        if "timestamp_ms" in w:
            same(r.timestamp, w["timestamp_ms"], "timestamp")
        same(list(r.headers), w.get("headers", []), "headers")


def create():
    t = topic("create", {"retention.ms": "3600000"}, 3)
    same(t in admin.list_topics(), True, "listed")
    same(len(admin.describe_topics([t])[0]["partitions"]), 3, "partitions")


def codec(name):
    t = topic(f"codec-{name}")
    want = []
    for acks in (0, 1, "all"):
        records = some(f"{name}{acks}", 10)
        produce(t, records, acks=acks, compression_type=None if name == "none" else name)
        want += records
        c = consumer()
        end = time.monotonic() + 10
        while c.end_offsets([TopicPartition(t, 0)])[TopicPartition(t, 0)] < len(want) and time.monotonic() < end:
            pass
        c.close()
    compare(read(t, 0, 30), want, 0)


def idempotent():
    t = topic("idempotent")
    want = some("i", 200)
    produce(t, want, enable_idempotence=True)
    compare(read(t, 0, 200), want, 0)


def shapes():
    t = topic("shapes")
    want = [
        {"key": None, "value": b"no key"}, {"key": b"no value", "value": None}, {"key": b"", "value": b""},
        {"key": b"h", "value": b"v", "headers": [("a", b"1"), ("a", b"2"), ("empty", b""), ("ü", b"\x00\xff")]},
    ]
    produce(t, want)
    compare(read(t, 0, len(want)), want, 0)


def large():
    t = topic("large", {"max.message.bytes": "3000000"})
    want = [{"key": b"k", "value": os.urandom(1 << 20)}]
    for name in (None, "gzip", "lz4"):
        produce(t, want, compression_type=name)
    compare(read(t, 0, 3), want * 3, 0)


def times():
    t = topic("times")
    want = some("t", 30)
    for i in range(0, 30, 10):
        produce(t, want[i:i + 10])
    tp = TopicPartition(t, 0)
    c = consumer()
    for i in (0, 7, 10, 29):
        found = c.offsets_for_times({tp: BASE + i * 1000})[tp]
        same((found.offset, found.timestamp), (i, BASE + i * 1000), "offset and timestamp")
        compare(read(t, i, 30 - i), want[i:], i)
    same(c.offsets_for_times({tp: BASE + 3_600_000})[tp], None, "offset after the end")
    same((c.beginning_offsets([tp])[tp], c.end_offsets([tp])[tp]), (0, 30), "first and last offset")
    c.close()


def append_time():
    t = topic("append-time", {"message.timestamp.type": "LogAppendTime"})
    meta = produce(t, some("x", 1))[0]
    now = time.time() * 1000
    same(abs(meta.timestamp - now) < 60_000, True, f"append time {meta.timestamp} near {now}")
    r = read(t, 0, 1)[0]
    same((r.timestamp, r.timestamp_type), (meta.timestamp, 1), "timestamp and its type")


def partitions():
    t = topic("more")
    admin.create_partitions({t: NewPartitions(4)})
    usable(t, 4)
    same(len(admin.describe_topics([t])[0]["partitions"]), 4, "partitions")


def delete():
    t = topic("delete")
    produce(t, some("d", 10))
    tp = TopicPartition(t, 0)
    admin.delete_records({tp: 4})
    c = consumer()
    same(c.beginning_offsets([tp])[tp], 4, "first offset")
    c.close()
    admin.delete_topics([t])
    end = time.monotonic() + 5
    while t in admin.list_topics() and time.monotonic() < end:
        pass
    same(t in admin.list_topics(), False, "listed after it")


def cluster():
    d = admin.describe_cluster()
    same(len(d["brokers"]), REPLICAS, "brokers")
    same(len(d["cluster_id"]), 22, "length of the cluster id")


def wrong():
    fails(errors.TopicAlreadyExistsError, admin.create_topics, [NewTopic(PREFIX + "create", 1, 1)])
    fails(errors.InvalidTopicError, admin.create_topics, [NewTopic("a/b", 1, 1)])
    fails(errors.InvalidConfigurationError, admin.create_topics, [NewTopic(PREFIX + "bad", 1, 1, topic_configs={"retention.ms": "soon"})])
    fails(errors.InvalidReplicationFactorError, admin.create_topics, [NewTopic(PREFIX + "bad", 1, 9)])
    fails(errors.UnknownTopicOrPartitionError, admin.delete_topics, [PREFIX + "missing"])
    t = topic("small", {"max.message.bytes": "1000"})
    fails(errors.MessageSizeTooLargeError, produce, t, [{"value": b"x" * 5000}])
    fails(errors.OffsetOutOfRangeError, out_of_range)


def out_of_range():
    c = consumer(auto_offset_reset="none")
    tp = TopicPartition(PREFIX + "times", 0)
    c.assign([tp])
    c.seek(tp, 5000)
    try:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            c.poll(200)
    finally:
        c.close()


check("create topic", create)
for name in ("none", "gzip", "snappy", "lz4", "zstd"):
    check(f"codec {name}, acks 0, 1 and all", codec, name)
check("idempotent produce", idempotent)
check("headers, nulls, empty records", shapes)
check("1 MiB records", large)
check("timestamps, from a time, from any offset", times)
check("log append time", append_time)
check("more partitions", partitions)
check("delete records and topic", delete)
check("describe cluster", cluster)
check("errors", wrong)
admin.close()
print(f"{counts['passed']} passed, {counts['failed']} failed")
sys.exit(1 if counts["failed"] or not counts["passed"] else 0)
