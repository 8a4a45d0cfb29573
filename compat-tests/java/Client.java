import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Java client 4.4: producer, consumer with assigned partitions, admin. */
final class Client {
    /** Yesterday, so that retention leaves the records alone. */
    private static final long BASE = System.currentTimeMillis() / 3_600_000 * 3_600_000 - 86_400_000;
    private final String bootstrap;
    private final String prefix = "java-" + System.nanoTime() + "-";
    private final Check check = new Check("java client");
    private Admin admin;

    Client(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    private static byte[] bytes(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    private Properties properties() {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        return p;
    }

    private KafkaProducer<byte[], byte[]> producer(String codec, String acks, boolean idempotent) {
        Properties p = properties();
        p.put("compression.type", codec);
        p.put("acks", acks);
        p.put("enable.idempotence", String.valueOf(idempotent));
        p.put("max.request.size", "8000000");
        p.put("batch.size", "2000");
        p.put("linger.ms", "2");
        p.put("delivery.timeout.ms", "20000");
        p.put("request.timeout.ms", "10000");
        return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private KafkaConsumer<byte[], byte[]> consumer() {
        Properties p = properties();
        p.put("auto.offset.reset", "none");
        p.put("fetch.max.wait.ms", "50");
        p.put("enable.auto.commit", "false");
        return new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** How many replicas topics have: as many as the cluster has nodes. */
    private static final short REPLICAS = Short.parseShort(System.getenv().getOrDefault("DMQ_TEST_REPLICAS", "1"));

    private String topic(String name, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(prefix + name, 1, REPLICAS).configs(configs))).all().get();
        usable(prefix + name, 1);
        return prefix + name;
    }

    /** A broker opens a new partition some milliseconds after it has answered CreateTopics. */
    private void usable(String topic, int partitions) throws Exception {
        for (int p = 0; p < partitions; p++) {
            for (long end = System.nanoTime() + 10_000_000_000L; ; ) {
                try {
                    admin.listOffsets(Map.of(new TopicPartition(topic, p), OffsetSpec.latest())).all().get();
                    break;
                } catch (ExecutionException e) {
                    if (System.nanoTime() > end) {
                        throw e;
                    }
                }
            }
        }
    }

    private void send(KafkaProducer<byte[], byte[]> producer, List<ProducerRecord<byte[], byte[]>> records) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (ProducerRecord<byte[], byte[]> r : records) {
            sent.add(producer.send(r));
        }
        producer.flush();
        for (Future<RecordMetadata> f : sent) {
            f.get();
        }
    }

    private List<ConsumerRecord<byte[], byte[]>> read(String topic, long offset, int n) throws Exception {
        TopicPartition tp = new TopicPartition(topic, 0);
        List<ConsumerRecord<byte[], byte[]>> out = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> c = consumer()) {
            c.assign(List.of(tp));
            c.seek(tp, offset);
            for (long end = System.nanoTime() + 20_000_000_000L; out.size() < n && System.nanoTime() < end; ) {
                c.poll(Duration.ofMillis(500)).forEach(out::add);
            }
        }
        Check.same(n, out.size(), "records read from " + offset);
        return out;
    }

    private List<ProducerRecord<byte[], byte[]>> some(String topic, String tag, int n) {
        List<ProducerRecord<byte[], byte[]>> out = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            out.add(new ProducerRecord<>(topic, 0, BASE + i * 1000L, bytes(tag + i), bytes((tag + " " + i + " ").repeat(20))));
        }
        return out;
    }

    private void compare(List<ProducerRecord<byte[], byte[]>> want, List<ConsumerRecord<byte[], byte[]>> got, long from) {
        Check.same(want.size(), got.size(), "records");
        for (int i = 0; i < want.size(); i++) {
            Check.same(from + i, got.get(i).offset(), "offset");
            Check.same(want.get(i).key(), got.get(i).key(), "key of " + i);
            Check.same(want.get(i).value(), got.get(i).value(), "value of " + i);
            if (want.get(i).timestamp() != null) {
                Check.same(want.get(i).timestamp(), got.get(i).timestamp(), "timestamp of " + i);
            }
            Header[] wh = want.get(i).headers().toArray();
            Header[] gh = got.get(i).headers().toArray();
            Check.same(wh.length, gh.length, "headers of " + i);
            for (int h = 0; h < wh.length; h++) {
                Check.same(wh[h].key(), gh[h].key(), "header key");
                Check.same(wh[h].value(), gh[h].value(), "header value");
            }
        }
    }

    int run() throws Exception {
        try (Admin a = Admin.create(properties())) {
            admin = a;
            check.that("create topic", this::create);
            check.that("every codec with acks 0, 1 and all", this::codecs);
            check.that("idempotent produce", this::idempotent);
            check.that("headers, nulls, empty records", this::shapes);
            check.that("1 MiB records", this::large);
            check.that("timestamps, from a time", this::times);
            check.that("from any offset", this::offsets);
            check.that("log append time", this::appendTime);
            check.that("create more partitions", this::morePartitions);
            check.that("configs", this::configs);
            check.that("delete records", this::deleteRecords);
            check.that("delete topic", this::deleteTopic);
            check.that("describe cluster, features, quorum, log dirs", this::describe);
            check.that("describe producers", this::producers);
            check.that("errors of the admin", this::adminErrors);
            check.that("errors of the producer", this::producerErrors);
            check.that("offset out of range", this::outOfRange);
        }
        return check.close();
    }

    private void create() throws Exception {
        NewTopic t = new NewTopic(prefix + "create", 3, REPLICAS).configs(Map.of("retention.ms", "3600000"));
        var result = admin.createTopics(List.of(t));
        result.all().get();
        Check.same(3, result.numPartitions(prefix + "create").get(), "partitions");
        Check.same((int) REPLICAS, result.replicationFactor(prefix + "create").get(), "replication factor");
        Check.same("3600000", result.config(prefix + "create").get().get("retention.ms").value(), "retention.ms");
        usable(prefix + "create", 3);
        TopicDescription d = admin.describeTopics(List.of(prefix + "create")).allTopicNames().get().get(prefix + "create");
        Check.same(3, d.partitions().size(), "partitions described");
        Check.same(result.topicId(prefix + "create").get(), d.topicId(), "topic id");
        Check.isTrue(admin.listTopics().names().get().contains(prefix + "create"), "the topic is not listed");
        TopicDescription byId = admin.describeTopics(org.apache.kafka.common.TopicCollection.ofTopicIds(List.of(d.topicId()))).allTopicIds().get().get(d.topicId());
        Check.same(d.name(), byId.name(), "name by id");
        Check.same(3, byId.partitions().size(), "partitions by id");
    }

    private void codecs() throws Exception {
        String topic = topic("codecs", Map.of());
        List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            for (String acks : List.of("0", "1", "all")) {
                List<ProducerRecord<byte[], byte[]>> records = some(topic, codec + acks, 20);
                try (KafkaProducer<byte[], byte[]> p = producer(codec, acks, false)) {
                    send(p, records);
                }
                sent.addAll(records);
                long end = 0;
                for (long stop = System.nanoTime() + 10_000_000_000L; end < sent.size() && System.nanoTime() < stop; ) {
                    end = admin.listOffsets(Map.of(new TopicPartition(topic, 0), OffsetSpec.latest())).all().get().values().iterator().next().offset();
                }
            }
        }
        compare(sent, read(topic, 0, sent.size()), 0);
    }

    private void idempotent() throws Exception {
        String topic = topic("idempotent", Map.of());
        List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> p = producer("zstd", "all", true)) {
            for (int i = 0; i < 10; i++) {
                List<ProducerRecord<byte[], byte[]>> records = some(topic, "idem" + i, 50);
                send(p, records);
                sent.addAll(records);
            }
        }
        compare(sent, read(topic, 0, sent.size()), 0);
    }

    private void shapes() throws Exception {
        String topic = topic("shapes", Map.of());
        List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
        sent.add(new ProducerRecord<>(topic, 0, null, bytes("no key")));
        sent.add(new ProducerRecord<>(topic, 0, bytes("no value"), null));
        sent.add(new ProducerRecord<>(topic, 0, null, null));
        sent.add(new ProducerRecord<>(topic, 0, new byte[0], new byte[0]));
        ProducerRecord<byte[], byte[]> h = new ProducerRecord<>(topic, 0, bytes("h"), bytes("v"));
        h.headers().add("a", bytes("1")).add("a", bytes("2")).add("empty", new byte[0]).add("null", null).add("ü", new byte[] {0, -1});
        sent.add(h);
        for (String codec : List.of("none", "snappy")) {
            try (KafkaProducer<byte[], byte[]> p = producer(codec, "all", true)) {
                send(p, sent);
            }
        }
        List<ProducerRecord<byte[], byte[]>> want = new ArrayList<>(sent);
        want.addAll(sent);
        compare(want, read(topic, 0, want.size()), 0);
    }

    private void large() throws Exception {
        String topic = topic("large", Map.of("max.message.bytes", "3000000"));
        List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
        Random random = new Random(1);
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            byte[] value = new byte[1 << 20];
            random.nextBytes(value);
            ProducerRecord<byte[], byte[]> r = new ProducerRecord<>(topic, 0, bytes(codec), value);
            try (KafkaProducer<byte[], byte[]> p = producer(codec, "all", true)) {
                send(p, List.of(r));
            }
            sent.add(r);
        }
        compare(sent, read(topic, 0, sent.size()), 0);
    }

    private void times() throws Exception {
        String topic = topic("times", Map.of());
        List<ProducerRecord<byte[], byte[]>> sent = some(topic, "t", 30);
        try (KafkaProducer<byte[], byte[]> p = producer("none", "all", true)) {
            for (int i = 0; i < 30; i += 10) {
                send(p, sent.subList(i, i + 10));
            }
        }
        TopicPartition tp = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> c = consumer()) {
            for (int i : new int[] {0, 7, 10, 29}) {
                OffsetAndTimestamp o = c.offsetsForTimes(Map.of(tp, BASE + i * 1000L - 1)).get(tp);
                Check.same((long) i, o.offset(), "offset for second " + i);
                Check.same(BASE + i * 1000L, o.timestamp(), "timestamp for second " + i);
                Check.same(0, o.leaderEpoch().get(), "leader epoch");
                compare(sent.subList(i, 30), read(topic, i, 30 - i), i);
            }
            Check.same(null, c.offsetsForTimes(Map.of(tp, BASE + 3600_000L)).get(tp), "offset after the end");
        }
        Check.same(29L, admin.listOffsets(Map.of(tp, OffsetSpec.maxTimestamp())).all().get().get(tp).offset(), "offset of the largest timestamp");
        for (OffsetSpec spec : List.of(OffsetSpec.earliest(), OffsetSpec.earliestLocal(), OffsetSpec.forTimestamp(0))) {
            Check.same(0L, admin.listOffsets(Map.of(tp, spec)).all().get().get(tp).offset(), "offset at " + spec.getClass().getSimpleName());
        }
    }

    private void offsets() throws Exception {
        String topic = topic("offsets", Map.of());
        List<ProducerRecord<byte[], byte[]>> sent = some(topic, "o", 100);
        try (KafkaProducer<byte[], byte[]> p = producer("lz4", "1", false)) {
            send(p, sent);
        }
        for (int from : new int[] {0, 1, 37, 99}) {
            compare(sent.subList(from, 100), read(topic, from, 100 - from), from);
        }
        TopicPartition tp = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> c = consumer()) {
            Check.same(0L, c.beginningOffsets(List.of(tp)).get(tp), "beginning");
            Check.same(100L, c.endOffsets(List.of(tp)).get(tp), "end");
            c.assign(List.of(tp));
            c.seekToEnd(List.of(tp));
            Check.same(100L, c.position(tp), "position at the end");
            Check.same(0, c.poll(Duration.ofMillis(100)).count(), "records at the end");
        }
    }

    private void appendTime() throws Exception {
        String topic = topic("append-time", Map.of("message.timestamp.type", "LogAppendTime"));
        long before = System.currentTimeMillis() - 60_000;
        try (KafkaProducer<byte[], byte[]> p = producer("gzip", "all", true)) {
            RecordMetadata m = p.send(some(topic, "x", 1).get(0)).get();
            Check.isTrue(m.timestamp() > before, "the timestamp of the answer is " + m.timestamp());
        }
        ConsumerRecord<byte[], byte[]> r = read(topic, 0, 1).get(0);
        Check.isTrue(r.timestamp() > before, "the record carries " + r.timestamp());
        Check.same("LogAppendTime", r.timestampType().toString(), "timestamp type");
    }

    private void morePartitions() throws Exception {
        String topic = topic("more", Map.of());
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
        usable(topic, 4);
        Check.same(4, admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size(), "partitions");
        Check.fails(InvalidPartitionsException.class, () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all().get());
    }

    private ConfigEntry entry(ConfigResource resource, String key) throws Exception {
        Config c = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        return c.get(key);
    }

    private void await(String key, String want, ConfigResource resource) throws Exception {
        String got = null;
        for (long end = System.nanoTime() + 5_000_000_000L; System.nanoTime() < end; ) {
            got = entry(resource, key).value();
            if (want.equals(got)) {
                return;
            }
        }
        Check.same(want, got, key);
    }

    private void configs() throws Exception {
        String topic = topic("configs", Map.of("retention.ms", "1000"));
        ConfigResource r = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Check.same("1000", entry(r, "retention.ms").value(), "retention.ms");
        Check.same(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, entry(r, "retention.ms").source(), "source");
        Check.same(ConfigEntry.ConfigSource.DEFAULT_CONFIG, entry(r, "segment.ms").source(), "source of segment.ms");
        alter(r, "retention.ms", "5000", AlterConfigOp.OpType.SET);
        await("retention.ms", "5000", r);
        alter(r, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
        await("cleanup.policy", "delete,compact", r);
        alter(r, "cleanup.policy", "delete", AlterConfigOp.OpType.SUBTRACT);
        await("cleanup.policy", "compact", r);
        alter(r, "retention.ms", "", AlterConfigOp.OpType.DELETE);
        await("retention.ms", "604800000", r);
        Check.fails(InvalidConfigurationException.class, () -> alter(r, "retention.ms", "soon", AlterConfigOp.OpType.SET));
        Check.fails(InvalidConfigurationException.class, () -> alter(r, "no.such.key", "1", AlterConfigOp.OpType.SET));
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        Check.isTrue(entry(broker, "log.segment.bytes") != null, "the broker does not show log.segment.bytes");
        Check.isTrue(admin.listConfigResources().all().get().size() > 0, "no config resources");
    }

    private Void alter(ConfigResource r, String key, String value, AlterConfigOp.OpType op) throws Exception {
        Collection<AlterConfigOp> ops = List.of(new AlterConfigOp(new ConfigEntry(key, value), op));
        return admin.incrementalAlterConfigs(Map.of(r, ops)).all().get();
    }

    private void deleteRecords() throws Exception {
        String topic = topic("delete-records", Map.of());
        List<ProducerRecord<byte[], byte[]>> sent = some(topic, "d", 20);
        try (KafkaProducer<byte[], byte[]> p = producer("none", "all", true)) {
            send(p, sent);
        }
        TopicPartition tp = new TopicPartition(topic, 0);
        Check.same(7L, admin.deleteRecords(Map.of(tp, RecordsToDelete.beforeOffset(7))).lowWatermarks().get(tp).get().lowWatermark(), "low watermark");
        Check.same(7L, admin.listOffsets(Map.of(tp, OffsetSpec.earliest())).all().get().get(tp).offset(), "earliest");
        compare(sent.subList(7, 20), read(topic, 7, 13), 7);
        Check.fails(org.apache.kafka.common.errors.OffsetOutOfRangeException.class,
            () -> admin.deleteRecords(Map.of(tp, RecordsToDelete.beforeOffset(700))).all().get());
    }

    private void deleteTopic() throws Exception {
        String topic = topic("delete", Map.of());
        admin.deleteTopics(List.of(topic)).all().get();
        for (long end = System.nanoTime() + 5_000_000_000L; admin.listTopics().names().get().contains(topic) && System.nanoTime() < end; ) {
            Thread.onSpinWait();
        }
        Check.fails(UnknownTopicOrPartitionException.class, () -> { // every node is told by itself
            for (long end = System.nanoTime() + 5_000_000_000L; System.nanoTime() < end; ) {
                admin.describeTopics(List.of(topic)).allTopicNames().get();
            }
            return null;
        });
        Check.fails(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(topic)).all().get());
        topic("delete", Map.of()); // the name is free again
    }

    private void describe() throws Exception {
        var cluster = admin.describeCluster();
        Check.same((int) REPLICAS, cluster.nodes().get().size(), "nodes");
        Check.same(22, cluster.clusterId().get().length(), "length of the cluster id");
        Check.isTrue(cluster.controller().get() != null, "no controller");
        var features = admin.describeFeatures().featureMetadata().get();
        Check.isTrue(features.finalizedFeatures().containsKey("metadata.version"), "no finalized metadata.version in " + features);
        var quorum = admin.describeMetadataQuorum().quorumInfo().get();
        Check.same((int) REPLICAS, quorum.voters().size(), "voters");
        Check.isTrue(quorum.voters().stream().anyMatch(v -> v.replicaId() == quorum.leaderId()), "leader " + quorum.leaderId() + " is no voter");
        var dirs = admin.describeLogDirs(List.of(1)).allDescriptions().get().get(1);
        Check.same(1, dirs.size(), "log dirs");
        var dir = dirs.values().iterator().next();
        Check.isTrue(dir.replicaInfos().containsKey(new TopicPartition(prefix + "codecs", 0)), "the log dir does not hold the topic");
        Check.isTrue(dir.replicaInfos().get(new TopicPartition(prefix + "codecs", 0)).size() > 1000, "the size of the partition");
        Check.isTrue(dir.totalBytes().getAsLong() > 0 && dir.usableBytes().getAsLong() > 0, "the size of the disk");
    }

    private void producers() throws Exception {
        TopicPartition tp = new TopicPartition(prefix + "idempotent", 0);
        var states = admin.describeProducers(List.of(tp)).all().get().get(tp).activeProducers();
        Check.same(1, states.size(), "active producers");
        Check.same(499, states.get(0).lastSequence(), "last sequence");
    }

    private void adminErrors() throws Exception {
        Check.fails(TopicExistsException.class, () -> admin.createTopics(List.of(new NewTopic(prefix + "create", 1, (short) 1))).all().get());
        Check.fails(InvalidTopicException.class, () -> admin.createTopics(List.of(new NewTopic("a/b", 1, (short) 1))).all().get());
        Check.fails(InvalidPartitionsException.class, () -> admin.createTopics(List.of(new NewTopic(prefix + "x", 0, (short) 1))).all().get());
        Check.fails(InvalidReplicationFactorException.class, () -> admin.createTopics(List.of(new NewTopic(prefix + "x", 1, (short) 9))).all().get());
        Check.fails(InvalidConfigurationException.class,
            () -> admin.createTopics(List.of(new NewTopic(prefix + "x", 1, (short) 1).configs(Map.of("retention.ms", "soon")))).all().get());
        admin.createTopics(List.of(new NewTopic(prefix + "x", 1, (short) 1)), new CreateTopicsOptions().validateOnly(true)).all().get();
        Check.fails(UnknownTopicOrPartitionException.class, () -> admin.describeTopics(List.of(prefix + "x")).allTopicNames().get());
    }

    private void producerErrors() throws Exception {
        String topic = topic("small", Map.of("max.message.bytes", "1000"));
        try (KafkaProducer<byte[], byte[]> p = producer("none", "all", true)) {
            Check.fails(RecordTooLargeException.class, () -> p.send(new ProducerRecord<>(topic, 0, null, new byte[5000])).get());
            Check.fails(InvalidTopicException.class, () -> p.send(new ProducerRecord<>("a/b", 0, null, new byte[5])).get());
            p.send(new ProducerRecord<>(topic, 0, null, new byte[5])).get();
        }
        String compacted = topic("compacted", Map.of("cleanup.policy", "compact"));
        try (KafkaProducer<byte[], byte[]> p = producer("none", "all", true)) {
            Check.fails(org.apache.kafka.common.InvalidRecordException.class, () -> p.send(new ProducerRecord<>(compacted, 0, null, new byte[5])).get());
            p.send(new ProducerRecord<>(compacted, 0, bytes("k"), new byte[5])).get();
        }
        try (KafkaProducer<byte[], byte[]> p = producer("none", "all", true)) {
            Check.fails(org.apache.kafka.common.errors.InvalidTimestampException.class,
                () -> p.send(new ProducerRecord<>(topic, 0, 4102444800000L, null, new byte[5])).get());
        }
    }

    private void outOfRange() throws Exception {
        TopicPartition tp = new TopicPartition(prefix + "offsets", 0);
        try (KafkaConsumer<byte[], byte[]> c = consumer()) {
            c.assign(List.of(tp));
            c.seek(tp, 5000);
            Check.fails(OffsetOutOfRangeException.class, () -> {
                for (long end = System.nanoTime() + 10_000_000_000L; System.nanoTime() < end; ) {
                    c.poll(Duration.ofMillis(200));
                }
                return null;
            });
        }
    }
}
