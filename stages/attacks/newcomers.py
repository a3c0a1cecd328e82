"""newcomers.py TRANSPORT...: somebody who is new makes an allocation over each of udp, tcp, tls, dtls,
all at the same time, from an address that has nothing to do with the attack. For each the seconds that
it took, null where it was not within ten.

newcomers.py crowd: fifty over UDP, each from an address of its own; how many hear their 401."""
import json
import select
import socket
import sys
import threading
import time

import turn

PATIENCE = 10.0
NEWCOMER = "11.3.0.1"
CROWD = 50
# When a request is sent again (RFC 8489 section 6.2.1).
SENT_AT = (0, 0.5, 1.5, 3.5, 7.5)


def transport(name, patience):
    if name == "udp":
        return turn.Udp(NEWCOMER, patience)
    if name == "dtls":
        return turn.Dtls(NEWCOMER, patience)
    return turn.Tcp(NEWCOMER, patience, tls=name == "tls")


def allocate(name):
    """Seconds until there is an allocation. A connection that is refused is tried again."""
    began = time.monotonic()
    while (left := PATIENCE - (time.monotonic() - began)) > 0:
        with_server = None
        try:
            with_server = transport(name, left)
            client = turn.Client(with_server, "bob")
            answer = client.allocate()
            if answer and answer.succeeded:
                took = time.monotonic() - began
                client.refresh(0)
                return round(took, 2) if took <= PATIENCE else None
        except (OSError, EOFError):
            pass
        finally:
            if with_server:
                with_server.close()
        time.sleep(0.3)
    return None


def one_each(names):
    took = {}

    def newcomer(name):
        took[name] = allocate(name)

    threads = [threading.Thread(target=newcomer, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: took.get(name) for name in names}


def crowd():
    asking = {}
    for number in range(CROWD):
        newcomer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        newcomer.bind((f"11.3.1.{number + 1}", 0))
        newcomer.connect((turn.SERVER, turn.PORT))
        asking[newcomer] = turn.message(turn.ALLOCATE)
    began, rounds = time.monotonic(), list(SENT_AT)
    while asking and (now := time.monotonic() - began) < PATIENCE:
        if rounds and now >= rounds[0]:
            rounds.pop(0)
            for newcomer, request in asking.items():
                newcomer.send(request)
        for newcomer in select.select(list(asking), [], [], 0.02)[0]:
            data = newcomer.recv(2048)
            if data[8:20] == asking[newcomer][8:20]:
                del asking[newcomer]
    return {"crowd": CROWD - len(asking)}


def main():
    names = sys.argv[1:]
    print(json.dumps(crowd() if names == ["crowd"] else one_each(names)))


main()
