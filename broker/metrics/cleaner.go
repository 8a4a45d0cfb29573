package metrics

import "github.com/distributedmq/dmq/log/cleaner"

// compaction shows Kafka's LogCleaner and LogCleanerManager gauges, and what the passes moved in all.
func compaction(out emitter, s cleaner.Stats) {
	const prefix = "kafka_log_logcleaner_"
	out.gauge(prefix+"cleaner_recopy_percent", "Bytes written of those read, last passes.", float64(s.RecopyPercent))
	out.gauge(prefix+"max_buffer_utilization_percent", "How full the key map of a last pass was.", float64(s.MaxUtilizationPercent))
	out.gauge(prefix+"max_clean_time_secs", "Duration of the longest of the last passes.", s.MaxCleanTime.Seconds())
	out.gauge(prefix+"max_compaction_delay_secs", "How much longer than max.compaction.lag.ms records had waited.", s.MaxCompactionDelay.Seconds())
	out.gauge(prefix+"deadthreadcount", "Compaction threads that died: a fault in one ends the process here.", 0)

	const manager = "kafka_log_logcleanermanager_"
	out.gauge(manager+"max_dirty_percent", "Share of dirty bytes of the dirtiest log.", float64(s.MaxDirtyPercent))
	out.gauge(manager+"time_since_last_run_ms", "Since a thread last looked for a log to compact.", float64(s.SinceLastRun.Milliseconds()))
	for dir, u := range s.Uncleanable {
		out.gauge(manager+"uncleanable_partitions_count", "Partitions that cannot be compacted.", float64(u.Partitions), "logDirectory", dir)
		out.gauge(manager+"uncleanable_bytes", "Dirty bytes of those.", float64(u.Bytes), "logDirectory", dir)
	}

	out.gauge("dmq_log_cleaner_threads", "Compaction threads.", float64(s.Threads))
	out.gauge("dmq_log_cleaner_key_map_max_bytes", "The most memory that a key map took.", float64(s.KeyMapBytes))
	out.counter("dmq_log_cleaner_read_bytes_total", "Bytes read by compaction.", float64(s.BytesRead))
	out.counter("dmq_log_cleaner_written_bytes_total", "Bytes written by compaction.", float64(s.BytesWritten))
	out.counter("dmq_log_cleaner_removed_records_total", "Records removed by compaction.", float64(s.RecordsRemoved))
	const passes = "dmq_log_cleaner_passes_total"
	out.counter(passes, "Passes over a log, by how they ended.", float64(s.Passes), "result", "done")
	out.counter(passes, "Passes over a log, by how they ended.", float64(s.Aborted), "result", "aborted")
	out.counter(passes, "Passes over a log, by how they ended.", float64(s.Failed), "result", "failed")
}
