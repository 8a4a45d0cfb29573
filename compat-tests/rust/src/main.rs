//! rdkafka for Rust (librdkafka 2.12 built from the crate's own source) against the broker at $DMQ_BOOTSTRAP or the first argument.

mod member;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

type Outcome = Result<(), String>;
const WAIT: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq)]
struct Rec {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: i64,
}

/// Keeps the first error that a delivery reports.
struct Deliveries(std::sync::Mutex<Option<KafkaError>>);
impl ClientContext for Deliveries {}
impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((err, _)) = result {
            self.0.lock().unwrap().get_or_insert(err.clone());
        }
    }
}

struct Suite {
    bootstrap: String,
    prefix: String,
    base: i64,
    admin: AdminClient<DefaultClientContext>,
    passed: u32,
    failed: u32,
}

fn text<E: std::fmt::Display>(e: E) -> String {
    e.to_string()
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, want: T, what: &str) -> Outcome {
    if got == want {
        return Ok(());
    }
    let (got, want) = (format!("{got:?}"), format!("{want:?}"));
    Err(format!("{what} is {:.300}, want {:.300}", got, want))
}

impl Suite {
    fn check(&mut self, name: &str, body: impl Fn(&Suite) -> Outcome) {
        let began = Instant::now();
        match body(self) {
            Ok(()) => {
                self.passed += 1;
                if std::env::var("VERBOSE").is_ok_and(|v| !v.is_empty()) {
                    println!("ok   rust-rdkafka: {name} ({} ms)", began.elapsed().as_millis());
                }
            }
            Err(err) => {
                self.failed += 1;
                println!("FAIL rust-rdkafka: {name}: {err}");
            }
        }
    }

    fn config(&self) -> ClientConfig {
        let mut c = ClientConfig::new();
        c.set("bootstrap.servers", &self.bootstrap).set("log_level", "0");
        c
    }

    fn create(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<(), RDKafkaErrorCode> {
        let replicas = std::env::var("DMQ_TEST_REPLICAS").map_or(1, |n| n.parse().expect("DMQ_TEST_REPLICAS is a number"));
        let mut t = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
        for (k, v) in configs {
            t = t.set(k, v);
        }
        let result = block_on(self.admin.create_topics([&t], &AdminOptions::new())).expect("create topics");
        result.into_iter().next().expect("one result").map(|_| ()).map_err(|(_, code)| code)
    }

    fn topic(&self, name: &str, configs: &[(&str, &str)]) -> Result<String, String> {
        let topic = format!("{}{name}", self.prefix);
        self.create(&topic, 1, configs).map_err(text)?;
        self.usable(&topic, 0)?;
        Ok(topic)
    }

    /// A broker opens a new partition some milliseconds after it has answered CreateTopics, and others hear of it in their own time.
    /// Each try is a new consumer's: one that was told of fewer partitions keeps to that for minutes.
    fn usable(&self, topic: &str, partition: i32) -> Outcome {
        let end = Instant::now() + WAIT;
        loop {
            match self.consumer()?.fetch_watermarks(topic, partition, Duration::from_secs(5)) {
                Ok(_) => return Ok(()),
                Err(err) if Instant::now() > end => return Err(text(err)),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn consumer(&self) -> Result<BaseConsumer, String> {
        self.config()
            .set("group.id", "compat")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "20")
            .set("fetch.message.max.bytes", "4000000")
            .create()
            .map_err(text)
    }

    fn produce(&self, topic: &str, records: &[Rec], options: &[(&str, &str)]) -> Result<(), KafkaError> {
        let mut c = self.config();
        c.set("linger.ms", "1").set("message.timeout.ms", "15000").set("acks", "all").set("message.max.bytes", "8000000");
        for (k, v) in options {
            c.set(*k, *v);
        }
        let p: BaseProducer<Deliveries> = c.create_with_context(Deliveries(Default::default()))?;
        for r in records {
            let mut headers = OwnedHeaders::new();
            for (k, v) in &r.headers {
                headers = headers.insert(Header { key: k, value: v.as_ref() });
            }
            let mut m: BaseRecord<'_, Vec<u8>, Vec<u8>> = BaseRecord::to(topic).partition(0);
            m.key = r.key.as_ref();
            m.payload = r.value.as_ref();
            m.timestamp = Some(r.timestamp);
            if !r.headers.is_empty() {
                m = m.headers(headers);
            }
            p.send(m).map_err(|(err, _)| err)?;
        }
        p.flush(WAIT)?;
        let first = p.context().0.lock().unwrap().clone();
        first.map_or(Ok(()), Err)
    }

    fn read(&self, topic: &str, from: i64, n: usize) -> Result<Vec<Rec>, String> {
        let c = self.consumer()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(from)).map_err(text)?;
        c.assign(&list).map_err(text)?;
        let mut out = Vec::new();
        let end = Instant::now() + WAIT;
        while out.len() < n && Instant::now() < end {
            if let Some(m) = c.poll(Duration::from_millis(200)) {
                let m = m.map_err(text)?;
                same(m.offset(), from + out.len() as i64, "offset")?;
                out.push(record(&m));
            }
        }
        same(out.len(), n, "number of records read")?;
        Ok(out)
    }

    fn reads(&self, topic: &str, from: i64, want: &[Rec]) -> Outcome {
        for (i, (got, want)) in self.read(topic, from, want.len())?.iter().zip(want).enumerate() {
            same(got, want, &format!("record {i}"))?;
        }
        Ok(())
    }

    fn some(&self, tag: &str, n: usize) -> Vec<Rec> {
        (0..n)
            .map(|i| Rec { key: Some(format!("{tag}-{i}").into()), value: Some(format!("{tag} {i} ").repeat(20).into()), headers: vec![], timestamp: self.base + 1000 * i as i64 })
            .collect()
    }

    fn codec(&self, codec: &str) -> Outcome {
        let t = self.topic(&format!("codec-{codec}"), &[])?;
        let mut want = Vec::new();
        let c = self.consumer()?;
        for acks in ["0", "1", "all"] {
            let records = self.some(&format!("{codec}{acks}"), 10);
            self.produce(&t, &records, &[("acks", acks), ("compression.type", codec)]).map_err(text)?;
            want.extend(records);
            let end = Instant::now() + WAIT; // acks=0 does not wait
            while c.fetch_watermarks(&t, 0, WAIT).map_err(text)?.1 < want.len() as i64 && Instant::now() < end {}
        }
        self.reads(&t, 0, &want)
    }

    fn shapes(&self) -> Outcome {
        let t = self.topic("shapes", &[])?;
        let rec = |key: Option<&str>, value: Option<&str>| Rec { key: key.map(Into::into), value: value.map(Into::into), headers: vec![], timestamp: self.base };
        let mut want = vec![rec(None, Some("no key")), rec(Some("no value"), None), rec(None, None), rec(Some("h"), Some("v"))];
        want[3].headers = vec![("a".into(), Some(b"1".to_vec())), ("a".into(), Some(b"2".to_vec())), ("null".into(), None), ("ü".into(), Some(vec![0, 255]))];
        self.produce(&t, &want, &[]).map_err(text)?;
        self.reads(&t, 0, &want)
    }

    fn large(&self) -> Outcome {
        let t = self.topic("large", &[("max.message.bytes", "3000000")])?;
        let mut seed = 1u32;
        let noise: Vec<u8> = (0..1 << 20)
            .map(|_| {
                seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
                (seed >> 24) as u8
            })
            .collect();
        let want = vec![Rec { key: None, value: Some(noise), headers: vec![], timestamp: self.base }];
        for codec in ["none", "lz4", "zstd"] {
            self.produce(&t, &want, &[("compression.type", codec)]).map_err(text)?;
        }
        for i in 0..3 {
            self.reads(&t, i, &want)?;
        }
        Ok(())
    }

    fn times(&self) -> Outcome {
        let t = self.topic("times", &[])?;
        let sent = self.some("t", 30);
        for part in sent.chunks(10) {
            self.produce(&t, part, &[]).map_err(text)?;
        }
        let c = self.consumer()?;
        for (millis, want) in [(0, Offset::Offset(0)), (7000, Offset::Offset(7)), (29000, Offset::Offset(29)), (3600_000, Offset::End)] {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&t, 0, Offset::Offset(self.base + millis)).map_err(text)?;
            let found = c.offsets_for_times(list, WAIT).map_err(text)?;
            same(found.find_partition(&t, 0).map(|p| p.offset()), Some(want), &format!("offset at {millis} ms"))?;
        }
        for from in [0, 7, 10, 29] {
            self.reads(&t, from, &sent[from as usize..])?;
        }
        same(c.fetch_watermarks(&t, 0, WAIT).map_err(text)?, (0, 30), "watermarks")
    }

    fn idempotent(&self) -> Outcome {
        let t = self.topic("idempotent", &[])?;
        let sent = self.some("i", 500);
        self.produce(&t, &sent, &[("enable.idempotence", "true"), ("batch.num.messages", "20")]).map_err(text)?;
        self.reads(&t, 0, &sent)
    }

    fn append_time(&self) -> Outcome {
        let t = self.topic("append-time", &[("message.timestamp.type", "LogAppendTime")])?;
        self.produce(&t, &self.some("x", 1), &[]).map_err(text)?;
        let got = self.read(&t, 0, 1)?[0].timestamp;
        if got < self.base + 3600_000 {
            return Err(format!("the record carries {got}"));
        }
        Ok(())
    }

    fn administration(&self) -> Outcome {
        let t = self.topic("admin", &[("retention.ms", "3600000")])?;
        let opts = AdminOptions::new();
        block_on(self.admin.create_partitions([&NewPartitions::new(&t, 3)], &opts)).map_err(text)?.remove(0).map_err(|(_, c)| text(c))?;
        self.usable(&t, 2)?;
        let resource = ResourceSpecifier::Topic(&t);
        let shown = || -> Result<Option<String>, String> {
            let r = block_on(self.admin.describe_configs([&resource], &opts)).map_err(text)?.remove(0).map_err(text)?;
            Ok(r.get("retention.ms").and_then(|e| e.value.clone()))
        };
        same(shown()?, Some("3600000".into()), "retention.ms")?;
        block_on(self.admin.alter_configs([&AlterConfig::new(ResourceSpecifier::Topic(&t)).set("retention.ms", "7200000")], &opts))
            .map_err(text)?
            .remove(0)
            .map_err(|(_, c)| text(c))?;
        let end = Instant::now() + WAIT;
        while shown()? != Some("7200000".into()) {
            if Instant::now() > end {
                return Err("the change of retention.ms does not show".into()); // each question may go to another broker
            }
        }
        self.produce(&t, &self.some("d", 10), &[]).map_err(text)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&t, 0, Offset::Offset(4)).map_err(text)?;
        block_on(self.admin.delete_records(&list, &opts)).map_err(text)?;
        same(self.consumer()?.fetch_watermarks(&t, 0, WAIT).map_err(text)?, (4, 10), "watermarks")?;
        block_on(self.admin.delete_topics(&[&t], &opts)).map_err(text)?.remove(0).map_err(|(_, c)| text(c))?;
        Ok(())
    }

    fn errors(&self) -> Outcome {
        let name = |n: &str| format!("{}{n}", self.prefix);
        same(self.create(&name("times"), 1, &[]), Err(RDKafkaErrorCode::TopicAlreadyExists), "a topic that exists")?;
        same(self.create("a/b", 1, &[]), Err(RDKafkaErrorCode::InvalidTopic), "an invalid name")?;
        same(self.create(&name("bad"), 1, &[("retention.ms", "soon")]), Err(RDKafkaErrorCode::InvalidConfig), "an invalid config")?;
        let t = self.topic("small", &[("max.message.bytes", "1000")])?;
        let big = vec![Rec { key: None, value: Some(vec![7; 5000]), headers: vec![], timestamp: self.base }];
        same(self.produce(&t, &big, &[]).err().and_then(|e| e.rdkafka_error_code()), Some(RDKafkaErrorCode::MessageSizeTooLarge), "a record that is too large")?;
        let err = self.consumer()?.fetch_watermarks(&name("times"), 77, Duration::from_secs(5)).err();
        if err.is_none() {
            return Err("no error for a partition that is not there".into());
        }
        let beyond = self.read(&name("times"), 5000, 1).err().unwrap_or_default();
        if !beyond.contains("OutOfRange") && !beyond.contains("out of range") && !beyond.contains("AutoOffsetReset") {
            return Err(format!("reading beyond the end gave {beyond:?}"));
        }
        Ok(())
    }
}

fn record(m: &BorrowedMessage<'_>) -> Rec {
    let headers = m.headers().map_or(vec![], |h| h.iter().map(|h| (h.key.to_string(), h.value.map(<[u8]>::to_vec))).collect());
    Rec { key: m.key().map(<[u8]>::to_vec), value: m.payload().map(<[u8]>::to_vec), headers, timestamp: m.timestamp().to_millis().unwrap_or(-1) }
}

fn main() {
    if let (Some("member"), Some(bootstrap)) = (std::env::args().nth(1).as_deref(), std::env::args().nth(2)) {
        return member::serve(&bootstrap);
    }
    let bootstrap = std::env::args().nth(1).or_else(|| std::env::var("DMQ_BOOTSTRAP").ok()).expect("the address of a broker");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis() as i64;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &bootstrap).set("log_level", "0");
    let admin = config.create().expect("an admin client");
    let base = now / 3_600_000 * 3_600_000 - 86_400_000; // yesterday, so that retention leaves the records alone
    let mut s = Suite { bootstrap, prefix: format!("rust-{now}-"), base, admin, passed: 0, failed: 0 };
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        s.check(&format!("codec {codec}, acks 0, 1 and all"), |s| s.codec(codec));
    }
    s.check("idempotent produce", Suite::idempotent);
    s.check("headers and nulls", Suite::shapes);
    s.check("1 MiB records", Suite::large);
    s.check("timestamps, from a time, from any offset", Suite::times);
    s.check("log append time", Suite::append_time);
    s.check("partitions, configs, delete records, delete topic", Suite::administration);
    s.check("errors", Suite::errors);
    println!("{} passed, {} failed", s.passed, s.failed);
    std::process::exit(i32::from(s.failed > 0 || s.passed == 0));
}
