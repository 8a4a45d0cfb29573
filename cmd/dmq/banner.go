package main

import (
	"net"
	"strings"
	"time"

	"github.com/distributedmq/dmq/broker/config"
)

// bound is where a node listens once it runs.
type bound struct {
	kafka []string // host:port of each client listener, ports filled in
	admin string   // host:port; "" none
}

// facts is what a banner tells, and what the ready message of a log holds.
type facts struct {
	kafka    string
	admin    string
	data     string
	durable  string
	insecure string
	exposed  bool // to others than this machine
}

func (a *app) facts(c *config.Config, at bound) facts {
	f := facts{kafka: strings.Join(at.kafka, ", "), data: strings.Join(c.LogDirs, ", "), durable: "every acknowledged record is synced to disk (flush.messages=1)"}
	if at.admin != "" {
		f.admin = "http://" + at.admin
	}
	if !c.Durable() {
		f.durable = "the operating system decides when records reach the disk (log.flush.interval.messages is not 1)"
	}
	f.insecure = "no TLS and no login; only this machine can connect"
	for i, l := range c.Listeners {
		if !l.Loopback() && i < len(at.kafka) {
			f.exposed = true
			f.insecure = "no TLS and no login: whoever can reach " + at.kafka[i] + " can read, write and delete everything"
		}
	}
	if host, _, err := net.SplitHostPort(c.AdminListen); err == nil && !(config.Listener{Host: host}).Loopback() {
		f.exposed = true
		f.insecure += "; the admin port is open to the network too"
	}
	return f
}

// bannerStart is shown before the node starts: recovery may take a while.
func (a *app) bannerStart(c *config.Config, o nodeOptions) {
	v := versionInfo()
	data := strings.Join(c.LogDirs, ", ")
	if o.throwAway {
		data += " (deleted at exit; keep with --keep DIR)"
	}
	a.say("%sdmq %s  (%s, %s)   data: %s\n", a.sign("🚀 "), a.paint(a.err, bold, v.Version), v.Go, v.Platform, data)
}

// bannerReady is shown when clients are served.
func (a *app) bannerReady(f facts, took time.Duration, o nodeOptions) {
	address := reachable(strings.Split(f.kafka, ", ")[0])
	if address == "127.0.0.1:9092" || address == "localhost:9092" {
		address = "" // the default of --brokers
	} else {
		address = " -b " + address
	}
	a.say("%sReady in %s\n", a.sign("✅ "), took.Round(time.Millisecond))
	a.say("   Kafka       %s   try:  echo hello | dmq produce greetings%s\n", a.paint(a.err, bold, f.kafka), address)
	if f.admin != "" {
		a.say("   Admin       %s   /api/v1 /metrics /livez /readyz\n", f.admin)
	}
	a.say("   Durability  %s\n", f.durable)
	warning := "Insecure: "
	if o.throwAway {
		warning = "Developer mode: "
	}
	a.say("%s%s\n", a.sign("⚠️ "), a.paint(a.err, yellow, warning+f.insecure))
}

// reachable is an address of this machine to connect to, where a node listens on every interface.
func reachable(bound string) string {
	host, port, err := net.SplitHostPort(bound)
	if err != nil {
		return bound
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// sign is a marker where the terminal can show one.
func (a *app) sign(s string) string {
	if a.unicode() && a.lookup("TERM") != "dumb" {
		return s
	}
	return ""
}
