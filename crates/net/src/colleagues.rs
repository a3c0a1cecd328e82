//! What the workers say to each other, when a client has moved from one to another (RFC 8016).
//! Seldom, and never for a packet.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::command::{self, Command, Post};
use super::io::RelaySocket;
use taciturn_turn::{Client, Departed, MobileId, ShardNumber};

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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use taciturn_turn::{ClientAddr, Via};

    fn client(port: u16) -> Client {
        let remote = SocketAddr::from(([192, 0, 2, 1], port));
        Client { via: Via::Udp(0), local: [192, 0, 2, 2].into(), remote: ClientAddr(remote) }
    }

    #[test]
    fn no_more_is_asked_than_there_is_room_for() {
        let (mut posts, _) = Colleagues::of(2);
        let (mut other, mut me) = (posts.pop().unwrap(), posts.pop().unwrap());
        let (there, here) = (other.colleagues.me(), me.colleagues.me());
        assert_ne!(there, here);
        let mut asked = 0;
        for n in 0.. {
            let room_there = other.commands.len() < command::WAITING;
            let fetched = me.colleagues.fetch(there, MobileId(n), client(1));
            assert_eq!(fetched, room_there && asked < AWAITED);
            if fetched {
                asked += 1;
            } else if asked == AWAITED {
                break;
            } else {
                while other.commands.try_recv().is_ok() {}
            }
        }
        // All of them are answered before the first answer is looked at.
        for n in 0..AWAITED {
            let allocation = MobileId(n as u64);
            let delivery = Delivery { allocation, client: client(1), parcel: None };
            assert!(other.colleagues.deliver(here, delivery).is_ok(), "{n}");
        }
        while other.commands.try_recv().is_ok() {}
        assert!(me.deliveries.try_recv().is_ok());
        me.colleagues.delivered();
        assert!(me.colleagues.fetch(there, MobileId(0), client(1)));
        assert!(!me.colleagues.fetch(there, MobileId(0), client(1)));
    }

    #[test]
    fn a_worker_that_has_ended_is_told_nothing_and_what_it_asked_for_comes_back() {
        let (mut posts, _) = Colleagues::of(2);
        let (gone, mut me) = (posts.pop().unwrap().colleagues.me(), posts.pop().unwrap());
        assert!(!me.colleagues.fetch(gone, MobileId(1), client(1)));
        assert!(!me.colleagues.command(gone, Command::Release { allocation: MobileId(1) }));
        let delivery = Delivery { allocation: MobileId(7), client: client(1), parcel: None };
        let back = me.colleagues.deliver(gone, delivery).unwrap_err();
        assert_eq!(back.allocation, MobileId(7));
        // Nor is a number that no worker has.
        assert!(!me.colleagues.fetch(ShardNumber(9), MobileId(1), client(1)));
    }
}
