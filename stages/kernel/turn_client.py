"""A client with an allocation and channels, of either address family."""
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "attacks"))
import turn
from host import udp

USER, PASSWORD = "alice", os.environ["KERNEL_PASSWORD"]
turn.REALM = "kernel.test"
SERVERS = {4: "203.0.113.10", 6: "2001:db8:1::10"}
CLIENTS = {4: "203.0.113.2", 6: "2001:db8:1::2"}
PEERS = {4: "198.51.100.2", 6: "2001:db8:2::2"}
REQUESTED_ADDRESS_FAMILY, MOBILITY_TICKET = 0x0017, 0x8030


def mask(transaction):
    return struct.pack("!I", turn.COOKIE) + transaction


def xor_address(address, transaction):
    host, port = address[:2]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = bytes(a ^ b for a, b in zip(socket.inet_pton(family, host), mask(transaction)))
    number = 2 if family == socket.AF_INET6 else 1
    return struct.pack("!BBH", 0, number, port ^ turn.COOKIE >> 16) + packed


class Client:
    """A UDP client. `peer` is a socket, or the relayed address of another client."""

    def __init__(self, family, port=0, mobile=False):
        self.family = family
        self.socket = udp("client", CLIENTS[family], port)
        self.server = (SERVERS[family], 3478)
        self.key = turn.key_of(USER, PASSWORD)
        self.nonce = b""
        family_of = turn.attribute(REQUESTED_ADDRESS_FAMILY, bytes([1 if family == 4 else 2, 0, 0, 0]))
        wish = turn.attribute(turn.REQUESTED_TRANSPORT, turn.UDP_TRANSPORT) + family_of
        if mobile:
            wish += turn.attribute(MOBILITY_TICKET, b"")
        answer, transaction = self.ask(turn.ALLOCATE, lambda _: wish)
        self.ticket = answer.attributes.get(MOBILITY_TICKET)
        value = answer.attributes[turn.XOR_RELAYED_ADDRESS]
        port = struct.unpack("!H", value[2:4])[0] ^ turn.COOKIE >> 16
        packed = bytes(a ^ b for a, b in zip(value[4:], mask(transaction)))
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        self.relayed = (socket.inet_ntop(kind, packed), port)

    def ask(self, method, wish, expect=None):
        for _ in range(3):
            transaction = os.urandom(12)
            attributes, key = wish(transaction), None
            if self.nonce:
                attributes += turn.credentials(USER, self.nonce)
                key = self.key
            request = turn.message(method, attributes, transaction=transaction, key=key)
            answer = self.round_trip(request)
            if answer.code in (401, 438):
                self.nonce = answer.attributes[turn.NONCE]
                continue
            if answer.code != expect:
                raise AssertionError(f"method {method}: {answer.code}")
            return answer, transaction
        raise AssertionError(f"method {method} is not authorised")

    def round_trip(self, request):
        for _ in range(4):
            self.socket.sendto(request, self.server)
            end = time.monotonic() + 1
            while time.monotonic() < end:
                try:
                    data = self.socket.recv(65536)
                except TimeoutError:
                    break
                if data[0] < 2 and data[8:20] == request[8:20]:
                    return turn.Answer(data)
        raise AssertionError("the server does not answer")

    def bind(self, channel, peer, expect=None):
        number = turn.attribute(turn.CHANNEL_NUMBER, struct.pack("!HH", channel, 0))
        self.ask(
            turn.CHANNEL_BIND,
            lambda id: number + turn.attribute(turn.XOR_PEER_ADDRESS, xor_address(peer, id)),
            expect,
        )

    def permit(self, peer):
        self.ask(turn.CREATE_PERMISSION, lambda id: turn.attribute(turn.XOR_PEER_ADDRESS, xor_address(peer, id)))

    def refresh(self, lifetime):
        self.ask(turn.REFRESH, lambda _: turn.attribute(turn.LIFETIME, struct.pack("!I", lifetime)))

    def move(self):
        """To another port (RFC 8016)."""
        self.socket.close()
        self.socket = udp("client", CLIENTS[self.family])
        self.ask(turn.REFRESH, lambda _: turn.attribute(MOBILITY_TICKET, self.ticket))

    def send(self, channel, data, padded=False):
        padding = bytes(-len(data) % 4) if padded else b""
        self.socket.sendto(struct.pack("!HH", channel, len(data)) + data + padding, self.server)

    def receive(self, channel):
        """The data of the next ChannelData message; nothing if there is none in time."""
        try:
            message = self.socket.recv(65536)
        except TimeoutError:
            return None
        number, length = struct.unpack("!HH", message[:4])
        if number != channel or length != len(message) - 4:
            raise AssertionError(f"not ChannelData of {channel:x}: {message[:20].hex()}")
        return message[4:]
