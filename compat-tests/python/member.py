"""Hosts members of groups with aiokafka; go/member/doc.go says what it is told and what it says."""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

ADDR = sys.argv[1]
ASSIGNORS = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor}


def say(*words):
    print(*words, flush=True)


class Member(ConsumerRebalanceListener):
    def __init__(self, name, group, topic, protocol, assignor, instance, session):
        self.name, self.topic, self.leaving, self.held = name, topic, False, set()
        session = int(session)
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=ADDR, group_id=group, group_instance_id=None if instance == "-" else instance, enable_auto_commit=False, auto_offset_reset="earliest",
            fetch_max_wait_ms=100, metadata_max_age_ms=1000, session_timeout_ms=session, heartbeat_interval_ms=min(300, session // 3), rebalance_timeout_ms=20000,
            max_poll_interval_ms=max(20000, session), partition_assignment_strategy=[ASSIGNORS[assignor]], retry_backoff_ms=50)
        self.task = asyncio.create_task(self.run())

    def tell(self):
        say("assigned", self.name, ",".join(map(str, sorted(self.held))) or "-")

    def on_partitions_assigned(self, assigned):
        self.held |= {tp.partition for tp in assigned}
        self.tell()

    def on_partitions_revoked(self, revoked):
        self.held -= {tp.partition for tp in revoked}
        self.tell()

    async def run(self):
        self.consumer.subscribe([self.topic], listener=self)
        await self.consumer.start()
        while not self.leaving:
            try:
                await self.poll()
            except KafkaError as err:
                say("error", self.name, type(err).__name__, str(err).replace("\n", " "))
                await asyncio.sleep(0.05)
        await self.consumer.stop()
        say("left", self.name)

    async def poll(self):
        offsets = {}
        for tp, records in (await self.consumer.getmany(timeout_ms=100, max_records=50)).items():
            for r in records:
                say("record", self.name, r.partition, r.offset, r.value.decode())
            offsets[tp] = records[-1].offset + 1
        if offsets:
            await self.consumer.commit(offsets)
            for tp, offset in offsets.items():
                say("committed", self.name, tp.partition, offset)


async def main():
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    members = []
    while line := (await lines.readline()).decode():
        command, name, *rest = line.split()
        if command == "join":
            members.append(Member(name, *rest))
        else:
            [m for m in members if m.name == name][-1].leaving = True
    for m in members:
        m.leaving = True
    await asyncio.gather(*(m.task for m in members))


asyncio.run(main())
