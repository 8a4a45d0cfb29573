import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Kafka's own tools for clusters, against three nodes with a rack each, of which node 1 is the only voter at first. Nodes are
 * stopped and started by who runs this: a line "@stop 3" asks for it, and "ok" on the standard input says that it is done.
 */
final class ClusterTools {
    private static final String QUORUM = "org.apache.kafka.tools.MetadataQuorumCommand";
    private static final String CLUSTER = "org.apache.kafka.tools.ClusterTool";
    private static final String ELECTION = "org.apache.kafka.tools.LeaderElectionCommand";
    private static final String REASSIGN = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
    private static final String LOG_DIRS = "org.apache.kafka.tools.LogDirsCommand";
    private static final String VERSIONS = "org.apache.kafka.tools.BrokerApiVersionsCommand";
    private static final String PERF = "org.apache.kafka.tools.ProducerPerformance";
    private static final String OFFSETS = "org.apache.kafka.tools.GetOffsetShell";
    private static final String ID = "[\\w-]{22}";

    private final Check check = new Check("kafka tools for clusters");
    private final BufferedReader answers = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private final Tools tools;
    private final String bootstrap;
    private final String[] brokers;
    private final String[] controllers;
    private final String[] dataDirs;
    private final Path work;

    /** The lists hold what the nodes 1, 2 and 3 have, joined with commas. */
    ClusterTools(String bootstrap, String toolsDir, String controllers, String dataDirs) throws Exception {
        this.tools = new Tools(bootstrap, toolsDir, "");
        this.bootstrap = bootstrap;
        this.brokers = bootstrap.split(",");
        this.controllers = controllers.split(",");
        this.dataDirs = dataDirs.split(",");
        this.work = Files.createTempDirectory("cluster-tools");
    }

    int run() throws Exception {
        check.that("kafka-metadata-quorum describe", this::quorum);
        check.that("kafka-metadata-quorum add-controller, remove-controller", this::voters);
        check.that("kafka-cluster and kafka-broker-api-versions of every node", this::nodes);
        check.that("kafka-log-dirs of every broker", this::logDirs);
        check.that("kafka-configs, throttles", this::throttles);
        check.that("kafka-configs, cordoned.log.dirs", this::cordoned);
        check.that("kafka-topics --describe of what is missing while a node is", this::missing);
        check.that("kafka-leader-election, preferred", this::preferred);
        check.that("kafka-leader-election, unclean", this::unclean);
        check.that("kafka-reassign-partitions", this::reassign);
        check.that("kafka-cluster unregister", this::unregister);
        return check.close();
    }

    /** tell has a node stopped or started, and returns when it is: a node that was started is unfenced. */
    private void tell(String what) throws Exception {
        Main.OUT.println("@" + what);
        Main.OUT.flush();
        Check.same("ok", answers.readLine(), what);
    }

    private String good(String tool, String... args) throws Exception {
        return tools.good("", tool, Tools.with(new String[] {"--bootstrap-server", bootstrap}, args));
    }

    private String bad(String tool, String want, String... args) throws Exception {
        return tools.bad(tool, want, Tools.with(new String[] {"--bootstrap-server", bootstrap}, args));
    }

    private static boolean matches(String out, String want) {
        return Pattern.compile(want).matcher(out).find();
    }

    private interface Question {
        String ask() throws Exception;
    }

    /** until asks again until the answer matches, or does not. */
    private static String until(boolean wanted, String pattern, Question q) throws Exception {
        for (long end = System.nanoTime() + 60_000_000_000L; ; ) {
            String out = q.ask();
            if (matches(out, pattern) == wanted) {
                return out;
            }
            Check.isTrue(System.nanoTime() < end, (wanted ? "no match" : "still a match") + " for " + pattern + " after a minute in " + Tools.tail(out));
        }
    }

    private void create(String topic, String assignment, String... more) throws Exception {
        good(Tools.TOPIC, Tools.with(new String[] {"--create", "--topic", topic, "--replica-assignment", assignment}, more));
        until(true, "Topic: " + topic + "\\s", () -> describe(topic));
    }

    private String describe(String topic) throws Exception {
        return tools.run("", Tools.TOPIC, "--bootstrap-server", bootstrap, "--describe", "--topic", topic).out;
    }

    private String described(String... which) throws Exception {
        return good(Tools.TOPIC, Tools.with(new String[] {"--describe"}, which));
    }

    private Path file(String name, String... lines) throws Exception {
        return Files.writeString(work.resolve(name), String.join("\n", lines) + "\n");
    }

    private String status() throws Exception {
        return good(QUORUM, "describe", "--status");
    }

    /** voter is how a node is shown among the voters and observers. */
    private String voter(int id) {
        return "\\{\"id\": " + id + ", \"directoryId\": \"" + ID + "\", \"endpoints\": \\[\"CONTROLLER://" + controllers[id - 1] + "\"\\]\\}";
    }

    private void quorum() throws Exception {
        String out = until(true, "CurrentObservers:\\s+\\[\\{\"id\": [23].*\\{\"id\": [23]", this::status);
        Tools.says(out, "ClusterId:\\s+" + ID + "\nLeaderId:\\s+1\nLeaderEpoch:\\s+\\d+\nHighWatermark:\\s+\\d+\nMaxFollowerLag:\\s+0\nMaxFollowerLagTimeMs:\\s+0\n");
        Tools.says(out, "CurrentVoters:\\s+\\[" + voter(1) + "\\]\n");
        Tools.says(tools.good("", QUORUM, "--bootstrap-controller", controllers[0], "describe", "--status"), "LeaderId:\\s+1\n");
        String replicas = good(QUORUM, "describe", "--replication");
        Tools.says(replicas, "^NodeId\\s+DirectoryId\\s+LogEndOffset\\s+Lag\\s+LastFetchTimestamp\\s+LastCaughtUpTimestamp\\s+Status");
        Tools.says(replicas, "(?m)^1\\s+" + ID + "\\s+\\d+\\s+0\\s+\\d{13}\\s+\\d{13}\\s+Leader");
        Tools.says(replicas, "(?m)^3\\s+" + ID + "\\s+\\d+\\s+\\d+\\s+\\d{13}\\s+\\d{13}\\s+Observer");
        Tools.says(good(QUORUM, "describe", "--replication", "--human-readable"), "(?m)^2\\s+" + ID + "\\s+\\d+\\s+\\d+\\s+\\d+ ms ago\\s+\\d+ ms ago\\s+Observer");
    }

    private String[] adding(int id) throws Exception {
        Path config = file("controller-" + id + ".properties", "node.id=" + id, "process.roles=broker,controller", "controller.listener.names=CONTROLLER",
            "listeners=PLAINTEXT://" + brokers[id - 1] + ",CONTROLLER://" + controllers[id - 1], "log.dirs=" + dataDirs[id - 1]);
        return new String[] {"--command-config", config.toString(), "add-controller"};
    }

    private static String[] removing(int id, String directory) {
        return new String[] {"remove-controller", "--controller-id", String.valueOf(id), "--controller-directory-id", directory};
    }

    /** voters makes all nodes voters and node 1 the only one again. */
    private void voters() throws Exception {
        Tools.says(good(QUORUM, Tools.with(adding(2), "--dry-run")), "DRY RUN of adding controller 2 with directory id " + ID);
        String[] directories = new String[4];
        for (int id : new int[] {2, 3}) {
            String out = good(QUORUM, adding(id));
            Matcher m = Pattern.compile("Added controller " + id + " with directory id (" + ID + ") and endpoints: CONTROLLER://" + controllers[id - 1]).matcher(out);
            Check.isTrue(m.find(), "no directory in " + out);
            directories[id] = m.group(1);
            bad(QUORUM, "DuplicateVoterException", adding(id));
        }
        until(true, "CurrentVoters:\\s+\\[" + voter(1) + ", " + voter(2) + ", " + voter(3) + "\\]\nCurrentObservers:\\s+\\[\\]", this::status);
        Tools.says(good(QUORUM, "describe", "--replication"), "(?m)^2\\s+" + directories[2] + "\\s.*Follower");
        bad(QUORUM, "VoterNotFoundException", removing(3, directories[2]));
        Tools.says(good(QUORUM, Tools.with(removing(3, directories[3]), "--dry-run")), "DRY RUN of removing\\s+KRaft controller 3 with directory id " + directories[3]);
        for (int id : new int[] {3, 2}) {
            Tools.says(good(QUORUM, removing(id, directories[id])), "Removed\\s+KRaft controller " + id + " with directory id " + directories[id]);
        }
        bad(QUORUM, "VoterNotFoundException", removing(3, directories[3]));
        until(true, "LeaderId:\\s+1\n[^\\[]*CurrentVoters:\\s+\\[" + voter(1) + "\\]\nCurrentObservers:\\s+\\[.*\"id\": [23].*\"id\": [23]", this::status);
    }

    /** endpoint is the line of kafka-cluster of a broker. */
    private String endpoint(int id, String state) {
        String[] place = brokers[id - 1].split(":");
        return "(?m)^" + id + "\\s+" + place[0] + "\\s+" + place[1] + "\\s+r" + id + "\\s+" + state + "\\s+broker";
    }

    private String endpoints(String... args) throws Exception {
        return tools.good("", CLUSTER, Tools.with(new String[] {"list-endpoints", "--bootstrap-server", bootstrap}, args));
    }

    private void nodes() throws Exception {
        String out = endpoints();
        String versions = good(VERSIONS);
        for (int id = 1; id <= 3; id++) {
            Tools.says(out, endpoint(id, "unfenced"));
            Tools.says(versions, "(?m)^" + brokers[id - 1] + " \\(id: " + id + " rack: r" + id + " isFenced: false\\) -> \\(");
        }
        Check.same(3L, Pattern.compile("Produce\\(0\\): 0 to 13 \\[usable: 13\\]").matcher(versions).results().count(), "how many brokers say what they serve");
        String controller = tools.good("", CLUSTER, "list-endpoints", "--bootstrap-controller", controllers[0]);
        Tools.says(controller, "(?m)^1\\s+127.0.0.1\\s+" + controllers[0].split(":")[1] + "\\s+\\S+\\s+controller");
        Check.same(tools.good("", CLUSTER, "cluster-id", "--bootstrap-server", bootstrap), tools.good("", CLUSTER, "cluster-id", "--bootstrap-controller", controllers[0]), "the id of the cluster");
    }

    private void logDirs() throws Exception {
        create("dirs", "1:2,2:3");
        String out = until(true, "\"broker\":3.*\"partition\":\"dirs-1\"|\"partition\":\"dirs-1\".*\"broker\":3", () -> good(LOG_DIRS, "--describe", "--topic-list", "dirs"));
        Tools.says(out, "Received log directory information from brokers 1,2,3");
        for (String dir : dataDirs) {
            Tools.says(out, "\"logDir\":\"" + dir + "\"");
        }
        Check.same(4L, Pattern.compile("\"partition\":\"dirs-[01]\"").matcher(out).results().count(), "how many replicas are shown");
        String one = good(LOG_DIRS, "--describe", "--topic-list", "dirs", "--broker-list", "3");
        Check.isTrue(one.contains(dataDirs[2]) && !one.contains(dataDirs[0]), "of broker 3: " + one);
        bad(LOG_DIRS, "do not exist from --broker-list: 9", "--describe", "--broker-list", "1,9");
    }

    private String configs(String type, String name) throws Exception {
        return good(Tools.CONFIGS, "--entity-type", type, "--entity-name", name, "--describe");
    }

    private void alter(String type, String name, String how, String what) throws Exception {
        good(Tools.CONFIGS, "--entity-type", type, "--entity-name", name, "--alter", how, what);
    }

    private void throttles() throws Exception {
        alter("brokers", "2", "--add-config", "leader.replication.throttled.rate=1000000,follower.replication.throttled.rate=2000000");
        until(true, "(?s)follower.replication.throttled.rate=2000000.*leader.replication.throttled.rate=1000000", () -> configs("brokers", "2"));
        Check.isTrue(!configs("brokers", "1").contains("throttled"), "broker 1 is throttled as well");
        create("throttled", "1:2");
        alter("topics", "throttled", "--add-config", "leader.replication.throttled.replicas=[0:1],follower.replication.throttled.replicas=[0:2]");
        until(true, "(?s)follower.replication.throttled.replicas=0:2.*leader.replication.throttled.replicas=0:1", () -> configs("topics", "throttled"));
        bad(Tools.CONFIGS, "throttled.replicas", "--entity-type", "topics", "--entity-name", "throttled", "--alter", "--add-config", "leader.replication.throttled.replicas=some");
        alter("topics", "throttled", "--delete-config", "leader.replication.throttled.replicas,follower.replication.throttled.replicas");
        alter("brokers", "2", "--delete-config", "leader.replication.throttled.rate,follower.replication.throttled.rate");
        until(false, "throttled", () -> configs("brokers", "2") + configs("topics", "throttled").replace("topic throttled", ""));
    }

    private void cordoned() throws Exception {
        alter("brokers", "2", "--add-config", "cordoned.log.dirs=*");
        until(true, "cordoned.log.dirs=\\*", () -> configs("brokers", "2"));
        String[] three = {"--create", "--topic", "wide", "--partitions", "1", "--replication-factor", "3"};
        until(true, "The target replication factor of 3 cannot be reached because only 2 broker", () -> {
            Tools.Result r = tools.run("", Tools.TOPIC, Tools.with(three, "--bootstrap-server", bootstrap));
            if (r.status == 0) {
                good(Tools.TOPIC, "--delete", "--topic", "wide");
            }
            return r.out;
        });
        good(Tools.TOPIC, "--create", "--topic", "narrow", "--partitions", "2", "--replication-factor", "2");
        String out = until(true, "Partition: 1", () -> describe("narrow"));
        Check.isTrue(!matches(out, "Replicas: (2|\\d,2)"), "broker 2 has replicas of " + out);
        alter("brokers", "2", "--delete-config", "cordoned.log.dirs");
        until(false, "cordoned.log.dirs=\\*", () -> configs("brokers", "2"));
        until(true, "Created topic wide", () -> tools.run("", Tools.TOPIC, Tools.with(three, "--bootstrap-server", bootstrap)).out);
    }

    /** missing stops node 3 for a while. */
    private void missing() throws Exception {
        create("three", "1:2:3,2:3:1,3:1:2", "--config", "min.insync.replicas=2");
        create("strict", "1:2:3", "--config", "min.insync.replicas=3");
        create("alone", "3,1", "--config", "min.insync.replicas=1");
        until(false, "three|strict|alone", () -> described("--under-replicated-partitions"));
        tell("stop 3");
        String under = described("--under-replicated-partitions");
        for (String p : List.of("three\\s+Partition: 0", "three\\s+Partition: 1", "three\\s+Partition: 2", "strict\\s+Partition: 0")) {
            Tools.says(under, "Topic: " + p);
        }
        Tools.says(described("--topic", "three"), "Partition: 2\\s+Leader: [12]\\s+Replicas: 3,1,2\\s+Isr: [12],[12]\\s+Elr: \\s*LastKnownElr: ");
        Tools.says(described("--topic", "strict"), "Partition: 0\\s+Leader: 1\\s+Replicas: 1,2,3\\s+Isr: [12],[12]\\s+Elr: 3\\s+LastKnownElr: ");
        String gone = described("--topic", "alone");
        Tools.says(gone, "Partition: 0\\s+Leader: none\\s+Replicas: 3\\s+Isr: \\s*Elr: 3\\s+LastKnownElr: ");
        Tools.says(gone, "Partition: 1\\s+Leader: 1\\s");
        only("three\\s+Partition: [012]|alone\\s+Partition: 1", "--at-min-isr-partitions");
        only("strict\\s+Partition: 0|alone\\s+Partition: 0", "--under-min-isr-partitions");
        only("alone\\s+Partition: 0", "--unavailable-partitions");
        Tools.says(endpoints("--include-fenced-brokers"), endpoint(3, "fenced"));
        tell("start 3");
        until(false, "three|strict|alone", () -> described("--under-replicated-partitions") + described("--unavailable-partitions"));
    }

    /** only checks which partitions of the topics of missing are shown. */
    private void only(String want, String which) throws Exception {
        String out = described(which);
        Tools.says(out, "Topic: (" + want + ")\\s");
        for (Matcher m = Pattern.compile("Topic: ((three|strict|alone)\\s+Partition: \\d)\\s").matcher(out); m.find(); ) {
            Check.isTrue(m.group(1).matches(want), which + " shows " + m.group(1));
        }
    }

    private String[] election(String type, String topic, int partition) {
        return new String[] {"--election-type", type, "--topic", topic, "--partition", String.valueOf(partition)};
    }

    /** preferred gives node 3 what it led before it was stopped. */
    private void preferred() throws Exception {
        Tools.says(describe("three"), "Partition: 2\\s+Leader: [12]\\s");
        Tools.says(good(ELECTION, election("preferred", "three", 2)), "Successfully completed leader election \\(PREFERRED\\) for partitions three-2");
        until(true, "Partition: 2\\s+Leader: 3\\s", () -> describe("three"));
        Tools.says(good(ELECTION, election("preferred", "three", 2)), "Valid replica already elected for partitions three-2");
        Path json = file("election.json", "{\"partitions\":[{\"topic\":\"three\",\"partition\":0},{\"topic\":\"three\",\"partition\":1}]}");
        Tools.says(good(ELECTION, "--election-type", "preferred", "--path-to-json-file", json.toString()), "(completed leader election|already elected).*three-[01]");
        good(ELECTION, "--election-type", "preferred", "--all-topic-partitions");
        until(true, "Partition: 0\\s+Leader: 1\\s[^$]*Partition: 1\\s+Leader: 2\\s", () -> describe("three"));
        bad(ELECTION, "Error completing leader election (PREFERRED) for partition: missing-0", election("preferred", "missing", 0));
    }

    /** unclean loses what only node 2 had. */
    private void unclean() throws Exception {
        create("lost", "3:2", "--config", "min.insync.replicas=1");
        produce("lost", 100, 100);
        until(true, "Isr: [23],[23]\\s", () -> describe("lost"));
        bad(ELECTION, "unclean", election("unclean", "lost", 9));
        tell("stop 3");
        produce("lost", 50, 100);
        tell("stop 2");
        Tools.says(described("--unavailable-partitions"), "Topic: lost\\s+Partition: 0\\s+Leader: none");
        tell("start 3");
        bad(ELECTION, "Error completing leader election (PREFERRED) for partition: lost-0", election("preferred", "lost", 0));
        Tools.says(describe("lost"), "Leader: none\\s+Replicas: 3,2\\s+Isr: \\s*Elr: 2\\s");
        Tools.says(good(ELECTION, election("unclean", "lost", 0)), "Successfully completed leader election \\(UNCLEAN\\) for partitions lost-0");
        until(true, "Leader: 3\\s+Replicas: 3,2\\s+Isr: 3\\s", () -> describe("lost"));
        Tools.says(good(ELECTION, election("unclean", "lost", 0)), "Valid replica already elected for partitions lost-0");
        tell("start 2");
        until(true, "Leader: 3\\s+Replicas: 3,2\\s+Isr: [23],[23]\\s", () -> describe("lost"));
        Tools.says(good(OFFSETS, "--topic", "lost"), "lost:0:100");
    }

    private void produce(String topic, int records, int size) throws Exception {
        tools.good("", PERF, "--topic", topic, "--num-records", String.valueOf(records), "--record-size", String.valueOf(size), "--throughput", "-1",
            "--producer-props", "bootstrap.servers=" + bootstrap, "acks=all");
    }

    private String reassign(Path plan, String... args) throws Exception {
        return good(REASSIGN, Tools.with(new String[] {"--reassignment-json-file", plan.toString()}, args));
    }

    private void reassign() throws Exception {
        create("moved", "1:2,2:1");
        produce("moved", 4000, 1000);
        Path topics = file("topics.json", "{\"version\":1,\"topics\":[{\"topic\":\"moved\"}]}");
        Tools.says(good(REASSIGN, "--generate", "--topics-to-move-json-file", topics.toString(), "--broker-list", "1,2,3"),
            "(?s)Current partition replica assignment\n\\{.*\"topic\":\"moved\",\"partition\":0,\"replicas\":\\[1,2\\],\"log_dirs\":\\[\"[^\"]+\",\"[^\"]+\"\\].*Proposed partition reassignment configuration\n\\{.*\"moved\"");
        Path plan = file("plan.json", "{\"version\":1,\"partitions\":[{\"topic\":\"moved\",\"partition\":0,\"replicas\":[3,1]},{\"topic\":\"moved\",\"partition\":1,\"replicas\":[2,3]}]}");
        Path wrong = file("wrong.json", "{\"version\":1,\"partitions\":[{\"topic\":\"moved\",\"partition\":0,\"replicas\":[9,1]}]}");
        Tools.says(tools.run("", REASSIGN, "--bootstrap-server", bootstrap, "--reassignment-json-file", wrong.toString(), "--execute").out, "Unknown broker id 9");
        String started = reassign(plan, "--execute", "--throttle", "50000");
        Tools.says(started, "The inter-broker throttle limit was set to 50000 B/s");
        Tools.says(started, "Successfully started partition reassignments for moved-0,moved-1");
        String list = good(REASSIGN, "--list");
        Tools.says(list, "(?m)^moved-0: replicas: 3,1,2. adding: 3. removing: 2.$");
        Tools.says(list, "(?m)^moved-1: replicas: 2,3,1. adding: 3. removing: 1.$");
        Check.same(list, tools.good("", REASSIGN, "--bootstrap-controller", controllers[0], "--list"), "what a controller lists");
        Tools.says(describe("moved"), "Partition: 0\\s+Leader: 1\\s+Replicas: 3,1,2\\s+Isr: 1,2\\s+Adding Replicas: 3\\s+Removing Replicas: 2\\s");
        for (String broker : List.of("1", "2", "3")) {
            until(true, "(?s)follower.replication.throttled.rate=50000.*leader.replication.throttled.rate=50000", () -> configs("brokers", broker));
        }
        until(true, "follower.replication.throttled.replicas=0:3,1:3", () -> configs("topics", "moved"));
        Tools.says(configs("topics", "moved"), "leader.replication.throttled.replicas=0:1,0:2,1:1,1:2|leader.replication.throttled.replicas=0:1,0:2,1:2,1:1");
        Tools.says(reassign(plan, "--verify"), "Reassignment of partition moved-0 is still in progress.\nReassignment of partition moved-1 is still in progress.");
        bad(REASSIGN, "existing partition assignment", "--reassignment-json-file", plan.toString(), "--execute");
        Tools.says(reassign(plan, "--execute", "--additional", "--throttle", "60000"), "The inter-broker throttle limit was set to 60000 B/s");
        Tools.says(reassign(plan, "--cancel"), "(?s)Successfully cancelled partition reassignments for: moved-0,moved-1.*Clearing broker-level throttles on brokers 1,2,3.*Clearing topic-level throttles on topic moved");
        until(true, "No partition reassignments found", () -> good(REASSIGN, "--list"));
        until(false, "throttled", () -> configs("brokers", "3") + configs("topics", "moved"));
        until(true, "Partition: 0\\s+Leader: 1\\s+Replicas: 1,2\\s+Isr: 1,2\\s", () -> describe("moved"));
        Tools.says(reassign(plan, "--cancel"), "None of the specified partition reassignments are active");
        Tools.says(reassign(plan, "--verify"), "There is no active reassignment of partition moved-0, but replica set is 1,2 rather than 3,1");
        Tools.says(reassign(plan, "--execute"), "Successfully started partition reassignments for moved-0,moved-1");
        String done = until(true, "moved-0 is completed.\n.*moved-1 is completed", () -> reassign(plan, "--verify"));
        Tools.says(done, "Clearing broker-level throttles on brokers 1,2,3");
        until(true, "Partition: 0\\s+Leader: [13]\\s+Replicas: 3,1\\s+Isr: [13],[13]\\s[^$]*Partition: 1\\s+Leader: 2\\s+Replicas: 2,3\\s", () -> describe("moved"));
        Tools.says(good(OFFSETS, "--topic", "moved"), "moved:0:\\d+\nmoved:1:\\d+");
    }

    private void unregister() throws Exception {
        tell("stop 3");
        Tools.says(endpoints("--include-fenced-brokers"), endpoint(3, "fenced"));
        Tools.says(tools.good("", CLUSTER, "unregister", "--bootstrap-server", bootstrap, "--id", "3"), "Broker 3 is no longer registered.");
        until(false, "(?m)^3\\s", () -> endpoints("--include-fenced-brokers"));
        tools.bad(CLUSTER, "BrokerIdNotRegisteredException", "unregister", "--bootstrap-server", bootstrap, "--id", "3");
        tell("start 3");
        Tools.says(endpoints("--include-fenced-brokers"), endpoint(3, "unfenced"));
        until(false, "Topic: ", () -> described("--under-replicated-partitions") + described("--unavailable-partitions"));
    }
}
