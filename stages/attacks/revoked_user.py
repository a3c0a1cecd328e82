"""revoked_user.py PID CONFIGURATION: mallory has an allocation, is taken out of the configuration, and
the server reloads. What goes on after two seconds?"""
import json
import os
import pathlib
import re
import signal
import sys
import time

import turn


def succeeded(answer):
    return int(answer is not None and answer.succeeded)


def main():
    pid, configuration = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    client = turn.Client(turn.Udp(turn.ATTACKER, patience=3.0), "mallory")
    before = succeeded(client.allocate())
    text = configuration.read_text()
    configuration.write_text(re.sub(r',? *"mallory:[^"]*"', "", text))
    os.kill(pid, signal.SIGHUP)
    time.sleep(2)
    another = turn.Client(turn.Udp(turn.ATTACKER, patience=3.0), "mallory")
    print(json.dumps({
        "allocated": before,
        "logs_in": succeeded(another.allocate()),
        "refreshes": succeeded(client.refresh(3600)),
        "gets_a_peer": succeeded(client.permit("8.8.8.8")),
    }))  # fmt: skip


main()
