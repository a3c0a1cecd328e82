"""Records the first messages of a TURN client: record.py ADDRESS SECONDS > NAME.hex

Answers on ADDRESS:3478, UDP and TCP, as far as a client needs to send its credentials: 401 to a
request without an integrity, success to Binding. What comes in is printed, a message a line, in hex.
"""
import selectors
import socket
import struct
import sys
import time

COOKIE = bytes.fromhex("2112a442")
BINDING, ALLOCATE = 0x001, 0x003
INTEGRITY = 0x0008
REALM, NONCE = b"example.org", b"captured-nonce-1"


def attributes(message):
    at = 20
    while at + 4 <= len(message):
        kind, length = struct.unpack_from(">HH", message, at)
        yield kind, message[at + 4 : at + 4 + length]
        at += 4 + (length + 3) // 4 * 4


def answer(kind, request, attributes):
    body = b"".join(
        struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4) for kind, value in attributes
    )
    return struct.pack(">HH", kind, len(body)) + request[4:20] + body


def reply(request, peer):
    kind = struct.unpack_from(">H", request)[0]
    if kind == BINDING:
        port = struct.pack(">H", peer[1] ^ 0x2112)
        address = bytes(a ^ b for a, b in zip(socket.inet_aton(peer[0]), COOKIE))
        return answer(0x101, request, [(0x0020, b"\0\1" + port + address)])
    if any(found == INTEGRITY for found, _ in attributes(request)):
        return None
    error = (0x0009, bytes([0, 0, 4, 1]))
    return answer(kind | 0x110, request, [error, (0x0014, REALM), (0x0015, NONCE)])


def main():
    address, seconds = sys.argv[1], float(sys.argv[2])
    poll = selectors.DefaultSelector()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, 3478))
    tcp = socket.create_server((address, 3478))
    poll.register(udp, selectors.EVENT_READ)
    poll.register(tcp, selectors.EVENT_READ)
    seen, streams = set(), {}

    def take(transport, message, peer, send):
        # A retransmission is no news.
        if message not in seen:
            seen.add(message)
            print(transport, message.hex(), flush=True)
        if message[4:8] == COOKIE and (back := reply(message, peer)):
            send(back)

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in poll.select(0.1):
            ready = key.fileobj
            if ready is udp:
                message, peer = udp.recvfrom(65536)
                take("udp", message, peer, lambda back, peer=peer: udp.sendto(back, peer))
            elif ready is tcp:
                stream, peer = tcp.accept()
                streams[stream] = [peer, b""]
                poll.register(stream, selectors.EVENT_READ)
            else:
                peer, unread = streams[ready]
                try:
                    more = ready.recv(65536)
                except OSError:
                    more = b""
                if not more:
                    poll.unregister(ready)
                    continue
                unread += more
                while len(unread) >= 20:
                    length = 20 + struct.unpack_from(">H", unread, 2)[0]
                    if len(unread) < length:
                        break
                    take("tcp", unread[:length], peer, ready.sendall)
                    unread = unread[length:]
                streams[ready][1] = unread


main()
