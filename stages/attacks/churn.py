"""churn.py RATE: one user makes allocations, sends a packet from each, and ends it again, so
many a second. `reused`: ports that were given out again, which within a few seconds none may be: the
default of limits.port_quarantine is two minutes."""
import socket
import sys
import time

import attack
import turn


def main():
    rate = float(sys.argv[1])
    client = turn.Client(turn.Udp(turn.ATTACKER), "mallory")
    client.allocate()
    client.refresh(0)
    asking = client.transport.socket
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    asking.setblocking(False)
    peer = turn.attribute(turn.XOR_PEER_ADDRESS, turn.xor_address("11.1.0.2", 9))
    allocate = turn.attribute(turn.REQUESTED_TRANSPORT, turn.UDP_TRANSPORT)
    end = turn.attribute(turn.LIFETIME, bytes(4))
    ports, asked, reused, made = set(), 0, 0, 0

    def read():
        nonlocal reused, made
        try:
            while True:
                data = asking.recv(2048)
                if data[:2] == b"\1\x13":  # another nonce
                    client.nonce = turn.Answer(data).attributes.get(turn.NONCE, client.nonce)
                elif data[:2] == b"\1\3":
                    made += 1
                    port = turn.Answer(data).relayed()[1]
                    reused += port in ports
                    ports.add(port)
        except OSError:
            pass

    attack.begun()
    while attack.goes_on():
        while asked < attack.elapsed() * rate and attack.goes_on():
            asked += 1
            try:
                asking.send(client.signed(turn.ALLOCATE, allocate))
                asking.send(client.signed(turn.CREATE_PERMISSION, peer))
                client.send_to("11.1.0.2", 9, b"x")
                asking.send(client.signed(turn.REFRESH, end))
            except OSError:
                pass
            read()
        read()
        time.sleep(0.0005)
    seconds = attack.elapsed()
    time.sleep(0.3)
    read()
    attack.report(
        asked=asked,
        allocations=made,
        allocations_per_second=round(made / seconds),
        ports=len(ports),
        reused=reused,
    )


main()
