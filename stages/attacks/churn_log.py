"""Lines for the log: logins with a wrong password by the server's own nonce, and sessions with a
packet in each."""
import time

import attack
import turn


def fail():
    client = turn.Client(turn.Udp(turn.ATTACKER, patience=1.0), "mallory", "wrong")
    client.allocate()
    client.transport.close()


def session():
    client = turn.Client(turn.Udp("11.2.0.4", patience=1.0), "mallory")
    answer = client.allocate()
    if answer and answer.succeeded:
        client.permit("11.1.0.2")
        client.send_to("11.1.0.2", 9, b"x")
        client.refresh(0)
    client.transport.close()


def main():
    rounds = 0
    attack.begun()
    while attack.goes_on():
        fail()
        session()
        rounds += 1
        time.sleep(0.02)
    attack.report(rounds=rounds)


main()
