import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;

/** Counts checks and closes with "N passed, N failed". */
final class Check {
    interface Body {
        void run() throws Exception;
    }

    private static final boolean VERBOSE = System.getenv("VERBOSE") != null && !System.getenv("VERBOSE").isEmpty();
    private final String suite;
    private int passed;
    private int failed;

    Check(String suite) {
        this.suite = suite;
    }

    void that(String name, Body body) {
        long began = System.nanoTime();
        try {
            body.run();
            passed++;
            if (VERBOSE) {
                Main.OUT.printf("ok   %s: %s (%d ms)%n", suite, name, (System.nanoTime() - began) / 1_000_000);
            }
        } catch (Throwable t) {
            failed++;
            Main.OUT.printf("FAIL %s: %s: %s%n", suite, name, t);
            if (VERBOSE) {
                t.printStackTrace(Main.OUT);
            }
        }
    }

    /** The call has to fail with an exception of that class, directly or as the cause. */
    static void fails(Class<? extends Throwable> want, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (Throwable t) {
            Throwable cause = t instanceof ExecutionException ? t.getCause() : t;
            if (want.isInstance(cause)) {
                return;
            }
            throw new AssertionError("failed with " + cause + ", want " + want.getSimpleName());
        }
        throw new AssertionError("no error, want " + want.getSimpleName());
    }

    static void same(Object want, Object got, String what) {
        boolean equal = want instanceof byte[] && got instanceof byte[] ? Arrays.equals((byte[]) want, (byte[]) got) : Objects.equals(want, got);
        if (!equal) {
            throw new AssertionError(what + " is " + show(got) + ", want " + show(want));
        }
    }

    static void isTrue(boolean ok, String what) {
        if (!ok) {
            throw new AssertionError(what);
        }
    }

    private static String show(Object o) {
        String s = o instanceof byte[] ? Arrays.toString((byte[]) o) : String.valueOf(o);
        return s.length() > 200 ? s.substring(0, 200) + "…" : s;
    }

    int close() {
        Main.OUT.printf("%d passed, %d failed%n", passed, failed);
        return failed == 0 && passed > 0 ? 0 : 1;
    }
}
