//! Hosts members of groups with rdkafka; go/member/doc.go says what it is told and what it says.

use std::collections::{BTreeSet, HashMap};
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message;
use rdkafka::{ClientContext, TopicPartitionList};

struct Events {
    name: String,
    held: Mutex<BTreeSet<i32>>,
}

impl Events {
    fn change(&self, list: &TopicPartitionList, add: bool) {
        let mut held = self.held.lock().unwrap();
        for e in list.elements() {
            if add {
                held.insert(e.partition());
            } else {
                held.remove(&e.partition());
            }
        }
        let text: Vec<String> = held.iter().map(i32::to_string).collect();
        println!("assigned {} {}", self.name, if text.is_empty() { "-".into() } else { text.join(",") });
    }
}

impl ClientContext for Events {}

impl ConsumerContext for Events {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            self.change(list, false);
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            self.change(list, true);
        }
    }
}

struct Member {
    leaving: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

fn join(bootstrap: &str, f: &[&str]) -> Result<Member, String> {
    let (name, group, topic, protocol, assignor, instance) = (f[1], f[2], f[3], f[4], f[5], f[6]);
    let session: u64 = f[7].parse().map_err(|_| "no number")?;
    let mut c = ClientConfig::new();
    c.set("bootstrap.servers", bootstrap).set("group.id", group).set("group.protocol", protocol).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    c.set("fetch.wait.max.ms", "100").set("topic.metadata.refresh.interval.ms", "1000").set("topic.metadata.refresh.fast.interval.ms", "50").set("reconnect.backoff.max.ms", "500").set("log_level", "0");
    if protocol == "classic" {
        c.set("session.timeout.ms", session.to_string()).set("heartbeat.interval.ms", 300.min(session / 3).to_string());
        c.set("max.poll.interval.ms", session.max(20000).to_string()).set("partition.assignment.strategy", assignor);
    } else if assignor != "-" {
        c.set("group.remote.assignor", assignor);
    }
    if instance != "-" {
        c.set("group.instance.id", instance);
    }
    let events = Events { name: name.to_string(), held: Mutex::default() };
    let consumer: BaseConsumer<Events> = c.create_with_context(events).map_err(|e| e.to_string())?;
    consumer.subscribe(&[topic]).map_err(|e| e.to_string())?;
    let leaving = Arc::new(AtomicBool::new(false));
    let (stop, name) = (leaving.clone(), name.to_string());
    let thread = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            poll(&consumer, &name);
        }
        drop(consumer);
        println!("left {name}");
    });
    Ok(Member { leaving, thread })
}

fn poll(consumer: &BaseConsumer<Events>, name: &str) {
    match consumer.poll(Duration::from_millis(50)) {
        None => {}
        Some(Err(err)) => println!("error {name} {err}"),
        Some(Ok(m)) => {
            println!("record {name} {} {} {}", m.partition(), m.offset(), String::from_utf8_lossy(m.payload().unwrap_or_default()));
            match consumer.commit_message(&m, CommitMode::Sync) {
                Ok(()) => println!("committed {name} {} {}", m.partition(), m.offset() + 1),
                Err(err) => println!("error {name} {err}"),
            }
        }
    }
}

/// Hosts members until the input ends.
pub fn serve(bootstrap: &str) {
    let mut members: HashMap<String, Member> = HashMap::new();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let f: Vec<&str> = line.split(' ').collect();
        if f[0] == "join" && f.len() == 8 {
            match join(bootstrap, &f) {
                Ok(m) => drop(members.insert(f[1].to_string(), m)),
                Err(err) => println!("error {} {err}", f[1]),
            }
        } else if let Some(m) = members.get(f[1]) {
            m.leaving.store(true, Ordering::Relaxed);
        }
    }
    for m in members.values() {
        m.leaving.store(true, Ordering::Relaxed);
    }
    for (_, m) in members {
        let _ = m.thread.join();
    }
}
