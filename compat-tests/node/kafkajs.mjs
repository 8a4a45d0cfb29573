// kafkajs 2.2.4 against the broker at $DMQ_BOOTSTRAP or the first argument: producer and admin. kafkajs consumes only in
// groups, so what it produced is read back with kcat, from assigned partitions.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import lz4 from 'lz4-napi'
import zstd from '@mongodb-js/zstd'

const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = kafkajs
CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({ compress: e => lz4.compressFrame(e.buffer), decompress: b => lz4.decompressFrame(b) })
CompressionCodecs[CompressionTypes.ZSTD] = () => ({ compress: e => zstd.compress(e.buffer), decompress: b => zstd.decompress(b) })

const run = promisify(execFile)
const bootstrap = process.argv[2] ?? process.env.DMQ_BOOTSTRAP
const prefix = `kafkajs-${process.pid}-${Date.now()}-`
const base = Math.floor(Date.now() / 3600000) * 3600000 - 86400000
let passed = 0
let failed = 0

async function check(name, fn) {
  const began = Date.now()
  try {
    await fn()
    passed++
    if (process.env.VERBOSE) console.log(`ok   kafkajs: ${name} (${Date.now() - began} ms)`)
  } catch (err) {
    failed++
    console.log(`FAIL kafkajs: ${name}: ${err.stack ?? err}`)
  }
}

function same(got, want, what) {
  const [g, w] = [JSON.stringify(got), JSON.stringify(want)]
  if (g !== w) throw new Error(`${what} is ${g?.slice(0, 300)}, want ${w?.slice(0, 300)}`)
}

// until asks again until it is so: another broker may be asked each time, and hears of a change in its own time
async function until(what, so) {
  for (const end = Date.now() + 30000; Date.now() < end;) {
    if (await so()) return
  }
  throw new Error(`wait until ${what}: 30 s have passed`)
}

// fails: the promise has to be rejected with that Kafka error type
async function fails(type, promise) {
  try {
    await promise
  } catch (err) {
    const types = [err.type, err.cause?.type, ...(err.errors ?? []).map(e => e.type)]
    if (types.includes(type)) return
    throw new Error(`failed with ${types} (${err.message}), want ${type}`)
  }
  throw new Error(`no error, want ${type}`)
}

const kafka = new Kafka({ clientId: 'compat', brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 6, initialRetryTime: 50 } })
const admin = kafka.admin()

const replicas = Number(process.env.DMQ_TEST_REPLICAS ?? 1)

async function topic(name, configEntries = [], numPartitions = 1) {
  const t = prefix + name
  await admin.createTopics({ topics: [{ topic: t, numPartitions, replicationFactor: replicas, configEntries }], waitForLeaders: true })
  return t
}

// read returns the records of partition 0 as kcat shows them
async function read(t) {
  const { stdout } = await run('kcat', ['-b', bootstrap, '-C', '-q', '-e', '-J', '-t', t, '-p', '0', '-o', 'beginning', '-X', 'fetch.wait.max.ms=20'], { maxBuffer: 64 << 20 })
  return stdout.split('\n').filter(Boolean).map(line => JSON.parse(line))
}

async function withProducer(options, fn) {
  const producer = kafka.producer(options)
  await producer.connect()
  try {
    return await fn(producer)
  } finally {
    await producer.disconnect()
  }
}

const some = (tag, n) => Array.from({ length: n }, (_, i) => ({ partition: 0, key: `${tag}-${i}`, value: `${tag} ${i} `.repeat(20), timestamp: String(base + i * 1000) }))

await admin.connect()
await check('create topic', async () => {
  const t = await topic('create', [{ name: 'retention.ms', value: '3600000' }], 3)
  const m = await admin.fetchTopicMetadata({ topics: [t] })
  same(m.topics[0].partitions.map(p => [p.partitionId, p.isr.includes(p.leader), p.isr.length]).sort(), [0, 1, 2].map(p => [p, true, replicas]), 'partitions')
  await until('the topic is listed', async () => (await admin.listTopics()).includes(t))
  same(await admin.createTopics({ topics: [{ topic: t }] }), false, 'created again')
})
for (const [name, compression] of Object.entries({ none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD })) {
  await check(`codec ${name}, acks 0, 1 and all`, async () => {
    const t = await topic(`codec-${name}`)
    const want = []
    await withProducer({}, async producer => {
      for (const acks of [0, 1, -1]) {
        const messages = some(`${name}${acks}`, 10)
        await producer.send({ topic: t, compression, acks, messages })
        want.push(...messages)
        for (let i = 0; i < 500; i++) {
          const [o] = await admin.fetchTopicOffsets(t)
          if (Number(o.high) >= want.length) break
        }
      }
    })
    const got = await read(t)
    same(got.map(r => [r.offset, r.key, r.payload, r.ts]), want.map((m, i) => [i, m.key, m.value, Number(m.timestamp)]), 'records')
  })
}
await check('idempotent produce', async () => {
  const t = await topic('idempotent')
  const want = []
  await withProducer({ idempotent: true, maxInFlightRequests: 1 }, async producer => {
    for (let i = 0; i < 10; i++) {
      const messages = some(`i${i}`, 20)
      await producer.send({ topic: t, messages })
      want.push(...messages)
    }
  })
  same((await read(t)).map(r => r.key), want.map(m => m.key), 'keys')
})
await check('headers, nulls, empty records', async () => {
  const t = await topic('shapes')
  await withProducer({}, producer => producer.send({
    topic: t,
    messages: [
      { partition: 0, value: 'no key' }, { partition: 0, key: 'no value', value: null }, { partition: 0, key: null, value: null }, { partition: 0, key: '', value: '' },
      { partition: 0, key: 'h', value: 'v', headers: { a: ['1', '2'], b: 'x' } }
    ]
  }))
  const got = await read(t)
  same(got.map(r => [r.key, r.payload]), [[null, 'no key'], ['no value', null], [null, null], ['', ''], ['h', 'v']], 'records')
  same(got[4].headers, ['a', '1', 'a', '2', 'b', 'x'], 'headers')
})
await check('1 MiB record', async () => {
  const t = await topic('large', [{ name: 'max.message.bytes', value: '3000000' }])
  const value = 'x'.repeat(1 << 20)
  await withProducer({}, async producer => {
    await producer.send({ topic: t, messages: [{ partition: 0, value }] })
    await producer.send({ topic: t, compression: CompressionTypes.GZIP, messages: [{ partition: 0, value }] })
  })
  same((await read(t)).map(r => r.payload.length), [1 << 20, 1 << 20], 'lengths')
})
await check('offsets, from a time', async () => {
  const t = `${prefix}codec-none`
  const [o] = await admin.fetchTopicOffsets(t)
  same([o.low, o.high], ['0', '30'], 'offsets')
  const [at] = await admin.fetchTopicOffsetsByTimestamp(t, base + 4000)
  same(at.offset, '4', 'offset at a time')
})
await check('configs', async () => {
  const t = `${prefix}create`
  const resource = { type: ConfigResourceTypes.TOPIC, name: t }
  const value = async () => (await admin.describeConfigs({ resources: [{ ...resource, configNames: ['retention.ms'] }] })).resources[0].configEntries[0].configValue
  same(await value(), '3600000', 'retention.ms')
  await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] })
  await until('the change shows', async () => (await value()) === '7200000')
})
await check('more partitions', async () => {
  const t = await topic('more')
  await admin.createPartitions({ topicPartitions: [{ topic: t, count: 4 }] })
  await until('the partitions show', async () => (await admin.fetchTopicMetadata({ topics: [t] })).topics[0].partitions.length === 4)
})
await check('delete records and topic', async () => {
  const t = await topic('delete')
  await withProducer({}, producer => producer.send({ topic: t, messages: some('d', 10) }))
  await admin.fetchTopicOffsets(t) // kafkajs looks for the leader before it has asked for metadata
  await admin.deleteTopicRecords({ topic: t, partitions: [{ partition: 0, offset: '4' }] })
  same((await admin.fetchTopicOffsets(t))[0].low, '4', 'low')
  await admin.deleteTopics({ topics: [t] })
  await until('the topic is not listed any more', async () => !(await admin.listTopics()).includes(t))
})
await check('describe cluster', async () => {
  const c = await admin.describeCluster()
  same([c.brokers.length, c.controller >= 1 && c.controller <= replicas, c.clusterId.length], [replicas, true, 22], 'cluster')
})
await check('errors', async () => {
  await fails('INVALID_TOPIC_EXCEPTION', admin.createTopics({ topics: [{ topic: 'a/b' }] }))
  await fails('INVALID_CONFIG', admin.createTopics({ topics: [{ topic: `${prefix}bad`, configEntries: [{ name: 'retention.ms', value: 'soon' }] }] }))
  await fails('INVALID_REPLICATION_FACTOR', admin.createTopics({ topics: [{ topic: `${prefix}bad`, replicationFactor: 9 }] }))
  const t = await topic('small', [{ name: 'max.message.bytes', value: '1000' }])
  await withProducer({}, producer => fails('MESSAGE_TOO_LARGE', producer.send({ topic: t, messages: [{ partition: 0, value: 'x'.repeat(5000) }] })))
})
await admin.disconnect()
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed > 0 || passed === 0 ? 1 : 0)
