//! Limits which handshakes of a worker may begin, and when: TLS and DTLS, each with a share of its own.
//!
//! A handshake is the one thing a stranger can ask for that takes milliseconds, so between two of them the
//! worker looks at its sockets. TLS clients wait for their turn; if too many wait, another one is refused.
//! DTLS clients do not wait here: they send their ClientHello again (RFC 6347 section 4.2.4).

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;

use super::clock::Clock;
use super::counters::RefusedHandshakes;
use super::timeouts::HANDSHAKE_TIME;
use taciturn_tls::Signing;
use taciturn_turn::clock::Tick;
use taciturn_turn::policy::{
    AnswerLimit, ConnectionTicket, Connections, HandshakeLimit, WorkShare,
};

/// TLS clients of one worker whose ClientHello waits for its turn, in all and from one address. Each holds up
/// to 16 KiB meanwhile.
const WAITING: u32 = 512;
const WAITING_PER_ADDRESS: u32 = 32;

/// How long the last of them waits: no longer than half of what a handshake may take.
const LONGEST_WAIT: Duration = Duration::from_secs(HANDSHAKE_TIME.as_secs() / 2);

/// Why a handshake does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its address or network has had as many as allowed.
    Source,
    /// The worker has spent as much time on handshakes as allowed.
    Worker,
}

impl Refused {
    /// Returns the text for the log.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Source => {
                "too many handshakes from its address or network (limits.handshakes_per_address)"
            }
            Self::Worker => "too many handshakes at a time",
        }
    }
}

/// A TLS client that may send its ClientHello.
#[derive(Clone, Copy, Debug)]
pub(super) struct Knocked {
    from: IpAddr,
    exempt: bool,
    /// Its budget was spent; this try was counted apart.
    tried: bool,
}

impl Knocked {
    /// Returns the same client, for another part of the handshake that was counted already.
    pub(super) const fn again(self) -> Self {
        Self { tried: true, ..self }
    }
}

/// A turn: nobody else's handshake begins until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    gate: &'a Gate,
    knocked: Knocked,
    began: Instant,
    signing: Signing,
    _turn: MutexGuard<'a, ()>,
}

/// What all handshakes of one worker pass.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Clock,
    limit: RefCell<Arc<HandshakeLimit>>,
    answers: RefCell<Arc<AnswerLimit>>,
    tls: RefCell<WorkShare>,
    #[cfg(feature = "dtls")]
    dtls: RefCell<WorkShare>,
    waiting: Arc<Connections>,
    /// Held by the first of those that wait until the worker has time for another.
    first: Mutex<()>,
    /// Held from the beginning of a handshake until the worker has looked at its sockets.
    turn: Mutex<()>,
    refused: Cell<RefusedHandshakes>,
}

impl Gate {
    pub(super) fn new(clock: Clock, limit: Arc<HandshakeLimit>, answers: Arc<AnswerLimit>) -> Self {
        Self {
            clock,
            limit: RefCell::new(limit),
            answers: RefCell::new(answers),
            tls: RefCell::default(),
            #[cfg(feature = "dtls")]
            dtls: RefCell::default(),
            waiting: Arc::new(Connections::new(WAITING, WAITING_PER_ADDRESS)),
            first: Mutex::new(()),
            turn: Mutex::new(()),
            refused: Cell::default(),
        }
    }

    /// Goes on with other limits.
    pub(super) fn set(&self, limit: Arc<HandshakeLimit>, answers: Arc<AnswerLimit>) {
        self.limit.replace(limit);
        self.answers.replace(answers);
    }

    /// Returns how many were refused.
    pub(super) const fn refused(&self) -> RefusedHandshakes {
        self.refused.get()
    }

    fn now(&self) -> Tick {
        self.clock.now().tick
    }

    /// Returns why a TLS client of this address would be refused now. Counts those it refuses, and nothing else.
    pub(super) fn refuses(&self, from: IpAddr) -> Option<Refused> {
        let limit = self.limit.borrow();
        let none = !limit.exempts(from) && limit.is_exhausted(self.now(), from);
        none.then(|| self.refuse_tls(Refused::Source))
    }

    /// Admits a TLS client whose ClientHello was not read yet.
    ///
    /// # Errors
    /// If its source is over the limit.
    pub(super) fn knock(&self, from: IpAddr) -> Result<Knocked, Refused> {
        let (now, limit) = (self.now(), self.limit.borrow());
        let exempt = limit.exempts(from);
        let tried = !exempt && limit.is_spent(now, from);
        if tried && !limit.may_try(now, from) {
            return Err(self.refuse_tls(Refused::Source));
        }
        Ok(Knocked { from, exempt, tried })
    }

    /// Waits for a turn. The time limit is the caller's.
    pub(super) async fn turn(&self, knocked: Knocked) -> Result<Turn<'_>, Refused> {
        let Knocked { from, exempt, tried } = knocked;
        let _place = if exempt { None } else { Some(self.place(from)?) };
        let _first = match exempt {
            true => None,
            false => {
                let first = self.first.lock().await;
                self.worker_has_time().await;
                Some(first)
            }
        };
        let turn = self.turn.lock().await;
        let (now, limit) = (self.now(), self.limit.borrow());
        // Others of the same source may have had theirs while this one waited.
        let spent = !exempt && limit.is_spent(now, from);
        if spent && !tried && !limit.may_try(now, from) {
            return Err(self.refuse_tls(Refused::Source));
        }
        let signing = if spent { Signing::ResumptionOnly } else { Signing::Allowed };
        Ok(Turn { gate: self, knocked, began: Instant::now(), signing, _turn: turn })
    }

    /// A place among those that wait. The second half of them is for addresses that have had no handshake
    /// lately.
    fn place(&self, from: IpAddr) -> Result<ConnectionTicket, Refused> {
        let (waiting, room) =
            (self.waiting.open(), self.tls.borrow().fit(LONGEST_WAIT).min(WAITING));
        let newcomer = self.limit.borrow().is_newcomer(self.now(), from);
        let may = waiting < if newcomer { room.max(1) } else { room.div_ceil(2) };
        let place = if may { self.waiting.take(from) } else { None };
        place.ok_or_else(|| self.refuse_tls(Refused::Worker))
    }

    async fn worker_has_time(&self) {
        loop {
            // In a statement of its own: the borrow must be over before it waits.
            let wait = self.tls.borrow_mut().wait(self.now(), true);
            if wait.is_zero() {
                return;
            }
            sleep(wait).await;
        }
    }

    /// Counts a refused TLS client.
    pub(super) fn refuse_tls(&self, why: Refused) -> Refused {
        let mut refused = self.refused.get();
        refused.tls += 1;
        self.refused.set(refused);
        why
    }
}

#[cfg(feature = "dtls")]
impl Gate {
    fn refuse_dtls(&self, why: Refused) -> Refused {
        let mut refused = self.refused.get();
        refused.dtls += 1;
        self.refused.set(refused);
        why
    }

    /// Returns true if a DTLS client, whose cookie is good, may begin a handshake now; `has_room` is asked last. It is
    /// counted then, whatever becomes of it.
    pub(super) fn begin_dtls(
        &self,
        now: Tick,
        from: IpAddr,
        has_room: impl FnOnce() -> bool,
    ) -> Result<bool, Refused> {
        let limit = self.limit.borrow();
        if limit.exempts(from) {
            return Ok(has_room());
        }
        if limit.is_spent(now, from) {
            return Err(self.refuse_dtls(Refused::Source));
        }
        let newcomer = limit.is_newcomer(now, from);
        if !self.dtls.borrow_mut().wait(now, newcomer).is_zero() {
            return Err(self.refuse_dtls(Refused::Worker));
        }
        let begins = has_room();
        if begins {
            limit.charge(now, from);
        }
        Ok(begins)
    }

    /// Notes that there was no place for a DTLS handshake.
    pub(super) fn dtls_had_no_place(&self) {
        self.refuse_dtls(Refused::Worker);
    }

    /// Counts what the beginning of a DTLS handshake has cost.
    pub(super) fn dtls_has_cost(&self, now: Tick, from: IpAddr, cost: Duration) {
        if !self.limit.borrow().exempts(from) {
            self.dtls.borrow_mut().count(now, cost);
        }
    }

    /// Returns true if something may be sent to a source that has not shown that its address is its own.
    pub(super) fn answers_stranger(&self, now: Tick, to: IpAddr) -> bool {
        self.answers.borrow().admits(now, to)
    }
}

impl Turn<'_> {
    /// Returns what the handshake may cost.
    pub(super) const fn signing(&self) -> Signing {
        self.signing
    }

    /// Counts what it has come to, and lets the worker look at its sockets before the next one.
    pub(super) async fn end(self, kind: Option<HandshakeKind>) {
        let Self { gate, knocked, began, .. } = &self;
        if !knocked.exempt {
            let now = gate.now();
            gate.tls.borrow_mut().count(now, began.elapsed());
            if matches!(kind, Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest))
            {
                gate.limit.borrow().charge(now, knocked.from);
            }
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};

    use tokio::task::{LocalSet, yield_now};

    use super::*;

    fn gate(per_address: u32) -> Gate {
        let limit = Arc::new(HandshakeLimit::new(per_address, Vec::new()));
        Gate::new(Clock::start(), limit, Arc::new(AnswerLimit::new(0, 0, Vec::new())))
    }

    fn ip(last: u32) -> IpAddr {
        IpAddr::V4((0xc000_0200 + (last << 8)).into())
    }

    /// Polls once. `None` while it waits.
    fn once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn between_two_handshakes_the_worker_looks_at_its_sockets() {
        let (gate, looks, done) = (Rc::new(gate(0)), Rc::new(Cell::new(0)), Rc::default());
        let tasks = LocalSet::new();
        for n in 0..20 {
            let (gate, looks) = (Rc::clone(&gate), Rc::clone(&looks));
            let done: Rc<RefCell<Vec<u32>>> = Rc::clone(&done);
            tasks.spawn_local(async move {
                let turn = gate.turn(gate.knock(ip(n)).unwrap()).await.unwrap();
                done.borrow_mut().push(looks.get());
                turn.end(None).await;
            });
        }
        let pump = async {
            while done.borrow().len() < 20 {
                looks.set(looks.get() + 1);
                yield_now().await;
            }
        };
        tasks.run_until(pump).await;
        assert!(done.borrow().is_sorted_by(|one, next| one < next), "{done:?}");
    }

    #[tokio::test]
    async fn full_handshakes_are_charged_and_resumed_or_broken_ones_are_not() {
        let gate = gate(1);
        for kind in [None, Some(HandshakeKind::Resumed)].repeat(20) {
            let turn = gate.turn(gate.knock(ip(1)).unwrap()).await.unwrap();
            assert_eq!(turn.signing(), Signing::Allowed);
            turn.end(kind).await;
        }
        for kind in
            [HandshakeKind::Full, HandshakeKind::FullWithHelloRetryRequest, HandshakeKind::Full]
        {
            let turn = gate.turn(gate.knock(ip(1)).unwrap()).await.unwrap();
            assert_eq!(turn.signing(), Signing::Allowed);
            turn.end(Some(kind)).await;
        }
        let turn = gate.turn(gate.knock(ip(1)).unwrap()).await.unwrap();
        assert_eq!(turn.signing(), Signing::ResumptionOnly, "there may be a ticket");
        turn.end(Some(HandshakeKind::Resumed)).await;
        assert_eq!(gate.refuses(ip(1)), None);
        let knocks = (0..1000).map_while(|_| gate.knock(ip(1)).ok()).count();
        assert!((11..14).contains(&knocks), "{knocks} of twelve, of which one has had its turn");
        assert_eq!(gate.refuses(ip(1)), Some(Refused::Source));
        assert_eq!(gate.refused(), RefusedHandshakes { tls: 2, dtls: 0 });
        assert!(gate.knock(ip(2)).is_ok());
        assert_eq!(gate.refuses(ip(2)), None);
    }

    /// They have all knocked before the first of them was charged.
    #[tokio::test]
    async fn those_of_one_address_that_wait_together_have_no_more_than_one_after_the_other() {
        let gate = gate(1);
        let knocked: Vec<_> = (0..10).map(|_| gate.knock(ip(1)).unwrap()).collect();
        let mut full = 0;
        for knocked in knocked {
            let turn = gate.turn(knocked).await.unwrap();
            full += u32::from(turn.signing() == Signing::Allowed);
            turn.end(Some(HandshakeKind::Full)).await;
        }
        assert_eq!(full, 3);
    }

    #[tokio::test]
    async fn those_that_wait_are_few_and_the_last_places_are_for_newcomers() {
        let gate = gate(10);
        let known = gate.knock(ip(0)).unwrap();
        gate.turn(known).await.unwrap().end(Some(HandshakeKind::Full)).await;
        *gate.tls.borrow_mut() = WorkShare::default();
        let _busy = gate.first.lock().await;
        let mut waiting = Vec::new();
        for _ in 0..WAITING_PER_ADDRESS {
            let mut turn = Box::pin(gate.turn(gate.knock(ip(1)).unwrap()));
            assert!(once(turn.as_mut()).is_none());
            waiting.push(turn);
        }
        let one_more = pin!(gate.turn(gate.knock(ip(1)).unwrap()));
        assert_eq!(once(one_more).unwrap().unwrap_err(), Refused::Worker);
        for n in WAITING_PER_ADDRESS..WAITING {
            if n == WAITING / 2 {
                assert_eq!(once(pin!(gate.turn(known))).unwrap().unwrap_err(), Refused::Worker);
            }
            let mut turn = Box::pin(gate.turn(gate.knock(ip(n)).unwrap()));
            assert!(once(turn.as_mut()).is_none());
            waiting.push(turn);
        }
        let newcomer = pin!(gate.turn(gate.knock(ip(999)).unwrap()));
        assert_eq!(once(newcomer).unwrap().unwrap_err(), Refused::Worker);
        drop(waiting);
        assert_eq!(gate.waiting.open(), 0);
    }

    #[tokio::test]
    async fn an_exempt_source_does_not_wait_behind_others_and_has_no_budget() {
        let limit = Arc::new(HandshakeLimit::new(1, HandshakeLimit::loopback().to_vec()));
        let answers = Arc::new(AnswerLimit::new(0, 0, Vec::new()));
        let gate = Gate::new(Clock::start(), limit, answers);
        let _busy = gate.first.lock().await;
        for _ in 0..50 {
            let turn = gate.turn(gate.knock([127, 0, 0, 1].into()).unwrap()).await.unwrap();
            assert_eq!(turn.signing(), Signing::Allowed);
            turn.end(Some(HandshakeKind::Full)).await;
        }
    }
}
