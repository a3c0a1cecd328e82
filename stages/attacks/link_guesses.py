"""Addresses of test links that do not exist, while one is out: a thousand connections at a time from eight
addresses, opened again as the server closes them, one in a hundred over TLS. None may get a byte. At the end the link
that is out is read, from elsewhere. link_guesses.py PATH: that of the link."""
import os
import selectors
import socket
import ssl
import sys

import attack
import turn

AT_A_TIME = 1000
ADDRESSES = 8


def request(path):
    return f"GET {path} HTTP/1.1\r\nHost: {turn.SERVER}\r\nConnection: close\r\n\r\n".encode()


def guess():
    token = os.urandom(11).hex()
    return request(f"/test/{token}/")


def over_tls(address):
    """How many bytes come back for a guess over TLS."""
    context = ssl._create_unverified_context()
    with socket.create_connection((turn.SERVER, turn.TLS_PORT), 2.0, (address, 0)) as stream:
        with context.wrap_socket(stream) as secure:
            secure.sendall(guess())
            return len(secure.recv(4096))


def served(path):
    with socket.create_connection((turn.SERVER, turn.PORT), 5.0, ("11.2.9.9", 0)) as stream:
        stream.sendall(request(path))
        return int(stream.recv(4096).startswith(b"HTTP/1.1 200"))


def begin(place):
    stream = socket.socket()
    stream.setblocking(False)
    stream.bind((f"{turn.ATTACKERS}{3 + place % ADDRESSES}", 0))
    stream.connect_ex((turn.SERVER, turn.PORT))
    return stream


def main():
    attack.allow_many_descriptors()
    waiting = selectors.DefaultSelector()
    attempts, answered, places = 0, 0, AT_A_TIME
    while attack.goes_on():
        while places > 0 and attack.goes_on():
            waiting.register(begin(attempts), selectors.EVENT_WRITE)
            attempts, places = attempts + 1, places - 1
            if attempts % 100 == 0:
                try:
                    answered += over_tls(f"{turn.ATTACKERS}{3 + attempts // 100 % ADDRESSES}")
                except OSError:
                    pass
        for key, events in waiting.select(0.5):
            stream = key.fileobj
            try:
                if events & selectors.EVENT_WRITE:
                    stream.send(guess())
                    waiting.modify(stream, selectors.EVENT_READ)
                    continue
                answered += len(stream.recv(4096))
            except OSError:
                pass
            waiting.unregister(stream)
            stream.close()
            places += 1
        if attempts >= 2 * AT_A_TIME:
            attack.begun()
    attack.report(attempts=attempts, answered=answered, served=served(sys.argv[1]))


main()
