//! The thread that keeps records, and how it is given them.

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver as Queue, Sender, channel};
use tokio::time::{sleep, timeout};

use super::counts::{Counts, Dropped, Totals};
use super::deliver::{Deliverer, WAITS, show};
use super::file::RecordFile;
use super::receiver::Receiver;
use super::record::{Addresses, Record};
use super::spool::{Added, Spool};

/// How long records gather before they are written: the disk confirms all of them at once.
const GATHER: Duration = Duration::from_millis(50);

/// How many are written at once.
const BATCH: usize = 512;

/// How long to wait when the disk refuses them.
const RETRY: Duration = Duration::from_secs(1);

/// How long the receiver may take at the end of the process.
const LAST_DELIVERY: Duration = Duration::from_secs(2);

/// Where records go.
#[derive(Debug)]
pub enum Sink {
    /// Into a file.
    File(Box<RecordFile>),
    /// To a receiver, by way of a spool.
    Receiver(Box<Spool>, Box<dyn Receiver>),
}

/// All that is needed to keep records. Nothing runs yet.
#[derive(Debug)]
pub struct Ready {
    /// Where they go.
    pub sink: Sink,
    /// The name of this server.
    pub node: String,
    /// What of clients' addresses they have.
    pub addresses: Addresses,
    /// How many wait for the disk at most.
    pub room: usize,
}

/// The thread that writes and delivers.
#[derive(Debug)]
pub struct Thread {
    go: std::sync::mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Thread {
    /// Has it begin with what was taken until now. If this is never called, nothing is written.
    pub fn go(&self) {
        // It waits for that, or has been told already.
        let _ = self.go.send(());
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Takes records from any thread.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: Sender<Record>,
    orders: Sender<Order>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
enum Order {
    Reopen,
    End,
}

impl Ready {
    /// Starts the thread, which writes nothing before [`Thread::go`].
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn start(self) -> io::Result<(Recorder, Thread)> {
        self.start_with(WAITS)
    }

    /// With other waits between attempts to deliver.
    pub(crate) fn start_with(self, waits: [Duration; 2]) -> io::Result<(Recorder, Thread)> {
        let (queue, records) = channel(self.room);
        let (orders, ordered) = channel(4);
        let counts = Arc::new(Counts::default());
        let recorder = Recorder { queue, orders, counts: Arc::clone(&counts) };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (go, told) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("records".to_owned()).spawn(move || {
            // Without it the server has not begun, and nothing that it has seen counts.
            if told.recv().is_ok() {
                runtime.block_on(self.run(records, ordered, counts, waits));
            }
        })?;
        Ok((recorder, Thread { go, thread }))
    }

    async fn run(
        self,
        records: Queue<Record>,
        orders: Queue<Order>,
        counts: Arc<Counts>,
        waits: [Duration; 2],
    ) {
        let added = Rc::new(Notify::new());
        let (store, mut deliverer) = match self.sink {
            Sink::File(file) => (Store::File(file), None),
            Sink::Receiver(spool, receiver) => {
                show(&counts, &spool);
                let spool = Rc::new(RefCell::new(*spool));
                let deliverer = Deliverer {
                    spool: Rc::clone(&spool),
                    receiver,
                    counts: Arc::clone(&counts),
                    added: Rc::clone(&added),
                    waits,
                };
                (Store::Spool(spool), Some(deliverer))
            }
        };
        let (node, addresses) = (self.node, self.addresses);
        let mut writer = Writer {
            store,
            node,
            addresses,
            counts,
            added,
            pending: Pending::default(),
            told_of_rotation: false,
        };
        let delivering = async {
            match &mut deliverer {
                Some(deliverer) => deliverer.run().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = writer.run(records, orders) => {}
            () = delivering => {}
        }
        if let Some(deliverer) = &mut deliverer {
            let _ = timeout(LAST_DELIVERY, deliverer.run_once()).await;
        }
    }
}

impl Recorder {
    /// Takes a record. If there is no room for it, it is dropped and counted.
    pub fn put(&self, record: Record) {
        if self.queue.try_send(record).is_err() && self.counts.count_dropped(Dropped::Queue, 1) {
            tracing::error!(
                "records: sessions end faster than the disk keeps their records: some are lost"
            );
        }
    }

    /// How many it has room for.
    #[must_use]
    pub fn room(&self) -> usize {
        self.queue.capacity()
    }

    /// Has the file opened again: another program has renamed it.
    pub fn reopen(&self) {
        // If orders wait already, one of them does as well: the name of the file is looked at before each write.
        let _ = self.orders.try_send(Order::Reopen);
    }

    /// Has the thread end, once all that was taken is on the disk, or cannot be brought there.
    pub fn end(&self) {
        let _ = self.orders.try_send(Order::End);
    }

    /// What became of the records.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = self.counts.read();
        totals.waiting += (self.queue.max_capacity() - self.queue.capacity()) as u64;
        totals
    }
}

enum Store {
    File(Box<RecordFile>),
    Spool(Rc<RefCell<Spool>>),
}

/// Lines that are not on the disk yet.
#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    ended: usize,
    running: usize,
}

struct Writer {
    store: Store,
    node: String,
    addresses: Addresses,
    counts: Arc<Counts>,
    added: Rc<Notify>,
    pending: Pending,
    told_of_rotation: bool,
}

impl Writer {
    async fn run(&mut self, mut records: Queue<Record>, mut orders: Queue<Order>) {
        let mut batch = Vec::new();
        loop {
            let stuck = self.pending.records() > 0;
            tokio::select! {
                biased;
                Some(order) = orders.recv() => match order {
                    Order::Reopen => self.reopen(),
                    Order::End => {
                        self.drain(&mut records);
                        let lost = self.pending.records() + records.len();
                        if lost > 0 {
                            tracing::error!("records: {lost} are lost: they cannot be written");
                        }
                        return;
                    }
                },
                () = sleep(RETRY), if stuck => self.write(),
                taken = records.recv_many(&mut batch, BATCH), if !stuck => {
                    if taken == 0 {
                        return;
                    }
                    self.counts.set_in_hand(taken);
                    sleep(GATHER).await;
                    self.take(&mut batch, &mut records);
                    self.write();
                }
            }
        }
    }

    /// Makes lines of these records, and of some more that wait.
    fn take(&mut self, batch: &mut Vec<Record>, records: &mut Queue<Record>) {
        while batch.len() < BATCH
            && let Ok(record) = records.try_recv()
        {
            batch.push(record);
        }
        self.counts.set_in_hand(batch.len());
        for record in batch.drain(..) {
            record.write(&self.node, self.addresses, &mut self.pending.lines);
            match record.is_last() {
                true => self.pending.ended += 1,
                false => self.pending.running += 1,
            }
        }
    }

    /// Writes all that waits, unless the disk refuses it.
    fn drain(&mut self, records: &mut Queue<Record>) {
        let mut batch = Vec::new();
        loop {
            self.write();
            if self.pending.records() > 0 {
                return;
            }
            self.take(&mut batch, records);
            if self.pending.records() == 0 {
                return;
            }
        }
    }

    /// Writes what is pending. It stays if the disk refuses it.
    fn write(&mut self) {
        let records = self.pending.records();
        if records == 0 {
            return;
        }
        let written = match &mut self.store {
            Store::File(file) => file.append(&self.pending.lines).map(|not_rotated| {
                if let Some(error) = not_rotated
                    && !std::mem::replace(&mut self.told_of_rotation, true)
                {
                    tracing::warn!("records: the file grows, for it cannot be renamed: {error}");
                }
                Added::Kept
            }),
            Store::Spool(spool) => {
                let added = spool.borrow_mut().add(&self.pending.lines, records as u64);
                show(&self.counts, &spool.borrow());
                added
            }
        };
        match written {
            Ok(Added::Kept) => {
                self.counts.count_written(self.pending.ended as u64, self.pending.running as u64);
                self.pending = Pending::default();
                if matches!(self.store, Store::File(_)) && self.counts.recovered() {
                    tracing::info!("records: they are written again");
                }
                self.added.notify_one();
            }
            Ok(Added::Full) => {
                if self.counts.count_dropped(Dropped::Spool, records as u64) {
                    tracing::error!(
                        "records: the spool is full, and records are lost: the receiver was away for too long (spool_mib in \
                         [records])"
                    );
                }
                self.pending = Pending::default();
            }
            Err(error) => {
                if self.counts.count_failure(&format!("cannot be written: {error}")) {
                    tracing::error!(
                        "records: cannot be written: {error}. They are kept in memory for now, and tried again"
                    );
                }
            }
        }
        self.counts.set_in_hand(self.pending.records());
    }

    fn reopen(&mut self) {
        let Store::File(file) = &mut self.store else { return };
        if let Err(error) = file.reopen() {
            // It is tried again with the next record.
            tracing::warn!("records: cannot open the file again: {error}");
        }
    }
}

impl Pending {
    const fn records(&self) -> usize {
        self.ended + self.running
    }
}
