//! The packets of DTLS clients: from a batch of datagrams to verdicts, and from deadlines to ends.

use std::net::IpAddr;

use super::entered::Entered;
use crate::batch::egress::Destination;
use crate::batch::system::Ingress;
use crate::dtls::CloseReason;
use crate::dtls_clients::{Admitted, DtlsClients, Due, Tuple};
use crate::event_log::Kind;
use crate::listener::udp::{UdpListeners, source_of};
use crate::sockets::SocketId;
use crate::timeouts::WITHOUT_ALLOCATION;
use taciturn_turn::{Client, DropReason, Verdict};

/// Why a client without an allocation is disconnected while others want a place.
const EVICTED: &str =
    "closed to make room for others: it has no allocation, and limits.connections is reached";

/// Why a client without an allocation is disconnected when the configuration has changed.
const REMOVED: &str = "the listener was removed, or speaks no DTLS any more";

/// Serves those datagrams of a batch that are for DTLS. The batch comes from the clients of listening socket
/// `number`, which is bound to `address`. Nothing of another batch may wait to be sent.
pub(crate) fn serve(
    entered: &mut Entered<'_>,
    number: u16,
    address: IpAddr,
    ingress: &Ingress,
    is_dtls: fn(&[u8]) -> bool,
) {
    for received in ingress.received() {
        let tuple = Tuple {
            listener: number,
            local: received.local.unwrap_or(address),
            remote: received.source,
        };
        entered.out.keep_ip_fields(received.ip_fields);
        for (start, end) in received.datagrams() {
            let bytes = ingress.bytes().get(start..end).unwrap_or_default();
            if is_dtls(bytes) {
                datagram(entered, tuple, bytes);
            }
        }
    }
    flush(entered);
}

/// Serves one datagram.
pub(crate) fn datagram(entered: &mut Entered<'_>, tuple: Tuple, datagram: &[u8]) {
    let (dtls, _) = parts(entered);
    let known = dtls.known(&tuple);
    if let Some(number) = known
        && let Some(client) = dtls.client(number)
        && !client.connection.is_restart(datagram)
    {
        client.connection.handle_datagram(datagram);
        go_on(entered, number);
        return;
    }
    if entered.shard.refuses(tuple.remote.ip()) {
        return;
    }
    let now = entered.now.tick;
    let (dtls, listeners) = parts(entered);
    let to = Destination {
        socket: SocketId::Listener(tuple.listener).number(),
        address: tuple.remote,
        source: source_of(listeners, tuple.listener, tuple.local),
        dont_fragment: false,
    };
    match dtls.admit(now, to, tuple, datagram, known, listeners) {
        Admitted::Stranger => {}
        Admitted::TooMany => refused(
            entered,
            tuple,
            "too many connections from it, or in all (limits.connections_per_address, \
             limits.connections)",
        ),
        Admitted::TooManyHandshakes(why) => refused(entered, tuple, why.text()),
        Admitted::In(number) => {
            if let Some(old) = known {
                end(entered, old, "the client has started a new connection");
            }
            go_on(entered, number);
        }
    }
}

fn parts<'e>(entered: &'e mut Entered<'_>) -> (&'e mut DtlsClients, &'e UdpListeners) {
    let resources = &mut *entered.out.resources;
    (&mut resources.clients.dtls, resources.sockets.listeners())
}

/// Serves what a connection has received, and ends it if it is closed.
fn go_on(entered: &mut Entered<'_>, number: u32) {
    records(entered, number);
    let now = entered.now.tick;
    let (dtls, listeners) = parts(entered);
    dtls.drain(number, listeners);
    let Some(client) = dtls.client(number) else { return };
    let established = client.connection.is_established();
    if client.connection.is_closed() {
        end(entered, number, "");
    } else if !established || client.note_handshake(now) {
        dtls.queue(now, number);
    }
}

/// Hands each record that a connection has received to the shard, and carries out the verdict.
fn records(entered: &mut Entered<'_>, number: u32) {
    loop {
        if entered.decrypted.room().is_none() {
            flush(entered);
        }
        let now = entered.now;
        // Each on its own: the record is read while its verdict is carried out.
        let Entered { shard, out, reply, decrypted, .. } = &mut *entered;
        let Some(room) = decrypted.room() else { return };
        let Some(dtls_client) = out.resources.clients.dtls.client(number) else { return };
        let Some(len) = dtls_client.connection.recv(room) else { return };
        let client = dtls_client.five_tuple;
        let start = decrypted.keep(len);
        let packet = decrypted.bytes().get(start..start + len).unwrap_or_default();
        let verdict = shard.from_client(now, client, packet, reply, out);
        if let Some(dtls_client) = out.resources.clients.dtls.client(number) {
            if !matches!(verdict, Verdict::Drop(DropReason::Malformed | DropReason::Classic)) {
                dtls_client.note_message();
            }
            if !dtls_client.settled
                && shard.has_allocation(&client)
                && !dtls_client.set_settled(now.tick, true)
            {
                // It was evicted, and must not learn of the allocation.
                close(entered, number, EVICTED);
                return;
            }
        }
        out.carry_out(client, verdict, reply, decrypted.bytes(), start);
    }
}

/// Does what is due by now.
pub(super) fn handle_timeout(entered: &mut Entered<'_>) {
    let now = entered.now.tick;
    while let Some((number, client)) = parts(entered).0.next_due(now) {
        let due = client.handle_timeout(now);
        let (closed, client) = (client.connection.is_closed(), client.five_tuple);
        match due {
            _ if closed => close(entered, number, ""),
            Due::Over(why) => close(entered, number, why),
            Due::Allocation => keep_or_close(entered, number, client),
            Due::Later => {
                let (dtls, listeners) = parts(entered);
                dtls.drain(number, listeners);
                dtls.queue(now, number);
            }
        }
    }
    flush(entered);
}

/// Keeps a client that has an allocation, which has its own lifetime; closes one that has been without for too
/// long, or whose listener admits nobody any more.
fn keep_or_close(entered: &mut Entered<'_>, number: u32, client: Client) {
    let now = entered.now.tick;
    let has_allocation = entered.shard.has_allocation(&client);
    let (dtls, _) = parts(entered);
    if !has_allocation && !dtls.admits(client.via.listener()) {
        close(entered, number, REMOVED);
        return;
    }
    let Some(client) = dtls.client(number) else { return };
    let is_over = now >= client.stranger_since + WITHOUT_ALLOCATION;
    if !client.set_settled(now, has_allocation) {
        close(entered, number, EVICTED);
    } else if !has_allocation && now >= client.stranger_since + WITHOUT_ALLOCATION {
        close(entered, number, "no allocation in time");
    } else {
        if has_allocation && is_over {
            client.stranger_since = now;
        }
        dtls.queue(now, number);
    }
}

/// Closes the connections whose places others have got.
pub(super) fn end_evicted(entered: &mut Entered<'_>) {
    for number in parts(entered).0.take_evicted() {
        let client = parts(entered).0.client(number).map(|client| client.five_tuple.remote);
        if let Some(client) = client {
            let text = format_args!("connection from {client} {EVICTED}");
            let (now, source) = (entered.now.tick, client.0.ip());
            entered.out.resources.log.warn(Kind::Connection, source, now, text);
        }
        close(entered, number, EVICTED);
    }
    flush(entered);
}

/// Closes the connections of a listener whose clients have no allocation, or all of them.
pub(crate) fn leave_listener(entered: &mut Entered<'_>, listener: u16, all: bool) {
    for number in parts(entered).0.on_listener(listener) {
        let client = parts(entered).0.client(number).map(|client| client.five_tuple);
        if client.is_some_and(|client| all || !entered.shard.has_allocation(&client)) {
            close(entered, number, REMOVED);
        }
    }
    flush(entered);
}

/// Tells every client that its connection ends; the server stops.
pub(crate) fn shut_down(entered: &mut Entered<'_>) {
    let (dtls, listeners) = parts(entered);
    dtls.close_all(listeners);
}

/// Tells a client that its connection ends, and ends it.
fn close(entered: &mut Entered<'_>, number: u32, why: &str) {
    let (dtls, listeners) = parts(entered);
    if let Some(client) = dtls.client(number) {
        client.connection.close();
    }
    dtls.drain(number, listeners);
    end(entered, number, why);
}

/// Ends a connection, and with it the client's allocation. Without `why`, the connection's own reason is
/// logged.
fn end(entered: &mut Entered<'_>, number: u32, why: &str) {
    let Some(ended) = parts(entered).0.remove(number) else { return };
    entered.shard.client_gone(entered.now, ended.five_tuple, &mut entered.out);
    let reason = match (why, ended.connection.close_reason()) {
        ("", Some(CloseReason::Peer)) => "closed by the client",
        ("", Some(CloseReason::Silent)) => "the client does not respond",
        ("", Some(CloseReason::Failed(reason))) => reason,
        (why, _) => why,
    };
    let client = ended.five_tuple.remote;
    tracing::debug!(%client, transport = "dtls", reason, "connection ended");
    if ended.dropped > 0 {
        let (now, longest) = (entered.now.tick, ended.connection.max_payload());
        entered.out.resources.log.long_messages(now, client, ended.dropped, longest);
    }
}

fn refused(entered: &mut Entered<'_>, tuple: Tuple, why: &str) {
    let now = entered.now.tick;
    let resources = &mut *entered.out.resources;
    let (name, client) = (resources.clients.dtls.name(tuple.listener), tuple.remote);
    let text = format_args!("{name}: connection from {client} refused: {why}");
    resources.log.warn(Kind::Connection, client.ip(), now, text);
}

fn flush(entered: &mut Entered<'_>) {
    entered.out.resources.flush(entered.now.tick, entered.decrypted.bytes());
    entered.decrypted.clear();
}
