import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Kafka's own command-line tools (4.3.1, the newest published), each through its main method, one after the other in this
 * JVM: a JVM for each would cost more than the tests. Their exit is caught, their shutdown hooks run when they end.
 */
final class Tools {
    private final String bootstrap;
    private final String dataDir;
    private final ClassLoader loader;
    private final String prefix = "tools-" + System.nanoTime() + "-";
    private final Check check = new Check("kafka tools");
    private final List<Runnable> hooks = new ArrayList<>();
    private int status;

    /** Unwinds a tool that wants to exit. */
    private static final class Exited extends Error {
        Exited() {
            super("exit", null, false, false);
        }
    }

    /** What a tool printed and how it ended. */
    static final class Result {
        final int status;
        final String out;

        Result(int status, String out) {
            this.status = status;
            this.out = out;
        }
    }

    Tools(String bootstrap, String toolsDir, String dataDir) throws Exception {
        this.bootstrap = bootstrap;
        this.dataDir = dataDir;
        List<URL> jars = new ArrayList<>();
        for (File f : new File(toolsDir).listFiles((d, n) -> n.endsWith(".jar"))) {
            jars.add(f.toURI().toURL());
        }
        loader = new URLClassLoader(jars.toArray(new URL[0]), ClassLoader.getPlatformClassLoader());
        catchExit();
    }

    private void catchExit() throws Exception {
        Class<?> exit = loader.loadClass("org.apache.kafka.common.utils.Exit");
        Class<?> procedure = loader.loadClass("org.apache.kafka.common.utils.Exit$Procedure");
        Object p = Proxy.newProxyInstance(loader, new Class<?>[] {procedure}, (proxy, method, args) -> {
            if (method.getName().equals("execute")) {
                if (status < 0) {
                    status = (Integer) args[0]; // the first is meant, later ones come from handlers of our own error
                }
                throw new Exited();
            }
            return null;
        });
        exit.getMethod("setExitProcedure", procedure).invoke(null, p);
        exit.getMethod("setHaltProcedure", procedure).invoke(null, p);
        Class<?> adder = loader.loadClass("org.apache.kafka.common.utils.Exit$ShutdownHookAdder");
        Object a = Proxy.newProxyInstance(loader, new Class<?>[] {adder}, (proxy, method, args) -> {
            if (method.getName().equals("addShutdownHook")) {
                hooks.add((Runnable) args[1]);
            }
            return null;
        });
        exit.getMethod("setShutdownHookAdder", adder).invoke(null, a);
    }

    Result run(String in, String name, String... args) throws Exception {
        PrintStream out = System.out;
        PrintStream err = System.err;
        InputStream stdin = System.in;
        ByteArrayOutputStream caught = new ByteArrayOutputStream();
        PrintStream stream = new PrintStream(caught, true, StandardCharsets.UTF_8);
        status = -1;
        hooks.clear();
        ClassLoader before = Thread.currentThread().getContextClassLoader();
        try {
            System.setOut(stream);
            System.setErr(stream);
            System.setIn(new ByteArrayInputStream(in.getBytes(StandardCharsets.UTF_8)));
            Thread.currentThread().setContextClassLoader(loader);
            Method main = loader.loadClass(name).getMethod("main", String[].class);
            try {
                main.invoke(null, (Object) args);
            } catch (java.lang.reflect.InvocationTargetException e) {
                if (!(e.getCause() instanceof Exited)) {
                    e.getCause().printStackTrace(stream);
                    status = Math.max(status, 1);
                }
            }
            for (Runnable hook : hooks) {
                hook.run();
            }
        } finally {
            Thread.currentThread().setContextClassLoader(before);
            System.setOut(out);
            System.setErr(err);
            System.setIn(stdin);
        }
        stream.flush();
        return new Result(Math.max(status, 0), caught.toString(StandardCharsets.UTF_8));
    }

    String good(String in, String name, String... args) throws Exception {
        Result r = run(in, name, args);
        if (r.status != 0) {
            throw new AssertionError(name + " ended with " + r.status + ": " + tail(r.out));
        }
        return r.out;
    }

    String bad(String name, String want, String... args) throws Exception {
        Result r = run("", name, args);
        if (r.status == 0 || !r.out.contains(want)) {
            throw new AssertionError(name + " ended with " + r.status + ", want an error that says " + want + ": " + tail(r.out));
        }
        return r.out;
    }

    static String tail(String s) {
        Matcher exception = Pattern.compile("(?m)^.*(Exception|Error)\\b.*$(\\n.*){0,3}").matcher(s);
        if (exception.find()) {
            return exception.group();
        }
        return s.length() > 1200 ? s.substring(0, 600) + " … " + s.substring(s.length() - 600) : s;
    }

    static void says(String out, String want) {
        if (!Pattern.compile(want).matcher(out).find()) {
            throw new AssertionError("no match for " + want + " in " + tail(out));
        }
    }

    static final String TOPIC = "org.apache.kafka.tools.TopicCommand";
    static final String CONFIGS = "kafka.admin.ConfigCommand";
    private static final String OFFSETS = "org.apache.kafka.tools.GetOffsetShell";
    static final String GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    static final String CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer";

    int run() throws Exception {
        check.that("kafka-topics", this::topics);
        check.that("kafka-configs, topics", this::topicConfigs);
        check.that("kafka-configs, brokers", this::brokerConfigs);
        check.that("kafka-console-producer and kafka-console-consumer", this::console);
        check.that("kafka-console-producer, every codec", this::consoleCodecs);
        check.that("kafka-get-offsets", this::offsets);
        GroupTools groups = new GroupTools(this, bootstrap, prefix);
        check.that("kafka-console-consumer --group", groups::console);
        check.that("kafka-consumer-groups --list, --describe", groups::describe);
        check.that("kafka-consumer-groups --describe of members, both protocols", groups::members);
        check.that("kafka-consumer-groups --reset-offsets, every mode", groups::reset);
        check.that("kafka-consumer-groups --delete-offsets, --delete", groups::delete);
        check.that("kafka-consumer-groups, errors", groups::errors);
        check.that("kafka-groups", groups::kafkaGroups);
        check.that("__consumer_offsets through kafka-console-consumer and kafka-dump-log", () -> groups.offsetsTopic(dataDir));
        check.that("kafka-configs, groups", groups::configs);
        check.that("kafka-delete-records", this::deleteRecords);
        check.that("kafka-producer-perf-test", this::perf);
        check.that("kafka-log-dirs", this::logDirs);
        check.that("kafka-cluster", this::cluster);
        check.that("kafka-metadata-quorum", this::quorum);
        check.that("kafka-features", this::features);
        check.that("kafka-broker-api-versions", this::versions);
        if (!dataDir.isEmpty()) {
            check.that("kafka-dump-log of the running broker", () -> {
                int batches = dumpAll(dataDir, false);
                Check.isTrue(batches > 50, "only " + batches + " batches were dumped");
            });
        }
        return check.close();
    }

    private void topics() throws Exception {
        String t = prefix + "topic";
        int replicas = Integer.parseInt(System.getenv().getOrDefault("DMQ_TEST_REPLICAS", "1"));
        says(good("", TOPIC, "--bootstrap-server", bootstrap, "--create", "--topic", t, "--partitions", "3", "--config", "retention.ms=5000000"), "Created topic " + t);
        says(good("", TOPIC, "--bootstrap-server", bootstrap, "--list"), "(?m)^" + t + "$");
        String described = good("", TOPIC, "--bootstrap-server", bootstrap, "--describe", "--topic", t);
        says(described, "PartitionCount: 3\\s+ReplicationFactor: " + replicas + "\\s+Configs: .*retention.ms=5000000");
        says(described, "Partition: 2\\s+Leader: \\d\\s+Replicas: \\d(,\\d){" + (replicas - 1) + "}\\s+Isr: \\d(,\\d){" + (replicas - 1) + "}");
        good("", TOPIC, "--bootstrap-server", bootstrap, "--alter", "--topic", t, "--partitions", "5");
        says(good("", TOPIC, "--bootstrap-server", bootstrap, "--describe", "--topic", t), "PartitionCount: 5");
        says(good("", TOPIC, "--bootstrap-server", bootstrap, "--describe"), t);
        bad(TOPIC, "already exists", "--bootstrap-server", bootstrap, "--create", "--topic", t);
        bad(TOPIC, "does not exist", "--bootstrap-server", bootstrap, "--describe", "--topic", prefix + "missing");
        bad(TOPIC, "retention.ms", "--bootstrap-server", bootstrap, "--create", "--topic", prefix + "bad", "--config", "retention.ms=soon");
        good("", TOPIC, "--bootstrap-server", bootstrap, "--delete", "--topic", t);
        good("", TOPIC, "--bootstrap-server", bootstrap, "--describe", "--under-replicated-partitions");
        good("", TOPIC, "--bootstrap-server", bootstrap, "--describe", "--unavailable-partitions");
    }

    String create(String name) throws Exception {
        good("", TOPIC, "--bootstrap-server", bootstrap, "--create", "--topic", prefix + name, "--partitions", "1");
        return prefix + name;
    }

    private void topicConfigs() throws Exception {
        String t = create("configs");
        String[] entity = {"--bootstrap-server", bootstrap, "--entity-type", "topics", "--entity-name", t};
        good("", CONFIGS, with(entity, "--alter", "--add-config", "retention.ms=77777,cleanup.policy=[compact,delete]"));
        for (int i = 0; ; i++) {
            String out = good("", CONFIGS, with(entity, "--describe"));
            if (out.contains("retention.ms=77777") && out.contains("cleanup.policy=compact,delete")) {
                break;
            }
            Check.isTrue(i < 100, "the change does not show: " + tail(out));
        }
        String all = good("", CONFIGS, with(entity, "--describe", "--all"));
        says(all, "segment.bytes=1073741824 sensitive=false synonyms=\\{DEFAULT_CONFIG:log.segment.bytes=1073741824\\}");
        good("", CONFIGS, with(entity, "--alter", "--delete-config", "retention.ms"));
        bad(CONFIGS, "retention.ms", with(entity, "--alter", "--add-config", "retention.ms=soon"));
        bad(CONFIGS, "no.such.key", with(entity, "--alter", "--add-config", "no.such.key=1"));
    }

    static String[] with(String[] args, String... more) {
        return Stream.concat(Stream.of(args), Stream.of(more)).toArray(String[]::new);
    }

    private void brokerConfigs() throws Exception {
        says(good("", CONFIGS, "--bootstrap-server", bootstrap, "--entity-type", "brokers", "--entity-name", "1", "--describe", "--all"), "log.segment.bytes=1073741824");
        good("", CONFIGS, "--bootstrap-server", bootstrap, "--entity-type", "brokers", "--entity-default", "--describe");
        good("", CONFIGS, "--bootstrap-server", bootstrap, "--entity-type", "brokers", "--entity-name", "1", "--alter", "--add-config", "log.retention.ms=500000000");
        good("", CONFIGS, "--bootstrap-server", bootstrap, "--entity-type", "brokers", "--entity-name", "1", "--alter", "--delete-config", "log.retention.ms");
    }

    private void console() throws Exception {
        String t = create("console");
        good("k1:one\nk2:two\nk3:NULL\n", "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", bootstrap, "--topic", t,
            "--reader-property", "parse.key=true", "--reader-property", "key.separator=:", "--reader-property", "null.marker=NULL");
        good("h1:a,h2:b|with headers\n", "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", bootstrap, "--topic", t, "--sync",
            "--reader-property", "parse.headers=true", "--reader-property", "headers.delimiter=|");
        String out = consume(t, "earliest", 4, "--formatter-property", "print.key=true", "--formatter-property", "print.offset=true", "--formatter-property", "print.headers=true");
        says(out, "(?m)^Offset:0\\s+NO_HEADERS\\s+k1\\s+one$");
        says(out, "(?m)^Offset:2\\s+NO_HEADERS\\s+k3\\s+null$");
        says(out, "(?m)^Offset:3\\s+h1:a,h2:b\\s+null\\s+with headers$");
        String two = consume(t, "1", 1);
        says(two, "(?m)^two$");
        Check.isTrue(!two.contains("one"), "reading from offset 1 shows the first record");
    }

    private String consume(String topic, String offset, int n, String... more) throws Exception {
        return good("", "org.apache.kafka.tools.consumer.ConsoleConsumer", with(new String[] {"--bootstrap-server", bootstrap, "--topic", topic, "--partition", "0",
            "--offset", offset, "--max-messages", String.valueOf(n), "--timeout-ms", "20000"}, more));
    }

    private void consoleCodecs() throws Exception {
        String t = create("codecs");
        List<String> want = new ArrayList<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            StringBuilder in = new StringBuilder();
            for (int i = 0; i < 50; i++) {
                in.append(codec).append(' ').append(i).append('\n');
                want.add(codec + " " + i);
            }
            good(in.toString(), "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", bootstrap, "--topic", t, "--compression-codec", codec);
        }
        List<String> got = consume(t, "earliest", 250).lines().filter(want::contains).collect(Collectors.toList());
        Check.same(want, got, "what was read");
    }

    private void offsets() throws Exception {
        String t = prefix + "codecs";
        says(good("", OFFSETS, "--bootstrap-server", bootstrap, "--topic", t), t + ":0:250");
        says(good("", OFFSETS, "--bootstrap-server", bootstrap, "--topic", t, "--time", "earliest"), t + ":0:0");
        says(good("", OFFSETS, "--bootstrap-server", bootstrap, "--topic", t, "--time", "max-timestamp"), t + ":0:\\d+");
        says(good("", OFFSETS, "--bootstrap-server", bootstrap, "--topic-partitions", prefix + ".*:0", "--time", "0"), t + ":0:0");
    }

    private void deleteRecords() throws Exception {
        String t = prefix + "codecs";
        Path json = Files.createTempFile("delete-records", ".json");
        Files.writeString(json, "{\"version\":1,\"partitions\":[{\"topic\":\"" + t + "\",\"partition\":0,\"offset\":100}]}");
        says(good("", "org.apache.kafka.tools.DeleteRecordsCommand", "--bootstrap-server", bootstrap, "--offset-json-file", json.toString()), "low_watermark: 100");
        Files.delete(json);
        says(good("", OFFSETS, "--bootstrap-server", bootstrap, "--topic", t, "--time", "-2"), t + ":0:100");
        says(consume(t, "100", 1), "(?m)^snappy 0$");
    }

    private void perf() throws Exception {
        String t = create("perf");
        String out = good("", "org.apache.kafka.tools.ProducerPerformance", "--topic", t, "--num-records", "20000", "--record-size", "500", "--throughput", "-1",
            "--producer-props", "bootstrap.servers=" + bootstrap, "acks=all", "linger.ms=5");
        says(out, "20000 records sent");
        says(good("", OFFSETS, "--bootstrap-server", bootstrap, "--topic", t), t + ":0:20000");
    }

    private void logDirs() throws Exception {
        String out = good("", "org.apache.kafka.tools.LogDirsCommand", "--bootstrap-server", bootstrap, "--describe", "--topic-list", prefix + "perf");
        Matcher m = Pattern.compile("\"partition\":\"" + prefix + "perf-0\",\"size\":(\\d+),\"offsetLag\":0,\"isFuture\":false").matcher(out);
        Check.isTrue(m.find(), "the partition is not in " + tail(out));
        Check.isTrue(Long.parseLong(m.group(1)) > 20000L * 500, "the partition holds " + m.group(1) + " bytes");
    }

    private void cluster() throws Exception {
        says(good("", "org.apache.kafka.tools.ClusterTool", "cluster-id", "--bootstrap-server", bootstrap), "Cluster ID: [\\w-]{22}");
        says(good("", "org.apache.kafka.tools.ClusterTool", "list-endpoints", "--bootstrap-server", bootstrap), "(?m)^1\\s+127.0.0.1\\s+\\d+");
    }

    private void quorum() throws Exception {
        String status = good("", "org.apache.kafka.tools.MetadataQuorumCommand", "--bootstrap-server", bootstrap, "describe", "--status");
        says(status, "LeaderId:\\s+[123]\\b");
        says(status, "ClusterId:\\s+[\\w-]{22}");
        says(good("", "org.apache.kafka.tools.MetadataQuorumCommand", "--bootstrap-server", bootstrap, "describe", "--replication"), "(?m)^[123]\\s.*Leader");
    }

    private void features() throws Exception {
        says(good("", "org.apache.kafka.tools.FeatureCommand", "--bootstrap-server", bootstrap, "describe"), "Feature: metadata.version\\s+SupportedMinVersion: .*FinalizedVersionLevel: ");
    }

    private void versions() throws Exception {
        String out = good("", "org.apache.kafka.tools.BrokerApiVersionsCommand", "--bootstrap-server", bootstrap);
        says(out, "Produce\\(0\\): 0 to 13 \\[usable: 13\\]");
        says(out, "Fetch\\(1\\): 4 to 18");
        says(out, "Metadata\\(3\\): 0 to 13");
    }

    /**
     * Dumps every log of a data directory with deep iteration and returns the number of batches. Indexes are verified too when
     * the broker is stopped: while it runs, a preallocated index ends in zeros that the tool takes for entries.
     */
    private int dumpAll(String dir, boolean stopped) throws Exception {
        List<Path> logs;
        List<Path> indexes;
        try (Stream<Path> s = Files.walk(Path.of(dir), 2)) {
            List<Path> files = s.filter(p -> !p.toString().contains("__cluster_metadata") && !p.toString().contains("__dmq_metadata") && !p.getParent().toString().endsWith("-delete")).sorted().collect(Collectors.toList());
            logs = files.stream().filter(p -> p.toString().endsWith(".log") && p.getParent().getFileName().toString().matches(".*-\\d+")).collect(Collectors.toList());
            indexes = files.stream().filter(p -> p.toString().endsWith("index") && p.getParent().getFileName().toString().matches(".*-\\d+")).collect(Collectors.toList());
        }
        Check.isTrue(!logs.isEmpty(), "no .log below " + dir);
        String out = good("", DUMP, "--deep-iteration", "--print-data-log", "--max-message-size", "20000000", "--files", names(logs));
        sound(out);
        if (stopped) {
            sound(good("", DUMP, "--verify-index-only", "--max-message-size", "20000000", "--files", names(indexes)));
            sound(good("", DUMP, "--index-sanity-check", "--files", names(indexes)));
        }
        int batches = 0;
        for (Matcher m = Pattern.compile("isvalid: (\\w+)").matcher(out); m.find(); batches++) {
            Check.same("true", m.group(1), "validity of a batch");
        }
        return batches;
    }

    private static final String DUMP = "org.apache.kafka.tools.DumpLogSegments";

    private static String names(List<Path> files) {
        return files.stream().map(Path::toString).collect(Collectors.joining(","));
    }

    private static void sound(String out) {
        for (String complaint : List.of("Mismatches in", "Non-consecutive offsets", "Found timestamp mismatch", "Found out of order timestamp", "are not found in", "invalid bytes at the end", "Ignoring unknown file", "Exception")) {
            int at = out.indexOf(complaint);
            if (at >= 0) {
                throw new AssertionError(out.substring(at, Math.min(out.length(), at + 400)));
            }
        }
    }

    /** Dumps a data directory of a broker that is stopped. */
    static int dumpOnly(String toolsDir, String dataDir) throws Exception {
        Tools t = new Tools("", toolsDir, dataDir);
        t.check.that("kafka-dump-log of " + dataDir, () -> Main.OUT.println(t.dumpAll(dataDir, true) + " batches"));
        return t.check.close();
    }
}
