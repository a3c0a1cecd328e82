#!/usr/bin/env python3
"""TURN clients that come and go, and how long they wait.

    clients.py latency HOST[:PORT] SECONDS USER PASSWORD
    clients.py rotation HOST SECONDS COMMAND...    COMMAND prints the secret that an application would take now

Prints one line of JSON. Exit status 1 if a request was refused or lost."""
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "import"))
import turn_client  # noqa: E402


def refreshed(client, lifetime):
    answer = client.request(turn_client.REFRESH, turn_client.attribute(turn_client.LIFETIME, lifetime.to_bytes(4, "big")))
    return answer is not None and answer.error is None


def allocated(client):
    answer = client.allocate()
    return "lost" if answer is None else answer.error


def latency(host, seconds, user, password):
    took, refused, end = [], [], time.monotonic() + seconds
    host, _, port = host.partition(":")
    # Once at least, however slow the machine is.
    while not took or time.monotonic() < end:
        client = turn_client.Client(host, int(port or 3478), user=user, password=password, timeout=5)
        begun = time.perf_counter()
        error = allocated(client)
        took.append(time.perf_counter() - begun)
        if error is not None or not refreshed(client, 0):
            refused.append(error)
        client.close()
        time.sleep(0.005)
    took.sort()
    at = lambda share: round(took[min(len(took) - 1, int(len(took) * share))] * 1e6)
    return {"requests": len(took), "refused": refused[:5], "p50_us": at(0.5), "p99_us": at(0.99), "max_us": at(1)}


def rotation(host, seconds, command):
    """New clients with the newest secret, and old ones that refresh with what they have."""
    held, refused, secrets, made, refreshes = [], [], set(), 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        secret = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        secrets.add(secret)
        time.sleep(0.1)  # the way from the application to its client, and from there to the relay
        user = f"{int(time.time()) + 600}:{os.urandom(4).hex()}"
        client = turn_client.Client(host, 3478, user=user, password=turn_client.shared(secret, user), timeout=5)
        error = allocated(client)
        made += 1
        if error is not None:
            refused.append(f"allocate {error}")
        held.append(client)
        for old in held[:: max(1, len(held) // 5)]:
            refreshes += 1
            if not refreshed(old, 600):
                refused.append("refresh")
        if len(held) > 40:
            gone = held.pop(1)  # the first stays for the whole time
            if not refreshed(gone, 0):
                refused.append("release")
            gone.close()
    return {"made": made, "refreshes": refreshes, "secrets": len(secrets), "refused": refused[:5]}


def main():
    what, host, seconds, *rest = sys.argv[1:]
    if what == "latency":
        figures = latency(host, float(seconds), *rest)
    else:
        figures = rotation(host, float(seconds), rest)
    print(json.dumps(figures))
    sys.exit(1 if figures["refused"] else 0)


if __name__ == "__main__":
    main()
