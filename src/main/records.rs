//! Records of what sessions have used: from the workers to the thread that keeps them.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use taciturn_config::{Config, RecordAddresses, RecordsUrl};
use taciturn_net::{Shared, UsageSink, Workers};
use taciturn_records::{
    Addresses, Bytes, FileSettings, HttpReceiver, HttpSettings, Ready, Receiver, Record,
    RecordFile, Recorder, Sink, Spool, Thread, Url,
};
use taciturn_turn::{EndReason, SessionIds, Traffic, UsageRecord};
use tokio::time::{Instant, sleep_until};

use super::failure::Failure;
use super::fleet::record_stream;
use super::node_name::node_name;

/// Records that wait for the disk, at least. Beyond that it is as many as four for each relay port: all sessions may end at
/// once.
const ROOM: usize = 4096;

/// How often it is looked at most, and at least, which sessions have gone on for long enough.
const LOOK: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];

/// How many records of sessions that go on are made in one go; the others are made next time.
const MOST: usize = 4096;

/// How long the disk may take at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The directory of the spool, in the state directory.
pub(super) const SPOOL: &str = "records-spool";

const MIB: u64 = 1024 * 1024;

/// Keeps records, if the configuration says so.
#[derive(Debug, Default)]
pub(super) struct RecordKeeper {
    running: Option<Keeping>,
}

#[derive(Debug)]
struct Keeping {
    recorder: Recorder,
    thread: Thread,
    ids: Arc<SessionIds>,
    every: Duration,
    /// When it is to be looked next which sessions have gone on for long enough.
    next: Instant,
}

impl RecordKeeper {
    /// Opens what records are kept in. Nothing is written before [`Self::go`].
    ///
    /// # Errors
    /// If they cannot be kept there.
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        let Some(sink) = sink(config)? else { return Ok(Self::default()) };
        let mut process = [0; 8];
        getrandom::fill(&mut process).map_err(|error| format!("no randomness: {error}"))?;
        let records = &config.records;
        let ready = Ready {
            sink,
            node: node_name(config),
            addresses: match records.addresses {
                RecordAddresses::Full => Addresses::Full,
                RecordAddresses::Network => Addresses::Network,
                RecordAddresses::None => Addresses::None,
            },
            room: ROOM.max(4 * config.relay_ports.len() as usize),
        };
        let (recorder, thread) = ready.start()?;
        let ids = Arc::new(SessionIds::new(u64::from_be_bytes(process)));
        let every = records.every;
        Ok(Self { running: Some(Keeping { recorder, thread, ids, every, next: Instant::now() }) })
    }

    /// Has the workers make records.
    pub(super) fn ask(&self, mut shared: Shared) -> Shared {
        if let Some(Keeping { recorder, ids, .. }) = &self.running {
            shared.rules.session_ids = Some(Arc::clone(ids));
            shared.usage = Some(Arc::new(Taker(recorder.clone())));
        }
        shared
    }

    /// Has them written from now on: this server has begun. What the restoring of another process's sessions has led to
    /// is among them.
    pub(super) fn go(&self) {
        if let Some(Keeping { thread, .. }) = &self.running {
            thread.go();
        }
    }

    /// What metrics and messages ask.
    pub(super) fn recorder(&self) -> Option<Recorder> {
        self.running.as_ref().map(|keeping| keeping.recorder.clone())
    }

    /// Waits until it is to be looked which sessions have gone on for long enough; for ever if no records are kept.
    pub(super) async fn due(&self) {
        match &self.running {
            Some(keeping) => sleep_until(keeping.next).await,
            None => std::future::pending().await,
        }
    }

    /// Makes records of sessions that have gone on for long enough, as far as there is room for them. They are to be put
    /// next, once what is kept for a crash is as new as they are.
    pub(super) async fn make(&mut self, workers: &Workers) -> Vec<UsageRecord> {
        let Some(Keeping { recorder, every, next, .. }) = &mut self.running else {
            return Vec::new();
        };
        let [least, most] = LOOK;
        *next = Instant::now() + (*every / 20).clamp(least, most);
        let room = MOST.min(recorder.room() / 2);
        let mut made = Vec::new();
        for worker in 0..workers.number() {
            let mut from = Some(0);
            while let Some(place) = from
                && made.len() < room
            {
                // A worker that has ended ends the server.
                let asked = workers.interim_records(worker, *every, place).await;
                let Ok((some, then)) = asked else { return made };
                made.extend(some);
                from = then;
            }
        }
        made
    }

    /// Has these kept.
    pub(super) fn put(&self, made: Vec<UsageRecord>) {
        if let Some(Keeping { recorder, .. }) = &self.running {
            made.into_iter().for_each(|record| recorder.put(line(record)));
        }
    }

    /// Has the file opened again.
    pub(super) fn reopen(&self) {
        if let Some(Keeping { recorder, .. }) = &self.running {
            recorder.reopen();
        }
    }

    /// Ends, once all is on the disk. The workers have ended before.
    pub(super) fn end(self) {
        let Some(Keeping { recorder, thread, .. }) = self.running else { return };
        recorder.end();
        let begun = std::time::Instant::now();
        while !thread.is_finished() {
            if begun.elapsed() > PATIENCE {
                tracing::error!("records: the disk does not take the last ones");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Where records go; `None` if none are kept.
fn sink(config: &Config) -> Result<Option<Sink>, Failure> {
    let records = &config.records;
    if let Some(path) = &records.file {
        let settings = FileSettings {
            path: path.clone(),
            rotate_at: u64::from(records.rotate_at_mib) * MIB,
            rotate_after: records.rotate_after,
            keep: records.keep,
        };
        let file = RecordFile::open(settings).map_err(|error| not_kept(path, &error))?;
        tracing::info!("records of sessions go to {}", path.display());
        return Ok(Some(Sink::File(Box::new(file))));
    }
    let receiver = match (&records.url, &records.stream) {
        (Some(url), _) => http(config, url)?,
        (None, Some(stream)) => record_stream(config, stream.as_str(), records.stream_length)?,
        (None, None) => return Ok(None),
    };
    let limit = u64::from(records.spool_mib) * MIB;
    let spool = Spool::open(&config.state_dir.join(SPOOL), limit);
    let spool = spool.map_err(|error| format!("records: {error}"))?;
    tracing::info!("records of sessions go to {}", receiver.name());
    Ok(Some(Sink::Receiver(Box::new(spool), receiver)))
}

fn not_kept(path: &std::path::Path, error: &io::Error) -> Failure {
    format!("records: cannot write to {} (file in [records]): {error}", path.display()).into()
}

fn http(config: &Config, url: &RecordsUrl) -> Result<Box<dyn Receiver>, Failure> {
    let RecordsUrl { tls, host, port, path, .. } = url;
    let (host, path) = (host.clone(), path.clone());
    let receiver = HttpReceiver::new(HttpSettings {
        url: Url { tls: *tls, host, port: *port, path },
        token_file: config.records.token_file.clone(),
        ca_file: config.records.ca_file.clone(),
        agent: concat!("taciturn/", env!("CARGO_PKG_VERSION")),
    });
    Ok(Box::new(receiver.map_err(|error| format!("records: {error}"))?))
}

/// Takes records from workers.
#[derive(Debug)]
struct Taker(Recorder);

impl UsageSink for Taker {
    fn put(&self, record: UsageRecord) {
        self.0.put(line(record));
    }
}

fn line(record: UsageRecord) -> Record {
    let UsageRecord { accounted, client, carrier, username, user, total, lived, ended } = record;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Record {
        session: accounted.session.to_string(),
        sequence: accounted.sequence,
        tenant: username.tenant().name().map(str::to_owned),
        realm: user.realm().to_owned(),
        user: user.name().to_owned(),
        username: username.name().to_owned(),
        client: client.0,
        transport: carrier.name(),
        relayed: accounted.relayed.into_iter().flatten().collect(),
        start: accounted.began,
        end: now.max(accounted.began),
        lived,
        reason: ended.map(EndReason::name),
        used: bytes(accounted.used),
        total: bytes(total),
    }
}

const fn bytes(traffic: Traffic) -> Bytes {
    Bytes {
        bytes_to_peers: traffic.bytes_to_peers,
        bytes_to_client: traffic.bytes_to_client,
        packets_to_peers: traffic.packets_to_peers,
        packets_to_client: traffic.packets_to_client,
    }
}
