//! What the workers say to each other, when a client has moved from one to another (RFC 8016).
//! Seldom, and never for a packet.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::command::{self, Command, Post};
use super::io::RelaySocket;
use crate::turn::{Client, Departed, MobileId, ShardNumber};

/// How many allocations a worker waits for at most, and so what lies in its letter box.
const AWAITED: usize = 64;

/// An allocation with its relay sockets, IPv4 and IPv6.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) departed: Departed,
    pub(super) sockets: [Option<RelaySocket>; 2],
}

/// The answer to [`Command::HandOver`]. Each gets one.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) allocation: MobileId,
    /// Who has asked for it by what it sent.
    pub(super) client: Client,
    /// `None` where the allocation does not come.
    pub(super) parcel: Option<Box<Parcel>>,
}

/// Where a worker is spoken to.
#[derive(Clone, Debug)]
struct LetterBox {
    commands: mpsc::Sender<Command>,
    deliveries: mpsc::Sender<Delivery>,
}

/// All workers, as one of them speaks to the others.
#[derive(Debug, Default)]
pub(super) struct Colleagues {
    me: ShardNumber,
    all: Arc<[LetterBox]>,
    /// Allocations that were asked for and have not come.
    awaited: usize,
}

impl Colleagues {
    /// So many workers: what each of them has, and how to command them.
    pub(super) fn of(workers: usize) -> (Vec<Post>, Vec<mpsc::Sender<Command>>) {
        let (mut receivers, mut all) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (commands, obeyed) = mpsc::channel(command::WAITING);
            let (deliveries, taken) = mpsc::channel(AWAITED);
            receivers.push((obeyed, taken));
            all.push(LetterBox { commands, deliveries });
        }
        let commanders = all.iter().map(|letter_box| letter_box.commands.clone()).collect();
        let all: Arc<[LetterBox]> = all.into();
        let posts = (0..).map(ShardNumber).zip(receivers).map(|(me, (commands, deliveries))| {
            let colleagues = Self { me, all: Arc::clone(&all), awaited: 0 };
            Post { commands, deliveries, colleagues }
        });
        (posts.collect(), commanders)
    }

    /// The number of this one.
    pub(super) const fn me(&self) -> ShardNumber {
        self.me
    }

    /// Asks for an allocation whose client has come here. `false` where too much is under way.
    pub(super) fn fetch(
        &mut self,
        from: ShardNumber,
        allocation: MobileId,
        client: Client,
    ) -> bool {
        let command = Command::HandOver { allocation, to: self.me, client };
        let asked = self.awaited < AWAITED && self.command(from, command);
        self.awaited += usize::from(asked);
        asked
    }

    /// Tells another to do something. `false` where it has too much to do.
    pub(super) fn command(&self, worker: ShardNumber, command: Command) -> bool {
        let letter_box = self.all.get(usize::from(worker.0));
        letter_box.is_some_and(|to| to.commands.try_send(command).is_ok())
    }

    /// Answers who has asked. There is room: nobody asks for more.
    ///
    /// # Errors
    /// With the delivery, when the other has ended.
    pub(super) fn deliver(&self, to: ShardNumber, delivery: Delivery) -> Result<(), Delivery> {
        let Some(letter_box) = self.all.get(usize::from(to.0)) else { return Err(delivery) };
        letter_box.deliveries.try_send(delivery).map_err(mpsc::error::TrySendError::into_inner)
    }

    /// One of those asked for has come, or will not.
    pub(super) const fn delivered(&mut self) {
        self.awaited = self.awaited.saturating_sub(1);
    }
}
