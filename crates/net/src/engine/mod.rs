//! The engine of one worker: its shard, and the resources that the shard acts upon.
//!
//! Whoever has something for the shard enters the engine: the UDP loop, the tasks of connections and of
//! peer connections, and the commands. [`Engine::enter`] reads the clock, ends what is due by then, makes
//! the call, sends and closes what it has led to, and wakes the worker's loop if the next deadline is earlier
//! than the one that it waits for.

mod adoption;
#[cfg_attr(not(feature = "dtls"), allow(dead_code, reason = "there are no DTLS clients"))]
mod decrypted;
#[cfg(feature = "dtls")]
pub(crate) mod dtls;
#[cfg(not(feature = "dtls"))]
#[path = "no_dtls.rs"]
pub(crate) mod dtls;
pub(crate) mod effects;
pub(crate) mod entered;
pub(crate) mod resources;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
mod verdicts;

use std::fmt::Arguments;
use std::io;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use mio::Registry;
use tokio::sync::Notify;

use self::decrypted::Decrypted;
use self::effects::Effects;
use self::entered::Entered;
use self::resources::Resources;
use super::answer_size::LONGEST_ANSWER;
use super::batch::egress::Egress;
use super::batch::ip_fields::IpFields;
use super::clients::Clients;
use super::clock::Clock;
use super::counters::{EventCounts, Snapshot};
use super::dtls_clients::{DtlsClients, DtlsSettings};
use super::event_log::{EventLog, Kind};
use super::handshakes::Gate;
use super::kernel_path::KernelPath;
use super::listener::datagrams::Spoken;
use super::listener::id::ListenerId;
use super::listener::udp::UdpListener;
use super::mailbox::OtherWorkers;
use super::shared::Shared;
use super::sockets::Sockets;
use super::tcp_relay::unbound::UnboundPeers;
use super::tcp_relay::{PeerEvents, TcpRelays};
use taciturn_turn::clock::{Now, Tick};
use taciturn_turn::policy::Exceeded;
use taciturn_turn::{Client, ClientAddr, Session, Shard, UsageRecord, UserId, Whose};

/// The shard of one worker and its resources.
#[derive(Debug)]
pub(crate) struct Engine {
    clock: Clock,
    shard: Shard,
    resources: Resources,
    reply: Box<[u8; LONGEST_ANSWER]>,
    decrypted: Decrypted,
    waiting: Waiting,
    /// Wakes the worker's loop: a deadline is earlier than the one it waits for, or DTLS clients have been
    /// evicted.
    wake: Arc<Notify>,
}

/// What the worker's loop does.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// It will look at the deadlines before it waits.
    No,
    /// It waits for this deadline, or without one.
    Until(Option<Tick>),
}

impl Engine {
    /// An engine without sockets. `registry` is that of the epoll that will watch them.
    pub(crate) fn new(
        clock: Clock,
        registry: Registry,
        shared: &Shared,
        unbound: Arc<UnboundPeers>,
        workers: OtherWorkers,
        gate: Rc<Gate>,
    ) -> Self {
        let dtls = DtlsClients::new(clock, &shared.connections, gate);
        let wake = dtls.evicted();
        Self {
            clock,
            shard: Shard::numbered(workers.me(), shared.settings.clone(), shared.rules.clone()),
            resources: Resources {
                sockets: Sockets::new(
                    registry,
                    shared.settings.icmp_errors,
                    shared.kept_fields,
                    shared.kernel.is_none(),
                ),
                kernel: shared.kernel.clone().map(KernelPath::new),
                clients: Clients::new(dtls),
                egress: Egress::default(),
                tcp: TcpRelays::new(clock, unbound),
                workers,
                carried: None,
                entrances: Arc::clone(&shared.entrances),
                log: EventLog::new(shared.limit_names, Arc::clone(&shared.failed_logins)),
                events: EventCounts::default(),
                usage: shared.usage.clone(),
            },
            reply: Box::new([0; LONGEST_ANSWER]),
            decrypted: Decrypted::default(),
            waiting: Waiting::No,
            wake,
        }
    }

    /// Makes a call into the shard. Everything that is due ends before it; what it has led to is sent after it.
    #[inline]
    pub(crate) fn enter<R>(&mut self, call: impl FnOnce(&mut Entered<'_>) -> R) -> R {
        self.enter_at(self.clock.now(), call)
    }

    /// [`Self::enter`] at a given time.
    #[inline]
    pub(crate) fn enter_at<R>(&mut self, now: Now, call: impl FnOnce(&mut Entered<'_>) -> R) -> R {
        let Self { shard, resources, reply, decrypted, .. } = self;
        let out = Effects { now: now.tick, resources, ip_fields: IpFields::default() };
        let mut entered = Entered { now, shard, out, reply: &mut reply[..], decrypted };
        end_what_is_due(&mut entered);
        let result = call(&mut entered);
        entered.flush(&[]);
        if let Waiting::Until(deadline) = self.waiting
            && let Some(next) = self.next_timeout()
            && deadline.is_none_or(|deadline| next < deadline)
        {
            self.wake.notify_one();
        }
        result
    }

    fn next_timeout(&self) -> Option<Tick> {
        let dtls = self.resources.clients.dtls.next_timeout();
        [self.shard.next_timeout(), dtls].into_iter().flatten().min()
    }

    /// The worker's loop waits from now on. Returns the deadline that it has to wake up at.
    pub(crate) fn wait(&mut self) -> Option<tokio::time::Instant> {
        let deadline = self.next_timeout();
        self.waiting = Waiting::Until(deadline);
        deadline.map(|tick| self.clock.instant(tick))
    }

    /// The worker's loop runs from now on.
    pub(crate) const fn run(&mut self) {
        self.waiting = Waiting::No;
    }

    /// Returns what wakes the worker's loop.
    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Ends every allocation and DTLS connection: the worker stops.
    pub(crate) fn shut_down(&mut self) {
        self.enter(|entered| {
            dtls::shut_down(entered);
            entered.shard.shut_down(entered.now, &mut entered.out);
            entered.out.resources.log.finish(entered.now.tick);
        });
    }

    /// Adds a UDP listening socket.
    ///
    /// # Errors
    /// If the system refuses it.
    pub(crate) fn listen(&mut self, listener: UdpListener) -> io::Result<()> {
        self.resources.sockets.listen(listener).map(drop)
    }

    /// Adds a listening socket for DTLS, alone or beside UDP.
    ///
    /// # Errors
    /// If the system refuses it.
    pub(crate) fn listen_dtls(
        &mut self,
        listener: UdpListener,
        settings: Arc<DtlsSettings>,
    ) -> io::Result<()> {
        let number = self.resources.sockets.listen(listener)?;
        self.resources.clients.dtls.open(number, settings)
    }

    /// Has a listener speak DTLS with these settings for new clients, as it did before or from now on.
    ///
    /// # Errors
    /// If the system gives no randomness: then it goes on with what it spoke before.
    pub(crate) fn set_dtls(
        &mut self,
        id: ListenerId,
        spoken: Spoken,
        settings: &Arc<DtlsSettings>,
    ) -> io::Result<()> {
        let Resources { sockets, clients, .. } = &mut self.resources;
        for number in sockets.numbers(id) {
            clients.dtls.set(number, Arc::clone(settings))?;
            sockets.set_spoken(number, spoken);
        }
        Ok(())
    }

    /// Has a listener speak UDP alone. If it has spoken DTLS too, it accepts no DTLS clients any more; those with an
    /// allocation stay until that ends.
    pub(crate) fn withdraw_dtls(&mut self, id: ListenerId) {
        self.enter(|entered| {
            for number in entered.out.resources.sockets.numbers(id) {
                entered.out.resources.clients.dtls.withdraw(number);
                dtls::leave_listener(entered, number, false);
            }
        });
    }

    /// Returns how many clients the UDP and DTLS sockets of a listener have: for UDP those with an allocation, for
    /// DTLS connections.
    pub(crate) fn clients_of(&self, id: ListenerId) -> usize {
        let Resources { sockets, clients, .. } = &self.resources;
        let of_socket = |number| {
            clients.dtls.on_listener(number).len() + self.shard.udp_clients_of_listener(number)
        };
        sockets.numbers(id).into_iter().map(of_socket).sum()
    }

    /// Has the tasks of TCP relay sockets and peer connections report to `events`.
    pub(crate) fn report_peers_to(&mut self, events: Weak<dyn PeerEvents>) {
        self.resources.tcp.report_to(events);
    }

    /// Returns the resources, for what does not concern the shard.
    pub(crate) const fn resources(&mut self) -> &mut Resources {
        &mut self.resources
    }

    /// Returns true if the client has an allocation.
    pub(crate) fn has_allocation(&self, client: &Client) -> bool {
        self.shard.has_allocation(client)
    }

    /// Returns true if the operator has banned this address.
    pub(crate) fn refuses(&self, address: IpAddr) -> bool {
        self.shard.refuses(address)
    }

    /// Returns some of the sessions, and where to go on.
    pub(crate) fn sessions(&self, whose: &Whose, from: usize) -> (Vec<Session>, Option<usize>) {
        let (mut sessions, next) = self.shard.sessions(self.clock.now(), whose, from);
        if let Some(kernel) = &self.resources.kernel {
            for session in &mut sessions {
                session.beside = Some(kernel.channels_of(&session.from));
            }
        }
        (sessions, next)
    }

    /// Makes records of sessions whose last one is at least `every` old. Returns some, and where to go on.
    pub(crate) fn interim_records(
        &mut self,
        every: Duration,
        from: usize,
    ) -> (Vec<UsageRecord>, Option<usize>) {
        self.enter(|entered| {
            entered.shard.interim_records(entered.now, every, from, &mut entered.out)
        })
    }

    /// Counts what the kernel has relayed since it was last asked. Never for a packet.
    pub(crate) fn count_kernel(&mut self) {
        if self.resources.kernel.is_some() {
            self.enter(|entered| {
                let now = entered.now.tick;
                let kernel = entered.out.resources.kernel.as_mut();
                let news = kernel.map(|kernel| kernel.news(now)).unwrap_or_default();
                entered.count_of_kernel(news);
            });
        }
    }

    /// Has the sockets relay everything from now on. Returns what the kernel's part was in, for
    /// [`Self::give_kernel`].
    pub(crate) fn take_kernel(&mut self) -> Option<KernelPath> {
        let mut kernel = self.resources.kernel.take()?;
        self.enter(|entered| {
            let news = kernel.withdraw(entered.now.tick);
            entered.count_of_kernel(news);
        });
        Some(kernel)
    }

    /// Has the kernel relay again what it may.
    pub(crate) fn give_kernel(&mut self, kernel: Option<KernelPath>) {
        if kernel.is_some() {
            self.resources.kernel = kernel;
            self.enter(|entered| entered.shard.announce_anew(entered.now, &mut entered.out));
        }
    }

    /// Returns what is counted here.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            statistics: self.shard.statistics().clone(),
            allocations: self.shard.len(),
            ..Snapshot::default()
        };
        self.resources.count(&mut snapshot);
        snapshot
    }

    /// Writes a warning to the log, within the budget of its source.
    pub(crate) fn warn(&mut self, kind: Kind, source: IpAddr, text: Arguments<'_>) {
        self.resources.log.warn(kind, source, self.clock.now().tick, text);
    }

    /// Logs that a connection has ended whose client was too slow for its media.
    pub(crate) fn slow_client(
        &mut self,
        client: ClientAddr,
        transport: &'static str,
        dropped: u64,
    ) {
        self.resources.log.slow_client(self.clock.now().tick, client, transport, dropped);
    }

    /// Logs that a TCP connection between a client and a peer waits for a limit.
    pub(crate) fn slowed_down(&mut self, client: ClientAddr, user: &UserId, exceeded: Exceeded) {
        self.resources.log.slowed_down(self.clock.now().tick, client, user, exceeded);
    }
}

/// Ends the allocations and the DTLS connections whose time is over.
#[inline]
fn end_what_is_due(entered: &mut Entered<'_>) {
    if entered.shard.next_timeout().is_some_and(|at| at <= entered.now.tick) {
        entered.shard.handle_timeout(entered.now, &mut entered.out);
        // The ports of what has ended are free for the call that follows.
        entered.flush(&[]);
    }
    if entered.out.resources.clients.dtls.next_timeout().is_some_and(|at| at <= entered.now.tick) {
        dtls::handle_timeout(entered);
    }
    if entered.out.resources.clients.dtls.has_evicted() {
        dtls::end_evicted(entered);
    }
}
