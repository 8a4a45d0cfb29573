import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.coordinator.group.generated.CoordinatorRecordType;

/**
 * Prints records of __consumer_offsets as Kafka's own classes write them: every version of every type, with random fields.
 *
 * <p>A line is the type, the version of the value, the key and the value, both in hex.
 */
public final class Records {
    private static final int PER_VERSION = 8;
    private static final String[] TEXTS = {"", "g", "orders", "consumer", "range", "/127.0.0.1", "sarama-1234", "grüße-✓", "x".repeat(130)};
    private static final Random RANDOM = new Random(42);

    private Records() {
    }

    public static void main(String[] args) throws Exception {
        for (String arg : args) {
            CoordinatorRecordType type = CoordinatorRecordType.fromId(Short.parseShort(arg));
            ApiMessage value = type.newRecordValue();
            for (short version = value.lowestSupportedVersion(); version <= value.highestSupportedVersion(); version++) {
                int printed = 0;
                while (printed < PER_VERSION) {
                    if (print(type, version)) {
                        printed++;
                    }
                }
            }
        }
    }

    /** Prints a random record; false when the version cannot carry what was drawn. */
    private static boolean print(CoordinatorRecordType type, short version) throws Exception {
        ApiMessage key = type.newRecordKey();
        ApiMessage value = type.newRecordValue();
        fill(key);
        fill(value);
        byte[] keyBytes;
        byte[] valueBytes;
        try {
            keyBytes = MessageUtil.toCoordinatorTypePrefixedBytes(key);
            valueBytes = MessageUtil.toVersionPrefixedBytes(version, value);
        } catch (RuntimeException e) {
            return false;
        }
        HexFormat hex = HexFormat.of();
        System.out.println(type.id() + " " + version + " " + hex.formatHex(keyBytes) + " " + hex.formatHex(valueBytes));
        return true;
    }

    /** Fills a message. One in five fields keeps its default, but none that is a struct: Kafka sets those, to null or to something. */
    private static void fill(Object message) throws Exception {
        for (Method m : message.getClass().getDeclaredMethods()) {
            if (!m.getName().startsWith("set") || m.getParameterCount() != 1) {
                continue;
            }
            Type t = m.getGenericParameterTypes()[0];
            if (RANDOM.nextInt(5) > 0 || t instanceof Class<?> c && Message.class.isAssignableFrom(c)) {
                m.invoke(message, draw(t));
            }
        }
    }

    private static Object draw(Type t) throws Exception {
        if (t == byte.class) {
            return (byte) RANDOM.nextInt(5);
        } else if (t == int.class || t == Integer.class) {
            return RANDOM.nextInt(3) == 0 ? RANDOM.nextInt() : RANDOM.nextInt(100);
        } else if (t == long.class) {
            return RANDOM.nextInt(3) == 0 ? RANDOM.nextLong() : 1_700_000_000_000L + RANDOM.nextInt();
        } else if (t == String.class) {
            return RANDOM.nextInt(6) == 0 ? null : TEXTS[RANDOM.nextInt(TEXTS.length)];
        } else if (t == Uuid.class) {
            return RANDOM.nextInt(4) == 0 ? Uuid.ZERO_UUID : new Uuid(RANDOM.nextLong(), RANDOM.nextLong());
        } else if (t == byte[].class) {
            byte[] b = new byte[RANDOM.nextInt(150)];
            RANDOM.nextBytes(b);
            return b;
        } else if (t instanceof ParameterizedType p) {
            List<Object> list = new ArrayList<>();
            for (int n = RANDOM.nextInt(4); n > 0; n--) {
                Object element = draw(p.getActualTypeArguments()[0]);
                if (element != null) {
                    list.add(element);
                }
            }
            return list;
        }
        if (RANDOM.nextInt(3) == 0) {
            return null;
        }
        Class<?> c = (Class<?>) t;
        Object struct = c.getDeclaredConstructor().newInstance();
        while (struct.equals(c.getDeclaredConstructor().newInstance())) {
            fill(struct);
        }
        return struct;
    }
}
