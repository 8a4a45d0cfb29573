// Command wire measures a broker, ours or Apache Kafka, through a socket with requests that were encoded beforehand, so
// that the client costs next to nothing and what is measured is the broker: throughput, and with -pid the broker's CPU
// time per gigabyte.
//
//	wire -addr 127.0.0.1:9092 -pid $(pgrep dmq) -conns 4 -window 4 -partitions 12 -batch 16384 -batches 8 -bytes 2e9 produce
//	wire -addr 127.0.0.1:9092 -pid $(pgrep dmq) -conns 4 -max 1048576 fetch
//	wire -addr 127.0.0.1:9092 -pid $(pgrep dmq) tail
//	wire -addr 127.0.0.1:9092 -pid $(pgrep dmq) heap
//	wire -dir /data base
//
// produce sends requests of -batches partitions with one batch each. fetch reads what is in the partitions, from their
// first offset on. tail produces and fetches at the same time, the fetches being at the end of the log; its CPU figure is
// that of both. heap fetches the newest batches of each partition, 640 KiB, again and again, which a broker may have in
// memory of its own. base measures what no broker can do without (receive, CRC, page cache, send) for comparison.
package main
