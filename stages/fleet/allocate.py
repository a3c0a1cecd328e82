#!/usr/bin/env python3
"""Allocations of one user on several servers, to see how many are made.

  allocate.py [--over SECONDS] [--requests N] [--limit N] SERVER...
        makes N requests, in turn on each server, spread over so many seconds (0: all at the same instant). Then some
        more, at the same instant. Then it gives allocations back until LIMIT - 1 are left, and makes some more. A line of
        JSON: how many were made in each of the three.
  allocate.py --hold SECONDS --requests N SERVER...
        makes them, says with a line how many were made, with which codes the others were refused and where they were sent,
        holds them for that long, and gives them back
  allocate.py --latency N SERVER
        makes N allocations one after another, 30 a second at most, and gives each back: the milliseconds until the
        answer, as JSON
"""
import argparse
import json
import os
import select
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../attacks"))
import turn  # noqa: E402

ALTERNATE_SERVER = 0x8023
# For a message to be heard everywhere; it takes some 50 ms.
HEARD = 0.5
PATIENCE = 10.0
# Requests of --latency are so far apart that they meet whatever the server asks others meanwhile.
BETWEEN = 1 / 30
# Requests after the first round.
MORE = 15


class Client:
    """A client on a port of its own."""

    def __init__(self, server, user, key):
        self.server, self.user, self.key = server, user, key
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((server, 3478))
        self.nonce = self.request = self.answer = None

    def challenge(self):
        self.request = turn.message(turn.ALLOCATE, turn.attribute(turn.REQUESTED_TRANSPORT, turn.UDP_TRANSPORT))

    def allocate(self):
        transport = turn.attribute(turn.REQUESTED_TRANSPORT, turn.UDP_TRANSPORT)
        self.sign(turn.ALLOCATE, transport)

    def give_back(self):
        self.sign(turn.REFRESH, turn.attribute(turn.LIFETIME, bytes(4)))

    def sign(self, method, attributes):
        attributes += turn.credentials(self.user, self.nonce)
        self.request = turn.message(method, attributes, key=self.key)

    @property
    def made(self):
        return self.answer is not None and self.answer.succeeded


def ask(clients, over=0.0):
    """Sends what each has to send, spread over so many seconds, until each has its answer."""
    begun = time.monotonic()
    for client in clients:
        client.answer = None
    due = {client: begun + over * at / len(clients) for at, client in enumerate(clients)}
    by_socket = {client.socket: client for client in clients}
    while due:
        now = time.monotonic()
        if now > begun + over + PATIENCE:
            sys.exit(f"no answer from {sorted({client.server for client in due})}")
        for client, at in due.items():
            if at <= now:
                client.socket.send(client.request)
                due[client] = now + 0.5
        wait = max(0.0, min(due.values()) - time.monotonic())
        for readable in select.select([client.socket for client in due], [], [], wait)[0]:
            client = by_socket[readable]
            data = readable.recv(2048)
            if data[8:20] == client.request[8:20]:
                client.answer = turn.Answer(data)
                del due[client]


def clients_of(servers, number, user, key):
    clients = [Client(servers[at % len(servers)], user, key) for at in range(number)]
    for client in clients:
        client.challenge()
    ask(clients)
    for client in clients:
        client.nonce = client.answer.attributes[turn.NONCE]
        client.allocate()
    return clients


def held(clients):
    return [client for client in clients if client.made]


def give_back(clients):
    for client in clients:
        client.give_back()
    ask(clients)
    for client in clients:
        client.socket.close()


def codes(clients):
    return sorted({client.answer.code for client in clients if not client.made})


def alternates(clients):
    values = {client.answer.attributes.get(ALTERNATE_SERVER) for client in clients} - {None}
    return sorted(socket.inet_ntoa(value[4:8]) for value in values)


def run(options, key):
    def round_of(number, over):
        clients = clients_of(options.servers, number, options.user, key)
        ask(clients, over)
        return clients

    first = round_of(options.requests, options.over)
    time.sleep(HEARD)
    more = round_of(MORE, 0)
    here = held(first) + held(more)
    surplus = here[: max(0, len(here) - options.limit + 1)]
    give_back(surplus)
    time.sleep(HEARD)
    # One after another, so that each is heard of.
    last = round_of(MORE, MORE * HEARD / 3)
    result = {"first": len(held(first)), "then": len(held(more)), "after": len(held(last)), "codes": codes(first + more + last)}
    give_back([client for client in here + held(last) if client not in surplus])
    print(json.dumps(result))


def hold(options, key):
    clients = clients_of(options.servers, options.requests, options.user, key)
    ask(clients)
    print(f"{len(held(clients))} made, refused: {codes(clients)}, sent to: {alternates(clients)}", flush=True)
    time.sleep(options.hold)
    give_back(held(clients))


def latency(options, key):
    times = []
    for client in clients_of(options.servers, options.latency, options.user, key):
        time.sleep(BETWEEN)
        begun = time.perf_counter()
        ask([client])
        times.append((time.perf_counter() - begun) * 1000)
        if not client.made:
            sys.exit(f"refused with {client.answer.code}")
        give_back([client])
    times.sort()
    part = lambda share: round(times[min(len(times) - 1, int(len(times) * share))], 3)
    print(json.dumps({"p50": part(0.5), "p99": part(0.99), "most": round(times[-1], 3)}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("servers", nargs="+")
    parser.add_argument("--user", default="alice")
    parser.add_argument("--requests", type=int, default=1)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--over", type=float, default=0.0)
    parser.add_argument("--hold", type=float)
    parser.add_argument("--latency", type=int)
    options = parser.parse_args()
    key = turn.key_of(options.user, turn.PASSWORD)
    if options.latency:
        latency(options, key)
    elif options.hold is not None:
        hold(options, key)
    else:
        run(options, key)


main()
