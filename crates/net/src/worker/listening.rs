//! The listeners of a worker as they come, change and go while it runs. Never for a packet.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::{Core, State};
use crate::io::FIRST_STREAM_LISTENER;
use crate::listener::{ListenerChange, ListenerId, Listeners, Wanted};
use crate::stream::{self, Door, StreamListener};

/// The listeners for connections, also those that were retired and have connections still.
#[derive(Debug, Default)]
pub(super) struct Doors {
    all: Vec<Rc<Door>>,
    /// The number given last. A number is not given again before the others have had their turn.
    last: u16,
}

impl Doors {
    /// A number that no other has.
    fn number(&mut self) -> io::Result<u16> {
        for _ in FIRST_STREAM_LISTENER..=u16::MAX {
            self.last = self.last.checked_add(1).unwrap_or(0).max(FIRST_STREAM_LISTENER);
            if !self.all.iter().any(|door| door.number == self.last) {
                return Ok(self.last);
            }
        }
        Err(io::Error::other("too many listeners"))
    }

    fn of(&self, id: ListenerId) -> impl Iterator<Item = &Rc<Door>> {
        self.all.iter().filter(move |door| door.id == id)
    }
}

impl Core {
    /// Listens on more sockets. Within the tasks of the worker.
    ///
    /// # Errors
    /// When the system does not take one of them. Those before stay: [`ListenerChange::Close`] takes
    /// them away.
    pub(crate) fn listen(self: &Rc<Self>, listeners: Listeners) -> io::Result<()> {
        let Listeners { udp, dtls, streams } = listeners;
        for listener in udp {
            self.state.borrow_mut().io.listen(listener)?;
        }
        for (listener, settings) in dtls {
            let mut state = self.state.borrow_mut();
            let number = state.io.listen(listener)?;
            state.io.dtls.open(number, settings)?;
        }
        for StreamListener { id, socket, settings, .. } in streams {
            let socket = TcpListener::from_std(socket)?;
            let number = self.doors.borrow_mut().number()?;
            let door = Rc::new(Door::new(id, number, settings));
            self.doors.borrow_mut().all.push(Rc::clone(&door));
            let connections = Arc::clone(&self.connections);
            tokio::task::spawn_local(stream::serve(Rc::clone(self), socket, door, connections));
        }
        Ok(())
    }

    /// Goes on with a listener in another way. One that is not there (any more) is left alone.
    pub(crate) fn change_listener(&self, change: ListenerChange) {
        match change {
            ListenerChange::Settings(_, Wanted::Udp(_)) => {}
            ListenerChange::Settings(id, Wanted::Dtls(settings)) => {
                let mut state = self.state.borrow_mut();
                for number in state.io.numbers(id) {
                    state.io.dtls.set(number, Arc::clone(&settings));
                }
            }
            ListenerChange::Settings(id, Wanted::Stream(settings)) => {
                self.doors.borrow().of(id).for_each(|door| door.set(Arc::clone(&settings)));
            }
            ListenerChange::Retire(id) => self.retire(id, true),
            ListenerChange::Revive(id) => self.retire(id, false),
            ListenerChange::Close(id) => self.close(id),
        }
    }

    /// How many clients a listener has: for UDP those with an allocation, otherwise connections.
    pub(crate) fn clients_of(&self, id: ListenerId) -> usize {
        let state = self.state.borrow();
        let datagrams =
            state.io.numbers(id).into_iter().map(|number| match state.io.dtls.serves(number) {
                true => state.io.dtls.on_listener(number).len(),
                false => state.shard.clients_of_listener(number),
            });
        // Besides the one in the list, each connection holds its door.
        let doors = self.doors.borrow();
        let streams = doors.of(id).map(|door| Rc::strong_count(door) - 1);
        datagrams.sum::<usize>() + streams.sum::<usize>()
    }

    fn retire(&self, id: ListenerId, on: bool) {
        let mut state = self.state.borrow_mut();
        let now = state.on_time();
        for number in state.io.numbers(id) {
            state.shard.retire_listener(number, on);
            state.io.dtls.retire(number, on);
            if on {
                state.hands().0.leave_listener(now, number, false);
            }
        }
        if on {
            for door in self.doors.borrow().of(id) {
                state.shard.retire_listener(door.number, true);
                door.retire();
            }
            // Those without an allocation see that they may not stay.
            state.io.nudge_connections();
        }
    }

    fn close(&self, id: ListenerId) {
        self.retire(id, true);
        let mut state = self.state.borrow_mut();
        let now = state.on_time();
        for number in state.io.numbers(id) {
            state.hands().0.leave_listener(now, number, true);
            state.io.dtls.close(number);
            let State { shard, io, .. } = &mut *state;
            shard.close_listener(now, number, io);
            io.close_given_up();
            io.close_listener(number);
        }
        // A connection that is still there has its allocation to itself, and its number.
        let mut gone = Vec::new();
        self.doors.borrow_mut().all.retain(|door| {
            let over = door.id == id && Rc::strong_count(door) == 1;
            if over {
                gone.push(door.number);
            }
            !over
        });
        for number in gone {
            state.shard.retire_listener(number, false);
        }
    }
}
