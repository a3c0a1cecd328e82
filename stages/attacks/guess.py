"""Guesses alice's password over UDP, TCP and TLS.

First: with a nonce that is not the server's, is a right password told from a wrong one? Then as many
guesses as are judged, by whichever nonce tells more. `allowed` is what the default of
limits.failures_per_address lets one source have: that many a second from ports that failed before, twice
as many from others, and three seconds' worth at once."""
import itertools
import threading
import time

import attack
import turn

FAILURES_A_SECOND = 10 + 2 * 10
BURST_SECONDS = 3
BATCH = 100
NUMBERS = itertools.count()


def guess(password, nonce):
    attributes = turn.attribute(turn.REQUESTED_TRANSPORT, turn.UDP_TRANSPORT)
    return turn.message(
        turn.ALLOCATE,
        attributes + turn.credentials("alice", nonce),
        key=turn.key_of("alice", password),
    )


def transport(name):
    if name == "udp":
        return turn.Udp(turn.ATTACKER, patience=1.0)
    return turn.Tcp(turn.ATTACKER, patience=2.0, tls=name == "tls")


def code(name, password):
    """What a guess with a foreign nonce is told; None where that is nothing."""
    try:
        with_server = transport(name)
        answer = with_server.ask(guess(password, turn.FOREIGN_NONCE))
        with_server.close()
        return answer and answer.code
    except (OSError, EOFError):
        return None


def tells(name):
    """Whether the answer tells a right password from a wrong one."""
    return code(name, turn.PASSWORD) != code(name, "wrong")


def judged(name, oracle):
    """Guesses until the connection ends or the attack does; how many were judged."""
    count = 0
    with_server = transport(name)
    try:
        nonce = turn.FOREIGN_NONCE
        if not oracle:
            challenge = with_server.ask(turn.message(turn.ALLOCATE))
            nonce = challenge.attributes[turn.NONCE]
        while attack.goes_on():
            batch = [guess(f"guess {next(NUMBERS)}", nonce) for _ in range(BATCH)]
            if name == "udp":
                for each in batch[:20]:
                    answer = with_server.ask(each)
                    count += answer is not None and answer.code == 401
                continue
            with_server.send(b"".join(batch))
            for _ in batch:
                answer = turn.Answer(with_server.read_message())
                count += answer.code == 401
    except (OSError, EOFError, AttributeError):
        # Turned away, or cut off: the next connection goes on.
        pass
    finally:
        with_server.close()
    return count


def main():
    names = ["udp", "tcp", "tls"]
    oracles = {name: tells(name) for name in names}
    attack.begun()
    guesses = dict.fromkeys(names, 0)

    def go_on(name):
        while attack.goes_on():
            guesses[name] += judged(name, oracles[name])
            time.sleep(0.05)

    threads = [threading.Thread(target=go_on, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = sum(guesses.values())
    attack.report(
        oracles=sum(oracles.values()),
        guesses=count,
        guesses_per_second=round(count / attack.elapsed()),
        allowed=round(FAILURES_A_SECOND * (attack.elapsed() + BURST_SECONDS)),
        by_transport=guesses,
    )


main()
