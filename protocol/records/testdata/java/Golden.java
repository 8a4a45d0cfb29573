// Writes the golden batches beside it with Apache Kafka's own classes. Run again after a change with
//
//	javac -cp 'KAFKA_JARS/*' Golden.java && java -cp '.:KAFKA_JARS/*' Golden .
//
// The files in this folder were written by kafka-clients 4.4.0 on 2026-11-23.
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;

public class Golden {
    static byte[] utf8(String s) { return s.getBytes(StandardCharsets.UTF_8); }

    static void write(Path dir, String name, ByteBuffer b) throws Exception {
        byte[] bytes = new byte[b.remaining()];
        b.duplicate().get(bytes);
        Files.write(dir.resolve(name), bytes);
    }

    // The records every file holds: see goldenRecords in golden_test.go.
    static void fill(MemoryRecordsBuilder m, byte magic) {
        for (int i = 0; i < 200; i++) {
            byte[] key = i % 5 == 0 ? null : utf8("key-" + i);
            byte[] value = i % 7 == 0 ? null : utf8("value-" + i + "-" + "x".repeat(i * 7 % 500));
            Header[] headers = magic < 2 || i % 3 != 0 ? new Header[0]
                : new Header[] {new RecordHeader("h" + i, i % 2 == 0 ? null : utf8("hv" + i)), new RecordHeader("", new byte[0])};
            m.append(1_700_000_000_000L + i * 10 - (i % 4) * 25, key, value, headers);
        }
    }

    public static void main(String[] args) throws Exception {
        Path dir = Path.of(args[0]);
        Map<String, Compression> codecs = new LinkedHashMap<>();
        codecs.put("none", Compression.NONE);
        codecs.put("gzip", Compression.gzip().build());
        codecs.put("snappy", Compression.snappy().build());
        codecs.put("lz4", Compression.lz4().build());
        codecs.put("lz4-17", Compression.lz4().level(17).build());
        codecs.put("zstd", Compression.zstd().build());
        codecs.put("zstd-22", Compression.zstd().level(22).build());
        for (var c : codecs.entrySet()) {
            MemoryRecordsBuilder m = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), (byte) 2, c.getValue(),
                TimestampType.CREATE_TIME, 42L, -1L, 7777L, (short) 3, 2147483600, false, 5);
            fill(m, (byte) 2);
            write(dir, "v2-" + c.getKey() + ".bin", m.build().buffer());
        }
        MemoryRecordsBuilder m = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), (byte) 2, Compression.NONE,
            TimestampType.LOG_APPEND_TIME, 42L, 1_800_000_000_000L, -1L, (short) -1, -1, false, 5);
        fill(m, (byte) 2);
        write(dir, "v2-logappendtime.bin", m.build().buffer());
        write(dir, "v2-commit-marker.bin", MemoryRecords.withEndTransactionMarker(9L, 1_700_000_000_000L, 5, 7777L, (short) 3,
            new EndTransactionMarker(ControlRecordType.COMMIT, 11)).buffer());
        for (byte magic = 0; magic < 2; magic++)
            for (String codec : List.of("none", "gzip", "snappy", "lz4")) {
                m = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), magic, codecs.get(codec),
                    TimestampType.CREATE_TIME, 42L);
                fill(m, magic);
                write(dir, "v" + magic + "-" + codec + ".bin", m.build().buffer());
            }
    }
}
