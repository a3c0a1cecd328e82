"""A small TURN client for the attacks: messages (RFC 8489), transports, allocations (RFC 8656).

Where the server is and who may use it comes from the environment; see hostile.sh.
"""
import hashlib
import hmac
import os
import socket
import ssl
import struct
import subprocess
import time

SERVER = os.environ.get("ATTACKED", "11.1.0.1")
SERVER_V6 = os.environ.get("ATTACKED_V6", "2a0b:1::1")
PORT = 3478
TLS_PORT = 5349
REALM = os.environ.get("ATTACK_REALM", "e2e.test")
PASSWORD = os.environ.get("ATTACK_PASSWORD", "")
# Where the attackers are: one address, and a prefix of which each address is local.
ATTACKER = "11.2.0.3"
ATTACKERS = "11.2.0."

COOKIE = 0x2112A442
REQUEST, INDICATION, SUCCESS, ERROR = range(4)
BINDING, ALLOCATE, REFRESH, SEND = 1, 3, 4, 6
CREATE_PERMISSION, CHANNEL_BIND = 8, 9

USERNAME, MESSAGE_INTEGRITY, ERROR_CODE = 0x0006, 0x0008, 0x0009
CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS, DATA = 0x000C, 0x000D, 0x0012, 0x0013
REALM_ATTRIBUTE, NONCE, XOR_RELAYED_ADDRESS = 0x0014, 0x0015, 0x0016
REQUESTED_TRANSPORT = 0x0019
UDP_TRANSPORT = bytes([17, 0, 0, 0])
# A nonce that no server has made.
FOREIGN_NONCE = b"x" * 16


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def message(method, attributes=b"", kind=REQUEST, transaction=None, key=None):
    """The bytes of a message; with `key`, MESSAGE-INTEGRITY is its last attribute."""
    transaction = transaction or os.urandom(12)
    first = (method & 0xF) | (method & 0x70) << 1 | (method & 0xF80) << 2
    first |= (kind & 1) << 4 | (kind & 2) << 7

    def header(length):
        return struct.pack("!HHI", first, length, COOKIE) + transaction

    if key is not None:
        signed = header(len(attributes) + 24) + attributes
        attributes += attribute(MESSAGE_INTEGRITY, hmac.new(key, signed, hashlib.sha1).digest())
    return header(len(attributes)) + attributes


class Answer:
    """A message that has come, taken apart."""

    def __init__(self, data):
        first, length, _ = struct.unpack("!HHI", data[:8])
        self.kind = (first >> 4) & 1 | (first >> 7) & 2
        self.method = first & 0xF | (first & 0xE0) >> 1 | (first & 0x3E00) >> 2
        self.transaction = data[8:20]
        self.attributes = {}
        at = 20
        while at + 4 <= min(20 + length, len(data)):
            kind, size = struct.unpack("!HH", data[at : at + 4])
            self.attributes.setdefault(kind, data[at + 4 : at + 4 + size])
            at += 4 + size + (-size % 4)

    @property
    def succeeded(self):
        return self.kind == SUCCESS

    @property
    def code(self):
        """The error code; None where it is no error."""
        value = self.attributes.get(ERROR_CODE)
        return None if value is None else (value[2] & 7) * 100 + value[3]

    def relayed(self):
        """Host and port of the relayed address; IPv4 alone."""
        value = self.attributes[XOR_RELAYED_ADDRESS]
        port = struct.unpack("!H", value[2:4])[0] ^ COOKIE >> 16
        host = bytes(a ^ b for a, b in zip(value[4:8], struct.pack("!I", COOKIE)))
        return socket.inet_ntoa(host), port


def xor_address(host, port):
    """The value of XOR-PEER-ADDRESS for an IPv4 address."""
    packed = bytes(a ^ b for a, b in zip(socket.inet_aton(host), struct.pack("!I", COOKIE)))
    return b"\0\1" + struct.pack("!H", port ^ COOKIE >> 16) + packed


def key_of(user, password):
    return hashlib.md5(f"{user}:{REALM}:{password}".encode()).digest()


def credentials(user, nonce):
    return (
        attribute(USERNAME, user.encode())
        + attribute(REALM_ATTRIBUTE, REALM.encode())
        + attribute(NONCE, nonce)
    )


class Udp:
    """One socket; requests are sent again as RFC 8489 section 6.2.1 has it."""

    def __init__(self, source=None, patience=10.0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((SERVER, PORT))
        self.patience = patience

    def send(self, data):
        self.socket.send(data)

    def ask(self, request):
        """The answer; None where there is none in time."""
        end = time.monotonic() + self.patience
        wait = 0.5
        while time.monotonic() < end:
            self.send(request)
            again = min(end, time.monotonic() + wait)
            while (left := again - time.monotonic()) > 0:
                self.socket.settimeout(left)
                try:
                    data = self.socket.recv(65536)
                except (TimeoutError, ConnectionRefusedError):
                    continue
                if data[0] < 2 and data[8:20] == request[8:20]:
                    return Answer(data)
            wait *= 2
        return None

    def close(self):
        self.socket.close()


class Framed:
    """What transports have in common that carry a stream."""

    def __init__(self):
        self.unread = b""

    def read_message(self):
        while True:
            if len(self.unread) >= 4:
                length = struct.unpack("!H", self.unread[2:4])[0]
                whole = 20 + length if self.unread[0] < 0x40 else 4 + length + (-length % 4)
                if len(self.unread) >= whole:
                    data, self.unread = self.unread[:whole], self.unread[whole:]
                    return data
            data = self.receive()
            if not data:
                raise EOFError("the server has closed the connection")
            self.unread += data

    def ask(self, request):
        self.send(request)
        while True:
            data = self.read_message()
            if data[0] < 0x40 and data[8:20] == request[8:20]:
                return Answer(data)


class Tcp(Framed):
    """A connection over TCP, or over TLS with any certificate."""

    def __init__(self, source=None, patience=10.0, tls=False, receive_buffer=None):
        super().__init__()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(patience)
        try:
            self.socket.connect((SERVER, TLS_PORT if tls else PORT))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                self.socket = any_certificate().wrap_socket(self.socket)
        except BaseException:
            self.socket.close()
            raise

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        return self.socket.recv(65536)

    def close(self):
        self.socket.close()


class Dtls(Framed):
    """A connection over DTLS, by OpenSSL's client."""

    def __init__(self, source=None, patience=10.0):
        super().__init__()
        bound = ["-bind", f"{source}:0"] if source else []
        self.process = subprocess.Popen(
            ["timeout", str(patience), "openssl", "s_client", "-dtls1_2", "-quiet", "-connect",
             f"{SERVER}:{TLS_PORT}", *bound],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def receive(self):
        return os.read(self.process.stdout.fileno(), 65536)

    def close(self):
        self.process.terminate()
        self.process.wait()


def any_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """A user behind a transport."""

    def __init__(self, transport, user, password=PASSWORD):
        self.transport, self.user = transport, user
        self.key = key_of(user, password)
        self.nonce = None
        self.relayed = None

    def signed(self, method, attributes=b""):
        return message(method, attributes + credentials(self.user, self.nonce), key=self.key)

    def request(self, method, attributes=b""):
        """The answer, after the challenge; None where there is none in time."""
        for _ in range(3):
            fresh = self.nonce is None
            answer = self.transport.ask(
                message(method, attributes) if fresh else self.signed(method, attributes)
            )
            if answer is None or answer.code not in (401, 438):
                return answer
            if answer.code == 401 and not fresh:
                return answer
            self.nonce = answer.attributes.get(NONCE)
        return answer

    def allocate(self):
        answer = self.request(ALLOCATE, attribute(REQUESTED_TRANSPORT, UDP_TRANSPORT))
        if answer and answer.succeeded:
            self.relayed = answer.relayed()
        return answer

    def permit(self, host):
        return self.request(CREATE_PERMISSION, attribute(XOR_PEER_ADDRESS, xor_address(host, 9)))

    def bind_channel(self, number, host, port):
        return self.request(
            CHANNEL_BIND,
            attribute(CHANNEL_NUMBER, struct.pack("!HH", number, 0))
            + attribute(XOR_PEER_ADDRESS, xor_address(host, port)),
        )

    def refresh(self, seconds):
        return self.request(REFRESH, attribute(LIFETIME, struct.pack("!I", seconds)))

    def send_to(self, host, port, data):
        peer = attribute(XOR_PEER_ADDRESS, xor_address(host, port))
        self.transport.send(message(SEND, peer + attribute(DATA, data), kind=INDICATION))

    def send_channel(self, number, data):
        self.transport.send(struct.pack("!HH", number, len(data)) + data)
