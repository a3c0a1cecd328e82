//! How a worker begins: with what another process has had, and not before all workers have theirs.

use std::io;
use std::rc::Rc;
use std::sync::mpsc;

use taciturn_turn::Restored;

use super::core::Core;
use crate::carry::{CarriedClient, Share};
use crate::event_log::{Kind, NO_SOURCE};
use crate::mailbox::Inbox;
use crate::stream::accept::{self, GoingOn};
use crate::stream::continuation::Continuation;
use crate::stream::send_queue::SendQueue;
use taciturn_turn::Via;

/// What a worker begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) inbox: Inbox,
    pub(crate) restoring: Restoring,
}

/// What has to be done before packets are handled.
#[derive(Debug)]
pub(crate) struct Restoring {
    /// What it goes on with.
    pub(crate) share: Option<Share>,
    /// Where it says what became of that.
    pub(crate) restored: mpsc::Sender<Restored>,
    /// Until then it must touch no socket.
    pub(crate) go: mpsc::Receiver<()>,
}

/// Connections of clients, with what waits for each.
type Connected = Vec<(CarriedClient, Rc<SendQueue>)>;

impl Restoring {
    /// Restores what there is, and waits until packets may be handled. Returns false if that is never. Within the tasks
    /// of the worker.
    pub(super) fn begin(self, core: &Rc<Core>) -> bool {
        let Self { share, restored, go } = self;
        let (outcome, clients) = share.map(|share| core.adopt(share)).unwrap_or_default();
        // Nobody who waits for it any more will let it go on either.
        let _ = restored.send(outcome);
        // Who waits for all of them waits until there is no sender left.
        drop(restored);
        if go.recv().is_err() {
            return false;
        }
        // Not before: what they are joined with may be another worker's.
        for (client, queue) in clients {
            if let Err(error) = core.serve_again(client, queue) {
                let text = format_args!("cannot go on with the connection of a client: {error}");
                core.engine.borrow_mut().warn(Kind::Socket, NO_SOURCE, text);
            }
        }
        true
    }
}

impl Core {
    /// Restores what another process has had. Returns the connections of clients, which are not served yet.
    fn adopt(&self, share: Share) -> (Restored, Connected) {
        let Share { shard, there, sockets, clients } = share;
        // Their numbers are in the share of the shard.
        let connected = clients.into_iter().map(|client| self.connect_again(client)).collect();
        let mut engine = self.engine.borrow_mut();
        engine.resources().carried = Some(sockets);
        let restored = engine
            .enter(|entered| entered.shard.restore(entered.now, shard, &there, &mut entered.out));
        // What nobody has taken is closed.
        engine.resources().carried = None;
        (restored, connected)
    }

    /// Adds a connection that another process has had, which is not served yet.
    fn connect_again(&self, mut client: CarriedClient) -> (CarriedClient, Rc<SendQueue>) {
        let unsent = std::mem::take(&mut client.unsent);
        let unread = std::mem::take(&mut client.unread);
        let queue = SendQueue::going_on("tcp", unsent, Continuation::of_unread(unread));
        let queue = queue.with_ip_fields(client.ip_fields);
        let listener = client.client.via.listener();
        let queue = match self.stream_listeners.borrow().numbered(listener) {
            Some(listener) => queue.entered_by(listener.id, None),
            None => queue,
        };
        let queue = Rc::new(queue);
        self.engine.borrow_mut().resources().clients.connect(Rc::clone(&queue));
        (client, queue)
    }

    /// Serves it from now on. Where that fails, its client's allocation ends.
    fn serve_again(self: &Rc<Self>, client: CarriedClient, queue: Rc<SendQueue>) -> io::Result<()> {
        let CarriedClient { client, socket, bound, .. } = client;
        let Via::Stream { connection, listener } = client.via else { return Ok(()) };
        let mut engine = self.engine.borrow_mut();
        let listener = self.stream_listeners.borrow().numbered(listener).cloned();
        let ticket = self.connections.take(client.remote.0.ip());
        let peer = match bound {
            Some(peer) => {
                engine.resources().tcp.bind(connection, peer)?;
                engine.resources().tcp.take_bound(connection)
            }
            None => None,
        };
        let stream = tokio::net::TcpStream::from_std(socket)?;
        let is_whole = bound.is_some() == peer.is_some();
        let (Some(listener), Some(ticket), true) = (listener, ticket, is_whole) else {
            engine.enter(|entered| {
                entered.shard.client_gone(entered.now, client, &mut entered.out);
                entered.out.resources.clients.disconnect(connection);
            });
            return Err(io::Error::other(
                "there are too many connections, or its other end is gone",
            ));
        };
        drop(engine);
        let going_on = GoingOn { client, number: connection, queue, ticket, listener, bound: peer };
        tokio::task::spawn_local(accept::go_on(Rc::clone(self), going_on, stream));
        Ok(())
    }
}
