// Hosts members of groups with kafkajs; go/member/doc.go says what it is told and what it says.
import readline from 'node:readline'
import kafkajs from 'kafkajs'

const { Kafka, PartitionAssigners, logLevel } = kafkajs
const say = (...words) => process.stdout.write(words.join(' ').replaceAll('\n', ' ') + '\n')
const members = new Map()

async function join(name, group, topic, protocol, assignor, instance, session) {
  session = Number(session)
  const kafka = new Kafka({
    clientId: 'compat', brokers: [process.argv[2]], retry: { retries: 1000, initialRetryTime: 50, maxRetryTime: 300 },
    logLevel: logLevel.ERROR, logCreator: () => ({ log }) => say('error', name, log.message, log.error ?? '')
  })
  const consumer = kafka.consumer({
    groupId: group, sessionTimeout: session, rebalanceTimeout: 20000, heartbeatInterval: Math.min(300, session / 3), metadataMaxAge: 1000,
    maxWaitTimeInMs: 100, minBytes: 1, partitionAssigners: [PartitionAssigners.roundRobin], allowAutoTopicCreation: false
  })
  members.set(name, consumer)
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => say('assigned', name, (payload.memberAssignment[topic] ?? []).sort((a, b) => a - b).join(',') || '-'))
  consumer.on(consumer.events.REBALANCING, () => say('assigned', name, '-'))
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    partitionsConsumedConcurrently: 1,
    eachBatch: async ({ batch, heartbeat, isRunning, isStale }) => {
      if (!isRunning() || isStale()) return
      for (const m of batch.messages) say('record', name, batch.partition, m.offset, m.value.toString())
      const offset = (BigInt(batch.lastOffset()) + 1n).toString()
      try {
        await consumer.commitOffsets([{ topic, partition: batch.partition, offset }])
        say('committed', name, batch.partition, offset)
      } catch (err) {
        say('error', name, err.message)
        throw err
      }
      await heartbeat()
    }
  })
}

async function leave(name) {
  const consumer = members.get(name)
  members.delete(name)
  await consumer.disconnect()
  say('left', name)
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [command, name, ...rest] = line.split(' ')
  const done = command === 'join' ? join(name, ...rest) : leave(name)
  done.catch(err => say('error', name, err.message))
}
await Promise.all([...members.keys()].map(leave))
process.exit(0)
