//! How an allocation goes from worker to worker, with its relay sockets, when its client has moved
//! (RFC 8016). Never for a packet.

use super::{Core, State};
use crate::colleagues::{Delivery, Parcel};
use crate::event_log::{Kind, NO_SOURCE};
use crate::io::Io;
use taciturn_turn::clock::Now;
use taciturn_turn::{Client, MobileId, Shard, ShardNumber};

impl Core {
    /// Gives an allocation to the worker that its client has come to. Where it is not here, that one
    /// is told so.
    pub(crate) fn hand_over(&self, allocation: MobileId, to: ShardNumber, client: Client) {
        self.on_time(|now, shard, io| {
            let departed = shard.depart(now, allocation, to, client, io);
            tracing::debug!(
                client = %client.remote,
                worker = to.0,
                given = departed.is_some(),
                "another worker asks for an allocation"
            );
            let parcel = departed.map(|departed| {
                let sockets = departed.relays().map(|relay| relay.and_then(|id| io.give_up(id)));
                Box::new(Parcel { departed, sockets })
            });
            let delivery = Delivery { allocation, client, parcel };
            let returned = io.colleagues.deliver(to, delivery);
            if let Err(Delivery { parcel: Some(parcel), .. }) = returned {
                // The other worker has ended, and so will this one: here it ends in good order.
                land(now, shard, io, *parcel);
            }
        });
    }

    /// Takes in what was asked of another worker, and answers what has waited for it.
    pub(crate) fn take_delivery(&self, delivery: Delivery) {
        let mut state = self.state.borrow_mut();
        let now = state.on_time();
        let State { shard, io, .. } = &mut *state;
        io.colleagues.delivered();
        let Delivery { allocation, client, parcel } = delivery;
        match parcel {
            Some(parcel) => land(now, shard, io, *parcel),
            None => shard.not_fetched(now, allocation, client, io),
        }
        io.close_given_up();
        if state.deadline_is_earlier() {
            self.deadline_moved.notify_one();
        }
    }

    /// Ends an allocation that its client has ended on another worker.
    pub(crate) fn release(&self, allocation: MobileId) {
        self.on_time(|now, shard, io| {
            shard.release(now, allocation, io);
            io.close_given_up();
        });
    }

    /// Asks for the allocation that waits to come to this client.
    pub(crate) fn fetch_for(&self, client: Client) {
        self.on_time(|now, shard, io| shard.fetch_for(now, client, io));
    }
}

fn land(now: Now, shard: &mut Shard, io: &mut Io, parcel: Parcel) {
    let Parcel { departed, sockets } = parcel;
    let relays = sockets.map(|socket| {
        let adopted = io.adopt(socket?);
        let tell = |error| {
            let text = format_args!("cannot watch a relay socket that has moved: {error}");
            io.warn(Kind::Socket, NO_SOURCE, text);
        };
        adopted.map_err(tell).ok()
    });
    let landed = shard.land(now, departed, relays, io);
    for relay in relays.into_iter().flatten() {
        io.set_owner(relay, landed);
    }
    io.close_given_up();
}
