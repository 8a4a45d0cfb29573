// Asks Apache Kafka's own classes for a verdict on each case of cases.txt: the checks of UnifiedLog before an append by the
// leader, then LogValidator. Run again after a change of the cases with
//
//	javac -cp 'KAFKA_JARS/*' Verdicts.java && java -cp '.:KAFKA_JARS/*' Verdicts < ../cases.txt > ../verdicts.txt
//
// A case is: timestamp type (0 CreateTime, 1 LogAppendTime), 1 if compacted, target codec (-1: the producer's), the batch in hex.
// A verdict is "ok REWRITTEN MAX_TIMESTAMP BATCH" or "error CODE [INDEX...]"; a rewritten batch is "-".
import java.io.*;
import java.nio.ByteBuffer;
import java.util.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.common.utils.internals.*;
import org.apache.kafka.storage.internals.log.*;

public class Verdicts {
    static final LogValidator.MetricsRecorder NO_METRICS = new LogValidator.MetricsRecorder() {
        public void recordInvalidMagic() {}
        public void recordInvalidOffset() {}
        public void recordInvalidSequence() {}
        public void recordInvalidChecksums() {}
        public void recordNoKeyCompactedTopic() {}
    };

    static String judge(String[] f, Time time) {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(HexFormat.of().parseHex(f[3])));
        try {
            CompressionType source = CompressionType.NONE;
            int n = 0;
            for (MutableRecordBatch b : records.batches()) {
                n++;
                if (b.baseOffset() != 0) throw new org.apache.kafka.common.InvalidRecordException("base offset");
                if (b.sizeInBytes() > 2000) throw new RecordTooLargeException("size");
                if (!b.isValid()) throw new CorruptRecordException("crc");
                source = CompressionType.forId(b.compressionType().id);
            }
            if (n == 0) return "error NOTHING";
            int target = Integer.parseInt(f[2]);
            Compression comp = Compression.of(target < 0 ? source : CompressionType.forId(target)).build();
            LogValidator v = new LogValidator(records, new TopicPartition("t", 0), time, source, comp, f[1].equals("1"), (byte) 2,
                f[0].equals("1") ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME, 1_000_000L, 3_600_000L, -1, AppendOrigin.CLIENT);
            LogValidator.ValidationResult r = v.validateMessagesAndAssignOffsets(PrimitiveRef.ofLong(0), NO_METRICS, BufferSupplier.NO_CACHING);
            boolean rewritten = r.messageSizeMaybeChanged();
            if (rewritten)
                for (MutableRecordBatch b : r.validatedRecords().batches())
                    if (b.sizeInBytes() > 2000) throw new RecordTooLargeException("size");
            ByteBuffer out = r.validatedRecords().buffer();
            byte[] bytes = new byte[out.remaining()];
            out.duplicate().get(bytes);
            return "ok " + (rewritten ? 1 : 0) + " " + r.maxTimestampMs() + " " + (rewritten ? "-" : HexFormat.of().formatHex(bytes));
        } catch (RecordValidationException e) {
            StringBuilder s = new StringBuilder("error " + Errors.forException(e.invalidException()));
            e.recordErrors().forEach(x -> s.append(" ").append(x.batchIndex));
            return s.toString();
        } catch (Throwable t) {
            return "error " + Errors.forException(t);
        }
    }

    public static void main(String[] args) throws Exception {
        Time time = new MockTimeAt(1_700_000_000_000L);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        PrintStream out = new PrintStream(new BufferedOutputStream(System.out));
        for (String line; (line = in.readLine()) != null;) out.println(judge(line.split(" "), time));
        out.flush();
    }

    static class MockTimeAt implements Time {
        final long now;
        MockTimeAt(long now) { this.now = now; }
        public long milliseconds() { return now; }
        public long nanoseconds() { return 0; }
        public void sleep(long ms) {}
        public void waitObject(Object o, java.util.function.Supplier<Boolean> c, long d) {}
        public org.apache.kafka.common.utils.Timer timer(long t) { throw new UnsupportedOperationException(); }
    }
}
