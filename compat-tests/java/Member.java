import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A member of a group with the Java consumer; go/member/doc.go says what its host is told and what it says. */
final class Member implements ConsumerRebalanceListener {
    private static final Map<String, String> ASSIGNORS = Map.of(
        "range", "org.apache.kafka.clients.consumer.RangeAssignor",
        "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
        "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private final String name;
    private final String topic;
    private final KafkaConsumer<byte[], String> consumer;
    private final TreeSet<Integer> held = new TreeSet<>();
    private final Map<TopicPartition, OffsetAndMetadata> due = new HashMap<>(); // read and not committed yet
    private volatile boolean leaving;

    private Member(String bootstrap, String[] f) {
        name = f[1];
        topic = f[3];
        int session = Integer.parseInt(f[7]);
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("group.id", f[2]);
        p.put("group.protocol", f[4]);
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        p.put("fetch.max.wait.ms", "100");
        p.put("max.poll.records", "50");
        p.put("metadata.max.age.ms", "1000");
        p.put("reconnect.backoff.max.ms", "300");
        if (f[4].equals("classic")) {
            p.put("session.timeout.ms", String.valueOf(session));
            p.put("heartbeat.interval.ms", String.valueOf(Math.min(300, session / 3)));
            p.put("partition.assignment.strategy", ASSIGNORS.get(f[5]));
        } else if (!f[5].equals("-")) {
            p.put("group.remote.assignor", f[5]);
        }
        if (!f[6].equals("-")) {
            p.put("group.instance.id", f[6]);
        }
        consumer = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new StringDeserializer());
        new Thread(this::run, name).start();
    }

    /** Hosts members until the input ends. */
    static void serve(String bootstrap) throws Exception {
        Map<String, Member> members = new HashMap<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] f = line.split(" ");
            if (f[0].equals("join")) {
                members.put(f[1], new Member(bootstrap, f));
            } else {
                members.remove(f[1]).leave();
            }
        }
        for (Member m : members.values()) {
            m.leave();
        }
    }

    private void leave() {
        leaving = true;
        consumer.wakeup();
    }

    private synchronized void say(String format, Object... args) {
        Main.OUT.println(String.format(format, args).replace('\n', ' '));
        Main.OUT.flush();
    }

    private void run() {
        consumer.subscribe(List.of(topic), this);
        while (!leaving) {
            try {
                poll();
            } catch (org.apache.kafka.common.errors.WakeupException e) {
                continue;
            } catch (KafkaException e) {
                say("error %s %s", name, e);
            }
        }
        try {
            consumer.close();
        } catch (KafkaException e) {
            say("error %s close: %s", name, e);
        }
        say("left %s", name);
    }

    private void poll() {
        ConsumerRecords<byte[], String> records = consumer.poll(Duration.ofMillis(200));
        for (ConsumerRecord<byte[], String> r : records) {
            say("record %s %d %d %s", name, r.partition(), r.offset(), r.value());
            due.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
        }
        if (due.isEmpty()) {
            return;
        }
        // A commit that fails, in a rebalance for example, is made again: nothing else would, while the partition stays here.
        consumer.commitSync(due);
        due.forEach((tp, o) -> say("committed %s %d %d", name, tp.partition(), o.offset()));
        due.clear();
    }

    private void tell() {
        say("assigned %s %s", name, held.isEmpty() ? "-" : held.stream().map(String::valueOf).collect(Collectors.joining(",")));
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        partitions.forEach(tp -> held.add(tp.partition()));
        tell();
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        partitions.forEach(due::remove); // they are somebody else's to commit
        partitions.forEach(tp -> held.remove(tp.partition()));
        tell();
    }
}
