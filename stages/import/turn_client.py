"""A TURN client of a few requests, to ask two servers the same. Standard library only."""
import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
import time

COOKIE = 0x2112A442
BINDING, ALLOCATE, REFRESH, PERMISSION, CHANNEL = 1, 3, 4, 8, 9
USERNAME, INTEGRITY, ERROR, LIFETIME, PEER, REALM, NONCE = 6, 8, 9, 0x0D, 0x12, 0x14, 0x15
CHANNEL_NUMBER, RELAYED, FAMILY, TRANSPORT = 0x0C, 0x16, 0x17, 0x19


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)


def peer(ip, port, transaction):
    family = 2 if ":" in ip else 1
    raw = socket.inet_pton(socket.AF_INET6 if family == 2 else socket.AF_INET, ip)
    mask = struct.pack("!I", COOKIE) + transaction
    masked = bytes(a ^ b for a, b in zip(raw, mask))
    return attribute(PEER, struct.pack("!BBH", 0, family, port ^ (COOKIE >> 16)) + masked)


def message(kind, attributes=b"", transaction=None, key=None, cookie=COOKIE):
    transaction = transaction or os.urandom(12)
    head = lambda length: struct.pack("!HHI", kind, length, cookie) + transaction
    if key is not None:
        digest = hmac.new(key, head(len(attributes) + 24) + attributes, hashlib.sha1).digest()
        attributes += attribute(INTEGRITY, digest)
    return head(len(attributes)) + attributes


def shared(secret, name):
    """The password that goes with a name, by a shared secret."""
    return base64.b64encode(hmac.new(secret.encode(), name.encode(), hashlib.sha1).digest()).decode()


class Answer:
    def __init__(self, raw):
        self.raw, self.transaction, self.attributes = raw, raw[8:20], {}
        at = 20
        while at + 4 <= len(raw):
            kind, length = struct.unpack("!HH", raw[at:at + 4])
            self.attributes.setdefault(kind, raw[at + 4:at + 4 + length])
            at += 4 + length + (-length % 4)

    @property
    def error(self):
        value = self.attributes.get(ERROR)
        return value[2] * 100 + value[3] if value else None

    def relayed(self):
        value = self.attributes[RELAYED]
        mask = struct.pack("!I", COOKIE) + self.transaction
        raw = bytes(a ^ b for a, b in zip(value[4:], mask))
        port = struct.unpack("!H", value[2:4])[0] ^ (COOKIE >> 16)
        return socket.inet_ntop(socket.AF_INET6 if value[1] == 2 else socket.AF_INET, raw), port


class Client:
    """transport: udp, tcp or tls."""

    def __init__(self, host, port, transport="udp", user="", password="", timeout=1.0):
        self.transport, self.user, self.password, self.buffer = transport, user, password, b""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        datagrams = transport == "udp"
        self.socket = socket.socket(family, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        if transport == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.realm = self.nonce = b""

    def close(self):
        self.socket.close()

    def receive(self):
        if self.transport == "udp":
            return self.socket.recv(65536)
        while True:
            if len(self.buffer) >= 4:
                total = 20 + struct.unpack("!H", self.buffer[2:4])[0]
                if len(self.buffer) >= total:
                    taken, self.buffer = self.buffer[:total], self.buffer[total:]
                    return taken
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("closed")
            self.buffer += more

    def ask(self, raw):
        """The answer, or None where there is none."""
        try:
            self.socket.sendall(raw)
            return Answer(self.receive())
        except (OSError, ConnectionError):
            return None

    def request(self, method, attributes=b"", transaction=None):
        key = hashlib.md5(b":".join([self.user.encode(), self.realm, self.password.encode()])).digest()
        for _ in range(6):
            named = attribute(USERNAME, self.user.encode()) + attribute(REALM, self.realm)
            named += attribute(NONCE, self.nonce)
            answer = self.ask(message(method, attributes + named, transaction, key))
            if answer is not None and answer.error == 438:
                self.nonce = answer.attributes[NONCE]
            elif answer is not None and answer.error == 508 and method != ALLOCATE:
                time.sleep(0.5)  # new peers are limited
            else:
                return answer
        return answer

    def allocate(self, family=None, transport=17):
        attributes = attribute(TRANSPORT, bytes([transport, 0, 0, 0]))
        if family:
            attributes += attribute(FAMILY, bytes([family, 0, 0, 0]))
        first = self.ask(message(ALLOCATE, attributes))
        if first is None or first.error != 401 or not self.user:
            return first
        self.realm, self.nonce = first.attributes[REALM], first.attributes[NONCE]
        return self.request(ALLOCATE, attributes)

    def permits(self, ip):
        transaction = os.urandom(12)
        answer = self.request(PERMISSION, peer(ip, 0, transaction), transaction)
        return answer is not None and answer.error is None

    def binds(self, ip, port, number):
        transaction = os.urandom(12)
        attributes = attribute(CHANNEL_NUMBER, struct.pack("!HH", number, 0)) + peer(ip, port, transaction)
        answer = self.request(CHANNEL, attributes, transaction)
        return answer is not None and answer.error is None

    def end(self):
        self.request(REFRESH, attribute(LIFETIME, b"\0\0\0\0"))
        self.close()
