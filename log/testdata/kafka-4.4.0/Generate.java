// Fills topics of a running Apache Kafka, and writes down what a consumer reads of them. See README.md beside this file.
//   java -cp '<jars of the Kafka clients>/*' Generate.java fill1|fill2|dump BOOTSTRAP [DIR]
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.*;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

public class Generate {
    static final long T0 = 1_700_000_000_000L; // record timestamps begin here; the topics keep everything
    static String bootstrap;

    public static void main(String[] args) throws Exception {
        bootstrap = args[1];
        switch (args[0]) {
            case "fill1" -> fill1();
            case "fill2" -> fill2();
            case "dump" -> dump(Path.of(args[2]));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    static Admin admin() { return Admin.create(Map.of("bootstrap.servers", bootstrap)); }

    static KafkaProducer<byte[], byte[]> producer(Object... more) {
        Map<String, Object> c = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "linger.ms", 0, "acks", "all"));
        for (int i = 0; i < more.length; i += 2) c.put((String) more[i], more[i + 1]);
        return new KafkaProducer<>(c, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static byte[] b(String s) { return s == null ? null : s.getBytes(StandardCharsets.UTF_8); }

    static ProducerRecord<byte[], byte[]> record(String topic, int partition, long n, String key, String value) {
        return new ProducerRecord<>(topic, partition, T0 + 1000 * n, b(key), b(value));
    }

    // Sends the records as one batch each time: a flush cuts the batch.
    static void batch(KafkaProducer<byte[], byte[]> p, List<ProducerRecord<byte[], byte[]>> records) {
        for (var r : records) p.send(r);
        p.flush();
    }

    static NewTopic topic(String name, int partitions, String... config) {
        Map<String, String> c = new HashMap<>(Map.of("retention.ms", "-1", "internal.segment.bytes", "2048",
            "segment.index.bytes", "1024", "index.interval.bytes", "256", "file.delete.delay.ms", "3600000"));
        for (int i = 0; i < config.length; i += 2) c.put(config[i], config[i + 1]);
        return new NewTopic(name, partitions, (short) 1).configs(c);
    }

    static void fill1() throws Exception {
        try (Admin a = admin()) {
            a.createTopics(List.of(
                topic("plain", 1),
                topic("idem", 2),
                topic("txn", 1),
                topic("compacted", 1, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "segment.ms", "2000",
                    "delete.retention.ms", "86400000"),
                topic("appendtime", 1, "message.timestamp.type", "LogAppendTime"),
                topic("deleted.records", 1),
                topic("empty", 1),
                topic("gone", 1))).all().get();
        }
        String text = "the quick brown fox jumps over the lazy dog ".repeat(3);
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            try (var p = producer("compression.type", codec, "enable.idempotence", false, "linger.ms", 200)) {
                for (int i = 0; i < 4; i++) {
                    List<ProducerRecord<byte[], byte[]>> rs = new ArrayList<>();
                    for (int j = 0; j < 5; j++) rs.add(record("plain", 0, 5 * i + j, j == 0 ? null : codec + "-" + i + "-" + j, j == 1 ? null : j == 2 ? "" : text + j));
                    rs.get(3).headers().add(new RecordHeader("h1", b("value"))).add(new RecordHeader("h2", null)).add(new RecordHeader("", b("")));
                    batch(p, rs);
                }
                batch(p, List.of(record("appendtime", 0, 1, codec, text), record("appendtime", 0, 0, codec, text)));
            }
        }
        try (var p = producer("enable.idempotence", true, "linger.ms", 200); var q = producer("enable.idempotence", true, "linger.ms", 200)) {
            for (int i = 0; i < 30; i++) {
                batch(i % 3 == 0 ? q : p, List.of(record("idem", i % 2, i, "k" + i, text), record("idem", i % 2, i, "l" + i, text)));
            }
        }
        try (var p = producer("enable.idempotence", false, "linger.ms", 200)) {
            for (int i = 0; i < 20; i++) batch(p, List.of(record("deleted.records", 0, i, "a", text), record("deleted.records", 0, i, "b", text), record("deleted.records", 0, i, "c", text)));
            batch(p, List.of(record("gone", 0, 0, "a", text)));
            for (int round = 0; round < 6; round++) {
                List<ProducerRecord<byte[], byte[]>> rs = new ArrayList<>();
                for (int k = 0; k < 12; k++) rs.add(record("compacted", 0, 12 * round + k, "key" + k, k % 4 == 3 && round == 5 ? null : text + round));
                batch(p, rs);
            }
        }
        transactions(text, 0);
        try (Admin a = admin()) {
            a.deleteRecords(Map.of(new TopicPartition("deleted.records", 0), RecordsToDelete.beforeOffset(31))).all().get();
        }
    }

    // Commits, aborts, interleaves, and with number 1 leaves one open.
    static void transactions(String text, int number) throws Exception {
        var one = producer("transactional.id", "one", "linger.ms", 200);
        var two = producer("transactional.id", "two", "linger.ms", 200);
        one.initTransactions();
        two.initTransactions();
        for (int i = 0; i < 6; i++) {
            one.beginTransaction();
            two.beginTransaction();
            batch(one, List.of(record("txn", 0, i, "one", i + text), record("txn", 0, i, "one", i + text)));
            batch(two, List.of(record("txn", 0, i, "two", i + text)));
            if (i % 2 == 0) one.commitTransaction(); else one.abortTransaction();
            batch(two, List.of(record("txn", 0, i, "two", i + text)));
            if (i % 3 == 0) two.abortTransaction(); else two.commitTransaction();
        }
        if (number == 1) {
            two.beginTransaction();
            batch(two, List.of(record("txn", 0, 99, "open", text)));
            Runtime.getRuntime().halt(0); // the transaction stays open
        }
        one.close();
        two.close();
    }

    // After a restart of the broker: another leader epoch, and the clean mark of the first stop is used up.
    static void fill2() throws Exception {
        String text = "after the restart ".repeat(4);
        try (Admin a = admin()) { a.deleteTopics(List.of("gone")).all().get(); }
        try (var p = producer("enable.idempotence", true, "linger.ms", 200, "compression.type", "zstd")) {
            for (int i = 0; i < 7; i++) {
                batch(p, List.of(record("plain", 0, 100 + i, "second", text), record("idem", 1, 100 + i, "second", text), record("deleted.records", 0, 100 + i, "second", text)));
            }
            batch(p, List.of(record("compacted", 0, 200, "key1", text), record("compacted", 0, 201, "last", text)));
        }
        transactions(text, 1);
    }

    static void dump(Path dir) throws Exception {
        Files.createDirectories(dir);
        for (String isolation : List.of("read_uncommitted", "read_committed")) {
            Map<String, Object> c = Map.of("bootstrap.servers", bootstrap, "isolation.level", isolation, "enable.auto.commit", false);
            try (var consumer = new KafkaConsumer<>(c, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                List<TopicPartition> tps = new ArrayList<>();
                consumer.listTopics().forEach((t, ps) -> { if (!t.startsWith("__")) ps.forEach(i -> tps.add(new TopicPartition(t, i.partition()))); });
                tps.sort(Comparator.comparing(TopicPartition::toString));
                Map<TopicPartition, Long> begin = consumer.beginningOffsets(tps), end = consumer.endOffsets(tps);
                for (TopicPartition tp : tps) {
                    consumer.assign(List.of(tp));
                    consumer.seek(tp, begin.get(tp));
                    try (PrintWriter w = new PrintWriter(Files.newBufferedWriter(dir.resolve(tp + "." + isolation + ".tsv")))) {
                        w.printf("#\tstart %d\tend %d%n", begin.get(tp), end.get(tp));
                        while (consumer.position(tp) < end.get(tp)) {
                            for (var r : consumer.poll(Duration.ofMillis(200)).records(tp)) w.println(line(r));
                        }
                    }
                }
            }
        }
    }

    static String line(ConsumerRecord<byte[], byte[]> r) {
        String headers = Arrays.stream(r.headers().toArray()).map(h -> quote(b(h.key())) + "=" + quote(h.value())).collect(Collectors.joining(","));
        return r.offset() + "\t" + r.leaderEpoch().map(String::valueOf).orElse("-") + "\t" + r.timestampType().id + "\t" + r.timestamp() + "\t" + quote(r.key()) + "\t" + quote(r.value()) + "\t" + headers;
    }

    static String quote(byte[] b) { return b == null ? "null" : "\"" + new String(b, StandardCharsets.UTF_8) + "\""; }
}
