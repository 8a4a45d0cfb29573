import java.io.PrintStream;

/**
 * The Java client and Kafka's own command-line tools against one broker, all in one JVM.
 *
 * <p>java -cp … Main client|tools|both|member BOOTSTRAP [TOOLS_DIR DATA_DIR]
 * <p>java -cp … Main cluster BOOTSTRAP TOOLS_DIR CONTROLLERS DATA_DIRS
 * <p>java -cp … Main dump TOOLS_DIR DATA_DIR
 */
public final class Main {
    /** Where results go: System.out itself is replaced while a tool runs. */
    static final PrintStream OUT = System.out;

    private Main() {
    }

    public static void main(String[] args) throws Exception {
        String bootstrap = args[1];
        int code;
        switch (args[0]) {
            case "client":
                code = new Client(bootstrap).run();
                break;
            case "tools":
                code = new Tools(bootstrap, args[2], args.length > 3 ? args[3] : "").run();
                break;
            case "both": {
                int first = new Client(bootstrap).run();
                code = Math.max(first, new Tools(bootstrap, args[2], args.length > 3 ? args[3] : "").run());
                break;
            }
            case "cluster":
                code = new ClusterTools(bootstrap, args[2], args[3], args[4]).run();
                break;
            case "member":
                Member.serve(args[1]);
                return; // the members end by themselves
            case "dump":
                code = Tools.dumpOnly(args[1], args[2]);
                break;
            default:
                throw new IllegalArgumentException(args[0]);
        }
        OUT.flush();
        Runtime.getRuntime().halt(code); // some tools leave threads and shutdown hooks behind
    }
}
