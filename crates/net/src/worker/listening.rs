//! The listeners of a worker as they are added, changed and removed while it runs. Never for a packet.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::core::Core;
use crate::engine::dtls;
use crate::listener::bind::{ListenerChange, Listeners, Wanted};
use crate::listener::datagrams::Spoken;
use crate::listener::id::ListenerId;
use crate::stream::accept;
use crate::stream::listener_handle::ListenerHandle;
use crate::stream::sockets::StreamListener;

/// Listens on more sockets. Within the tasks of the worker.
///
/// # Errors
/// If the system refuses one of them. Those before it stay: [`ListenerChange::Close`] removes
/// them.
pub(super) fn listen(core: &Rc<Core>, listeners: Listeners) -> io::Result<()> {
    let Listeners { udp, dtls, streams, steered: _ } = listeners;
    for listener in udp {
        core.engine.borrow_mut().listen(listener)?;
    }
    for (listener, settings) in dtls {
        core.engine.borrow_mut().listen_dtls(listener, settings)?;
    }
    for StreamListener { id, socket, settings, .. } in streams {
        let socket = Rc::new(TcpListener::from_std(socket)?);
        let mut stream_listeners = core.stream_listeners.borrow_mut();
        let number = stream_listeners.number()?;
        let listener = Rc::new(ListenerHandle::new(id, number, settings));
        listener.accepts_from(&socket);
        stream_listeners.add(Rc::clone(&listener));
        let connections = Arc::clone(&core.connections);
        tokio::task::spawn_local(accept::serve(Rc::clone(core), socket, listener, connections));
    }
    Ok(())
}

impl Core {
    /// Changes a listener. One that is not there (any more) is left alone.
    ///
    /// # Errors
    /// If the system gives no randomness to one that is to speak DTLS.
    pub(super) fn change_listener(&self, change: ListenerChange) -> io::Result<()> {
        match change {
            ListenerChange::Settings(id, Wanted::Udp(_)) => {
                self.engine.borrow_mut().withdraw_dtls(id);
            }
            ListenerChange::Settings(id, Wanted::Dtls(settings)) => {
                self.engine.borrow_mut().set_dtls(id, Spoken::Dtls, &settings)?;
            }
            ListenerChange::Settings(id, Wanted::UdpAndDtls(settings)) => {
                self.engine.borrow_mut().set_dtls(id, Spoken::UdpAndDtls, &settings)?;
            }
            ListenerChange::Settings(id, Wanted::Stream(settings)) => {
                let listeners = self.stream_listeners.borrow();
                listeners.of(id).for_each(|listener| listener.set(Arc::clone(&settings)));
            }
            ListenerChange::Retire(id) => self.retire(id),
            ListenerChange::Revive(id) => self.revive(id),
            ListenerChange::Close(id) => self.close(id),
        }
        Ok(())
    }

    /// Returns how many clients a listener has: for UDP those with an allocation, otherwise connections.
    pub(super) fn clients_of(&self, id: ListenerId) -> usize {
        let of_datagrams = self.engine.borrow().clients_of(id);
        of_datagrams + self.stream_listeners.borrow().connections_of(id)
    }

    fn retire(&self, id: ListenerId) {
        self.engine.borrow_mut().enter(|entered| {
            for number in entered.out.resources.sockets.numbers(id) {
                entered.shard.retire_listener(number, true);
                entered.out.resources.clients.dtls.retire(number, true);
                dtls::leave_listener(entered, number, false);
            }
            for listener in self.stream_listeners.borrow().of(id) {
                entered.shard.retire_listener(listener.number, true);
                listener.retire();
            }
            // Those without an allocation see that they may not stay.
            entered.out.resources.clients.wake_streams();
        });
    }

    fn revive(&self, id: ListenerId) {
        self.engine.borrow_mut().enter(|entered| {
            for number in entered.out.resources.sockets.numbers(id) {
                entered.shard.retire_listener(number, false);
                entered.out.resources.clients.dtls.retire(number, false);
            }
        });
    }

    fn close(&self, id: ListenerId) {
        self.retire(id);
        self.engine.borrow_mut().enter(|entered| {
            for number in entered.out.resources.sockets.numbers(id) {
                dtls::leave_listener(entered, number, true);
                entered.out.resources.clients.dtls.close(number);
                entered.shard.close_listener(entered.now, number, &mut entered.out);
                entered.out.resources.sockets.close_listener(number);
            }
            // A connection that is still there keeps its allocation, and its listener's number.
            for number in self.stream_listeners.borrow_mut().remove_unused(id) {
                entered.shard.retire_listener(number, false);
            }
        });
    }
}
