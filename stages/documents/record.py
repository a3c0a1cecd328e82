#!/usr/bin/env python3
"""record.py CAST: makes the recording of the first call, an asciinema cast (version 2), inside stages/documents/sandbox.

The programs run as they do for people, in terminals of 80 columns; only the typing is made up. The secret of the
server and the machine's address are replaced, each by a text of the same length.
"""

import codecs
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import fcntl

COLUMNS, ROWS = 80, 36
# No address of a documentation range would be taken for public.
SHOWN = {os.environ["ADDRESS"]: "203.0.113.7", os.environ["NEIGHBOUR"]: "203.0.113.1"}
SECRET = re.compile(r'(turn_shared_secret: ")([A-Za-z0-9]{48})"')
SHOWN_SECRET = "gBtcqamV3MUy49YE7OWCVBWYi1Gf33xcttHkzkwNCqHULxIw"
PROMPT = "\x1b[1;32m$\x1b[0m "
KEY, PAUSE, READING = 0.04, 0.6, 4.0
PATIENCE = 60


class Cast:
    def __init__(self):
        self.now = 0.0
        self.events = []

    def show(self, text, after=0.0):
        self.now += after
        for real, shown in SHOWN.items():
            text = text.replace(real, shown)
        text = SECRET.sub(rf'\g<1>{SHOWN_SECRET}"', text)
        self.events.append([round(self.now, 3), "o", text])

    def typed(self, command):
        self.show(PROMPT, PAUSE)
        for key in command:
            self.show(key, KEY)
        self.show("\r\n", PAUSE)

    def scene(self, comment):
        self.show("\x1b[2J\x1b[H", 0.0)
        self.show(f"\x1b[2m# {comment}\x1b[0m\r\n")

    def write(self, path):
        header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "taciturn: the first call",
                  "env": {"TERM": "xterm-256color", "SHELL": "/bin/bash"}}
        with open(path, "w", encoding="utf-8") as file:
            for line in [header, *self.events]:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def started(command):
    """The process, and its terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                               env={**environment, "TERM": "xterm-256color"})
    os.close(theirs)
    return process, ours


def follow(cast, process, terminal, until=None):
    """Records what is printed, line by line, until the process ends or a line has `until` in it."""
    begin, text = time.monotonic(), ""
    # A letter may arrive in two parts.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    last = begin
    while time.monotonic() - begin < PATIENCE:
        ready, _, _ = select.select([terminal], [], [], 0.3)
        try:
            read = os.read(terminal, 65536) if ready else b""
        except OSError:
            read = b""
        text += decoder.decode(read)
        whole, _, text = text.rpartition("\n") if "\n" in text else ("", "", text)
        if whole:
            now = time.monotonic()
            cast.show(whole + "\n", now - last)
            last = now
            if until and until in whole:
                return
        elif not read and process.poll() is not None:
            return
    sys.exit(f"{process.args} printed too little in {PATIENCE} s")


def main(path):
    cast = Cast()
    cast.scene("On the server: nothing is configured.")
    cast.typed("taciturn")
    server, terminal = started(["taciturn"])
    follow(cast, server, terminal, until="turnctl doctor")
    cast.show("", READING)
    cast.scene("In the network of somebody who will call.")
    # The usual way there is to copy it.
    cast.typed("turnctl check turn:203.0.113.7 --secret-file turn_secret")
    secret = "/var/lib/taciturn/turn_secret"
    check, screen = started(["ip", "netns", "exec", "neighbour", "turnctl", "check",
                             "turn:" + os.environ["ADDRESS"], "--secret-file", secret])
    follow(cast, check, screen)
    cast.show("", READING)
    server.send_signal(signal.SIGTERM)
    server.wait(timeout=PATIENCE)
    cast.write(path)
    if check.returncode > 1:
        sys.exit(f"turnctl check ended with {check.returncode}")


main(sys.argv[1])
