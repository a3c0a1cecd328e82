"""Many clients whose requests are on their way together: channels that are made and ended by the thousand, and a call at a
steady pace beside them."""
import os
import select
import struct
import time
from concurrent.futures import ThreadPoolExecutor

from host import udp
from turn_client import CLIENTS, PASSWORD, PEERS, REQUESTED_ADDRESS_FAMILY, SERVERS, USER, turn, xor_address

# What one user may have and do.
LIMITS = """
allocations_per_user = 100_000
allocations_per_second_per_user = 0
new_peers_per_second_per_allocation = 0
new_peers_per_second_per_user = 0
"""


class Member:
    """A client that asks without waiting. Its nonce is that of its first answer."""

    def __init__(self, family):
        self.family, self.nonce, self.pending = family, b"", {}
        self.socket = udp("client", CLIENTS[family])
        self.socket.settimeout(1)
        self.socket.connect((SERVERS[family], 3478))

    def send(self, method, wish):
        transaction = os.urandom(12)
        attributes, key = wish(transaction), None
        if self.nonce:
            attributes += turn.credentials(USER, self.nonce)
            key = KEY
        request = turn.message(method, attributes, transaction=transaction, key=key)
        self.pending[transaction] = request
        self.socket.send(request)

    def finish(self):
        """Until each request has its answer."""
        for _ in range(5):
            try:
                while self.pending:
                    data = self.socket.recv(2048)
                    if self.pending.pop(data[8:20], None) is None:
                        continue
                    code = turn.Answer(data).code if data[0] & 1 else None
                    if code == 401 and not self.nonce:
                        self.nonce = turn.Answer(data).attributes[turn.NONCE]
                    elif code is not None:
                        raise AssertionError(f"refused with {code}")
                return
            except TimeoutError:
                for request in self.pending.values():
                    self.socket.send(request)
        raise AssertionError(f"{len(self.pending)} requests have no answer")

    def allocate(self):
        wish = turn.attribute(turn.REQUESTED_TRANSPORT, turn.UDP_TRANSPORT)
        wish += turn.attribute(REQUESTED_ADDRESS_FAMILY, bytes([1 if self.family == 4 else 2, 0, 0, 0]))
        self.send(turn.ALLOCATE, lambda _: wish)

    def bind(self, channels):
        for channel in range(channels):
            number = turn.attribute(turn.CHANNEL_NUMBER, struct.pack("!HH", 0x4000 + channel, 0))
            peer = (PEERS[self.family], 20000 + channel)
            self.send(
                turn.CHANNEL_BIND,
                lambda id, number=number, peer=peer: number + turn.attribute(turn.XOR_PEER_ADDRESS, xor_address(peer, id)),
            )

    def end(self):
        self.send(turn.REFRESH, lambda _: turn.attribute(turn.LIFETIME, bytes(4)))


KEY = turn.key_of(USER, PASSWORD)


def together(members, act):
    """Each asks, and then each waits for its answers."""
    for member in members:
        act(member)
    for member in members:
        member.finish()


def crowd(family, members, channels):
    """So many clients with an allocation each, and so many channels."""
    all_of_them = [Member(family) for _ in range(members)]
    together(all_of_them, Member.allocate)
    together(all_of_them, Member.allocate)
    # Not more at a time than what the server's socket holds.
    for at in range(0, members, 8):
        together(all_of_them[at : at + 8], lambda member: member.bind(channels))
    return all_of_them


def come_and_go(rate, channels_in_all, crowds=3, members=8, channels=32):
    """Channels are bound and their allocations ended, at this rate of channels a second, by crowds that do not wait for each
    other. Returns how many, and the seconds."""
    def one():
        all_of_them = [Member(4) for _ in range(members)]
        together(all_of_them, Member.allocate)
        begin, bound = time.monotonic(), 0
        while bound < channels_in_all / crowds:
            together(all_of_them, Member.allocate)
            together(all_of_them, lambda member: member.bind(channels))
            together(all_of_them, Member.end)
            bound += members * channels
            time.sleep(max(0.0, begin + bound / (rate / crowds) - time.monotonic()))
        return bound

    begin = time.monotonic()
    with ThreadPoolExecutor(crowds) as threads:
        bound = sum(done.result() for done in [threads.submit(one) for _ in range(crowds)])
    return bound, time.monotonic() - begin


class Pace:
    """A process of its own, which relays a packet of a call each `every` seconds, there and back, until it is stopped."""

    def __init__(self, call, every=0.002):
        self.stopped, stop = os.pipe()
        result, self.result = os.pipe()
        self.stop, self.read = stop, result
        self.process = os.fork()
        if self.process == 0:
            try:
                os.close(self.stop)
                sent = relay_at_a_pace(call, every, self.stopped)
                os.write(self.result, " ".join(map(str, sent)).encode())
            finally:
                os._exit(0)
        os.close(self.stopped)
        os.close(self.result)

    def end(self):
        """How many were sent, have reached the peer, and have come back."""
        os.close(self.stop)
        said = os.read(self.read, 100)
        os.waitpid(self.process, 0)
        return [int(number) for number in said.split()]


def relay_at_a_pace(call, every, stopped):
    client, peer = call.client.socket, call.peer
    for one in (client, peer):
        one.setblocking(False)
    sent, at_peer, back = 0, 0, 0
    begin = due = time.monotonic()
    end = None
    while end is None or (time.monotonic() < end and back < sent):
        now = time.monotonic()
        if end is None and now >= due:
            call.client.send(call.channel, sent.to_bytes(4, "big") + bytes(168))
            sent += 1
            due = begin + sent * every
        ready, _, _ = select.select([client, peer] + ([] if end else [stopped]), [], [], max(0.0, due - now) if end is None else 0.1)
        if stopped in ready:
            end = now + 5
        if peer in ready:
            peer.sendto(peer.recv(2048), call.client.relayed)
            at_peer += 1
        if client in ready and struct.unpack("!H", client.recv(2048)[:2])[0] == call.channel:
            back += 1
    return sent, at_peer, back
