"""reflection.py hello-verify|binding|binding-allocated: as many questions as fit, from one address
that proves nothing, and how many answers it gets. `allowed` is what one source gets by default: 20 a
second, and 50 for the Bindings of a client that has an allocation; three seconds' worth at once."""
import socket
import sys
import time

import attack
import turn
from dtls_hello import client_hello

BURST_SECONDS = 3
ANSWERS_A_SECOND = {"hello-verify": 20, "binding": 20, "binding-allocated": 50}
AT_ONCE = 50


def main():
    what = sys.argv[1]
    if what == "binding-allocated":
        client = turn.Client(turn.Udp(turn.ATTACKER), "mallory")
        client.allocate()
        asking = client.transport.socket
    else:
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.bind((turn.ATTACKER, 0))
        asking.connect((turn.SERVER, turn.TLS_PORT if what == "hello-verify" else turn.PORT))
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    asking.setblocking(False)
    question = client_hello() if what == "hello-verify" else turn.message(turn.BINDING)
    asked = answers = bytes_back = 0

    def read():
        nonlocal answers, bytes_back
        try:
            while True:
                bytes_back += len(asking.recv(2048))
                answers += 1
        except OSError:
            pass

    attack.begun()
    while attack.goes_on():
        for _ in range(AT_ONCE):
            try:
                asked += asking.send(question) > 0
            except OSError:
                break
        read()
        time.sleep(0.002)
    seconds = attack.elapsed()
    time.sleep(0.3)
    read()
    attack.report(
        asked=asked,
        answers=answers,
        answers_per_second=round(answers / seconds),
        bytes_asked=asked * len(question),
        bytes_back=bytes_back,
        allowed=round(ANSWERS_A_SECOND[what] * (seconds + BURST_SECONDS)),
    )


main()
