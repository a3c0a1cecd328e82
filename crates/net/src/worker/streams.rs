//! What the tasks of connections ask of the worker.

use std::cell::RefMut;
use std::fmt::Arguments;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use super::core::Core;
use crate::engine::stream;
use crate::event_log::Kind;
use crate::handshakes::Gate;
use crate::reception::Reception;
use crate::stream::accept::Host;
use crate::stream::connection::Messages;
use crate::stream::send_queue::SendQueue;
use crate::tcp_relay::unbound::BoundPeer;
use taciturn_turn::policy::Exceeded;
use taciturn_turn::{Client, ClientAddr, UserId, Via};

impl Messages for Core {
    #[inline]
    fn read(&self, client: Client, bytes: &[u8], messages: &mut usize) -> io::Result<usize> {
        let mut engine = self.engine.borrow_mut();
        engine.enter(|entered| stream::read(entered, client, bytes, messages))
    }

    fn take_bound(&self, client: Client) -> Option<BoundPeer> {
        let Via::Stream { connection, .. } = client.via else { return None };
        self.engine.borrow_mut().resources().tcp.take_bound(connection)
    }

    fn has_allocation(&self, client: &Client) -> bool {
        self.engine.borrow().has_allocation(client)
    }

    fn admits_stranger(&self) -> bool {
        self.admits_stranger()
    }

    fn read_buffer(&self) -> RefMut<'_, Box<[u8]>> {
        self.read_buffer()
    }

    fn slowed_down(&self, client: ClientAddr, user: &UserId, exceeded: Exceeded) {
        self.engine.borrow_mut().slowed_down(client, user, exceeded);
    }
}

impl Host for Core {
    fn connect(&self, queue: Rc<SendQueue>) -> u32 {
        self.engine.borrow_mut().resources().clients.connect(queue)
    }

    fn disconnect(&self, client: Client, connection: u32) {
        self.engine.borrow_mut().enter(|entered| {
            entered.shard.client_gone(entered.now, client, &mut entered.out);
            entered.out.resources.clients.disconnect(connection);
            entered.out.resources.tcp.take_bound(connection);
        });
    }

    fn refuses(&self, address: IpAddr) -> bool {
        self.engine.borrow().refuses(address)
    }

    fn handshakes(&self) -> &Gate {
        &self.handshakes
    }

    fn asks_for_server_names(&self) -> bool {
        self.engine.borrow_mut().resources().entrances.by_name()
    }

    fn reception(&self) -> &Reception {
        &self.reception
    }

    fn warn(&self, kind: Kind, source: IpAddr, text: Arguments<'_>) {
        self.engine.borrow_mut().warn(kind, source, text);
    }

    fn slow_client(&self, client: ClientAddr, transport: &'static str, dropped: u64) {
        self.engine.borrow_mut().slow_client(client, transport, dropped);
    }
}
