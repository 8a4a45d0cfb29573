import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's own tools for groups: kafka-consumer-groups, kafka-console-consumer --group, kafka-groups, kafka-configs. */
final class GroupTools {
    /** The records lie a minute apart, the first at this time. */
    private static final long BASE = System.currentTimeMillis() / 3_600_000 * 3_600_000 - 86_400_000;
    private static final int RECORDS = 20; // of each partition

    private final Tools tools;
    private final String bootstrap;
    private final String prefix;
    private final String group;
    private final String topic;

    GroupTools(Tools tools, String bootstrap, String prefix) {
        this.tools = tools;
        this.bootstrap = bootstrap;
        this.prefix = prefix;
        this.group = prefix + "group";
        this.topic = prefix + "grouped";
    }

    private String groups(String... args) throws Exception {
        return tools.good("", Tools.GROUPS, Tools.with(new String[] {"--bootstrap-server", bootstrap}, args));
    }

    private void refused(String want, String... args) throws Exception {
        Tools.Result r = tools.run("", Tools.GROUPS, Tools.with(new String[] {"--bootstrap-server", bootstrap}, args));
        Tools.says(r.out, want); // these end with 0 at times, having said what is wrong
    }

    /** console consumes everything in a group, which commits when it ends. */
    void console() throws Exception {
        tools.good("", Tools.TOPIC, "--bootstrap-server", bootstrap, "--create", "--topic", topic, "--partitions", "2");
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (int i = 0; i < RECORDS; i++) {
                for (int partition = 0; partition < 2; partition++) {
                    producer.send(new ProducerRecord<>(topic, partition, BASE + i * 60_000L, null, ("record " + i).getBytes(StandardCharsets.UTF_8)));
                }
            }
        }
        String out = consume("--from-beginning", "--max-messages", String.valueOf(2 * RECORDS));
        Tools.says(out, "Processed a total of " + 2 * RECORDS + " messages");
        committed(RECORDS, RECORDS);
    }

    private String consume(String... args) throws Exception {
        return tools.good("", Tools.CONSUMER, Tools.with(new String[] {"--bootstrap-server", bootstrap, "--topic", topic, "--group", group, "--timeout-ms", "30000"}, args));
    }

    /** committed checks what the group has committed for both partitions, as the tool shows it. */
    private void committed(long first, long second) throws Exception {
        String out = groups("--describe", "--group", group);
        Tools.says(out, "(?m)^" + group + "\\s+" + topic + "\\s+0\\s+" + first + "\\s");
        Tools.says(out, "(?m)^" + group + "\\s+" + topic + "\\s+1\\s+" + second + "\\s");
    }

    void describe() throws Exception {
        Tools.says(groups("--list"), "(?m)^" + group + "$");
        Tools.says(groups("--list", "--state"), "(?m)^" + group + "\\s+Empty\\s*$");
        Tools.says(groups("--list", "--state", "empty"), "(?m)^" + group + "\\s");
        Tools.says(groups("--list", "--type"), "(?m)^" + group + "\\s+Classic\\s*$");
        String out = groups("--describe", "--group", group);
        Tools.says(out, "Consumer group '" + group + "' has no active members");
        Tools.says(out, "(?m)^" + group + "\\s+" + topic + "\\s+1\\s+" + RECORDS + "\\s+" + RECORDS + "\\s+0\\s+-\\s+-\\s+-");
        Tools.says(groups("--describe", "--group", group, "--state"), "(?m)^" + group + "\\s+127.0.0.1:\\d+ *\\(\\d\\)\\s.*Empty\\s+0");
        Tools.says(groups("--describe", "--all-groups", "--offsets"), topic);
        Tools.says(groups("--describe", "--group", group, "--offsets", "--verbose"), topic);
    }

    /** members shows two live members of either protocol. */
    void members() throws Exception {
        for (String protocol : List.of("classic", "consumer")) {
            String name = group + "-" + protocol;
            AtomicBoolean end = new AtomicBoolean();
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < 2; i++) {
                Thread t = new Thread(() -> member(name, protocol, end));
                t.start();
                threads.add(t);
            }
            try {
                String out = until(name, "--describe", "--group", name, "--members", "--verbose");
                Tools.says(out, "(?m)^" + name + "\\s+\\S+\\s+/127.0.0.1\\s+\\S+\\s+1\\s.*" + topic + ":0");
                Tools.says(out, "(?m)^" + name + "\\s+\\S+\\s+/127.0.0.1\\s+\\S+\\s+1\\s.*" + topic + ":1");
                Tools.says(groups("--describe", "--group", name, "--state"), "(?m)^" + name + "\\s.*(range|uniform)\\s+Stable\\s+2");
                Tools.says(groups("--list", "--type", protocol), "(?m)^" + name + "\\s");
                refused("(?i)inactive|not empty|state", "--reset-offsets", "--group", name, "--topic", topic, "--to-earliest", "--execute");
                refused("not empty", "--delete", "--group", name);
            } finally {
                end.set(true);
                for (Thread t : threads) {
                    t.join();
                }
            }
        }
    }

    private void member(String name, String protocol, AtomicBoolean end) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("group.id", name);
        p.put("group.protocol", protocol);
        try (KafkaConsumer<byte[], byte[]> c = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            c.subscribe(List.of(topic));
            while (!end.get()) {
                c.poll(Duration.ofMillis(100));
            }
        }
    }

    /** until runs the tool until it shows two members with a partition each. */
    private String until(String name, String... args) throws Exception {
        for (long end = System.nanoTime() + 60_000_000_000L; ; ) {
            Tools.Result r = tools.run("", Tools.GROUPS, Tools.with(new String[] {"--bootstrap-server", bootstrap}, args));
            long shares = Pattern.compile("(?m)^" + name + "\\s+\\S+\\s+\\S+\\s+\\S+\\s+1\\s").matcher(r.out).results().count();
            if (shares == 2 || System.nanoTime() > end) {
                return r.out;
            }
        }
    }

    private String[] resetting(String... mode) {
        return Tools.with(new String[] {"--reset-offsets", "--group", group}, mode);
    }

    /** to resets both partitions and checks where the group is then. A dry run comes first, and changes nothing. */
    private void to(long want, String... mode) throws Exception {
        String before = groups("--describe", "--group", group);
        Tools.says(groups(resetting(Tools.with(mode, "--topic", topic, "--dry-run"))), "(?m)^" + group + "\\s+" + topic + "\\s+0\\s+" + want + "\\b");
        Check.same(before, groups("--describe", "--group", group), "what the group has committed");
        Tools.says(groups(resetting(Tools.with(mode, "--topic", topic, "--execute"))), "(?m)^" + group + "\\s+" + topic + "\\s+1\\s+" + want + "\\b");
        committed(want, want);
    }

    void reset() throws Exception {
        to(0, "--to-earliest");
        to(RECORDS, "--to-latest");
        to(7, "--to-offset", "7");
        to(7, "--to-current");
        to(10, "--shift-by", "3");
        to(9, "--shift-by", "-1");
        to(RECORDS, "--shift-by", "1000");
        to(0, "--to-offset", "-5");
        LocalDateTime fifth = LocalDateTime.ofInstant(Instant.ofEpochMilli(BASE + 5 * 60_000L), ZoneOffset.UTC);
        to(5, "--to-datetime", fifth.format(DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS")) + "Z");
        to(RECORDS, "--by-duration", "PT1M");
        Path csv = Files.createTempFile("reset", ".csv");
        String exported = groups(resetting("--to-offset", "3", "--topic", topic, "--export", "--dry-run"));
        Tools.says(exported, topic + "\"?,0,3");
        Files.writeString(csv, String.join("\n", topic + ",0,11", topic + ",1,12") + "\n");
        groups(resetting("--from-file", csv.toString(), "--execute"));
        committed(11, 12);
        Files.delete(csv);
        groups(resetting("--to-offset", "15", "--topic", topic + ":1", "--execute"));
        committed(11, 15);
        Tools.says(groups(resetting("--to-earliest", "--all-topics", "--execute")), topic);
        committed(0, 0);
        String out = consume("--max-messages", String.valueOf(2 * RECORDS));
        Tools.says(out, "Processed a total of " + 2 * RECORDS + " messages");
        Tools.says(groups("--reset-offsets", "--group", group + "-new", "--topic", topic, "--to-offset", "4", "--execute"), topic);
        Tools.says(groups("--list"), "(?m)^" + group + "-new$");
        Tools.says(groups("--reset-offsets", "--all-groups", "--topic", topic, "--to-current", "--dry-run"), topic);
    }

    void delete() throws Exception {
        String out = groups("--delete-offsets", "--group", group, "--topic", topic + ":0");
        Tools.says(out, "(?m)^" + topic + "\\s+0\\s+Successful");
        Check.isTrue(!Pattern.compile("(?m)^" + group + "\\s+" + topic + "\\s+0\\s+\\d").matcher(groups("--describe", "--group", group)).find(), "the offset of partition 0 is still there");
        Tools.says(groups("--delete-offsets", "--group", group, "--topic", topic), "(?m)^" + topic + "\\s+1\\s+Successful");
        Tools.says(groups("--delete", "--group", group + "-new"), "Deletion of requested consumer groups \\('?" + group + "-new'?\\) was successful");
        Check.isTrue(!groups("--list").contains(group + "-new"), "the group is still listed");
        refused("(?i)does not exist|not found", "--delete", "--group", group + "-missing");
    }

    void errors() throws Exception {
        refused("(?i)not found|does not exist", "--describe", "--group", prefix + "missing");
        refused("(?i)does not exist|not found", "--delete-offsets", "--group", prefix + "missing", "--topic", topic);
        refused("(?i)UnknownTopicOrPartition|does not exist|not exist", "--reset-offsets", "--group", group, "--topic", prefix + "missing", "--to-earliest", "--execute");
    }

    void kafkaGroups() throws Exception {
        String all = tools.good("", "org.apache.kafka.tools.GroupsCommand", "--bootstrap-server", bootstrap, "--list");
        Tools.says(all, "(?m)^" + group + "-classic\\s+Classic\\s+consumer\\s*$");
        Tools.says(all, "(?m)^" + group + "-consumer\\s+Consumer\\s+consumer\\s*$");
        Tools.says(tools.good("", "org.apache.kafka.tools.GroupsCommand", "--bootstrap-server", bootstrap, "--list", "--group-type", "consumer"), group + "-consumer");
    }

    void configs() throws Exception {
        String[] entity = {"--bootstrap-server", bootstrap, "--entity-type", "groups", "--entity-name", group + "-consumer"};
        tools.good("", Tools.CONFIGS, Tools.with(entity, "--alter", "--add-config", "consumer.session.timeout.ms=47000"));
        for (int i = 0; ; i++) {
            String out = tools.good("", Tools.CONFIGS, Tools.with(entity, "--describe"));
            if (out.contains("consumer.session.timeout.ms=47000")) {
                break;
            }
            Check.isTrue(i < 100, "the change does not show: " + Tools.tail(out));
        }
        tools.bad(Tools.CONFIGS, "consumer.session.timeout.ms", Tools.with(entity, "--alter", "--add-config", "consumer.session.timeout.ms=5"));
        tools.good("", Tools.CONFIGS, Tools.with(entity, "--alter", "--delete-config", "consumer.session.timeout.ms"));
    }

    /** offsetsTopic has Kafka's formatters and its dump tool read what the coordinator wrote. */
    void offsetsTopic(String dataDir) throws Exception {
        String offsets = read(group + "-consumer", "Offsets");
        Tools.says(offsets, "\"group\":\"" + group + "-consumer\",\"topic\":\"" + topic + "\",\"partition\":0.*\"offset\":" + RECORDS);
        String metadata = read(group + "-classic", "GroupMetadata");
        Tools.says(metadata, "\"group\":\"" + group + "-classic\".*\"protocolType\":\"consumer\",\"generation\":\\d+,\"protocol\":\"range\"");
        if (dataDir.isEmpty()) {
            return;
        }
        String log = Path.of(dataDir, "__consumer_offsets-" + partition(group + "-consumer"), "00000000000000000000.log").toString();
        String dumped = tools.good("", "org.apache.kafka.tools.DumpLogSegments", "--offsets-decoder", "--files", log);
        for (int type : new int[] {3, 5, 6, 7, 8}) { // group, member, target assignment of the group and of a member, current assignment
            Tools.says(dumped, "key: \\{\"type\":\"" + type + "\",\"data\":\\{\"groupId\":\"" + group + "-consumer\"");
        }
    }

    private static int partition(String group) {
        return Math.abs(group.hashCode()) % 50;
    }

    /** read reads the partition of a group in __consumer_offsets with a formatter. */
    private String read(String name, String formatter) throws Exception {
        return tools.good("", Tools.CONSUMER, "--bootstrap-server", bootstrap, "--topic", "__consumer_offsets", "--partition", String.valueOf(partition(name)),
            "--offset", "earliest", "--timeout-ms", "1500", "--formatter", "org.apache.kafka.tools.consumer." + formatter + "MessageFormatter");
    }
}
