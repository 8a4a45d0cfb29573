package main

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// diskIO shows how much this process has read from and written to disks, under Kafka's names, where the kernel counts that.
type diskIO struct{ read func(string) ([]byte, error) }

// Describe says that the series are not known beforehand.
func (diskIO) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (d diskIO) Collect(ch chan<- prometheus.Metric) {
	b, err := d.read("/proc/self/io")
	if err != nil {
		return // not Linux, or not allowed
	}
	names := map[string]string{"read_bytes": "kafka_server_kafkaserver_linux_disk_read_bytes", "write_bytes": "kafka_server_kafkaserver_linux_disk_write_bytes"}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), ": ")
		n, err := strconv.ParseInt(value, 10, 64)
		if name := names[key]; name != "" && err == nil {
			desc := prometheus.NewDesc(name, "Bytes this process caused to be transferred from or to disks.", nil, nil)
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n))
		}
	}
}
