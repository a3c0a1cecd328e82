"""The server under test, and calls through it. What is started, and where, is in the environment."""
import json
import os
import signal
import subprocess
import time

from host import PREFIX, programs, udp
from turn_client import PEERS, SERVERS, Client

DIR = os.environ["KERNEL_DIR"]
TACITURN, TURNCTL = os.environ["TACITURN"], os.environ["TURNCTL"]
NOBODY = 65534
# A variable that begins like those of the server's keys would be one of them.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("TACITURN")}


def configuration(mode="tc", more="", limits=""):
    return f"""
realm = "kernel.test"
external_ip = ["{SERVERS[4]}", "{SERVERS[6]}"]
state_dir = "{DIR}/state"
workers = 2

[auth]
users = ["alice:{os.environ['KERNEL_PASSWORD']}"]

[limits]
{limits}

[peers]
allow = ["198.51.100.0/24", "2001:db8::/32", "203.0.113.10"]

[process]
sandbox = true

[kernel_relay]
mode = "{mode}"
{more if "pins" in more else 'pins = "off"' + chr(10) + more}

[[listen]]
transport = "udp"
address = "[::]:3478"
"""


class Server:
    """A server in its namespace; `prefix` is what it is started by."""

    def __init__(self, text, prefix=(), more=()):
        os.makedirs(f"{DIR}/state", exist_ok=True)
        os.chmod(DIR, 0o755)
        self.write(text)
        self.log = open(f"{DIR}/server.log", "ab")
        self.begins = self.log.tell()
        command = ["ip", "netns", "exec", f"{PREFIX}-server", *prefix, TACITURN, "--config", f"{DIR}/taciturn.toml", *more]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, env=CLEAN)
        until(lambda: "is ready" in self.said() or self.process.poll() is not None, 15, "the server is ready")
        if self.process.poll() is not None:
            raise AssertionError(self.said())

    def write(self, text):
        with open(f"{DIR}/taciturn.toml", "w") as file:
            file.write(text)
        os.chmod(f"{DIR}/taciturn.toml", 0o644)

    def said(self):
        with open(f"{DIR}/server.log", "rb") as file:
            file.seek(self.begins)
            return file.read().decode()

    def ctl(self, *arguments):
        command = ["ip", "netns", "exec", f"{PREFIX}-server", TURNCTL, *arguments, "--socket", f"{DIR}/state/control.sock"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=CLEAN)
        if done.returncode != 0:
            raise AssertionError(f"turnctl {arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def last_line(self, *arguments):
        return json.loads(self.ctl(*arguments, "--json").strip().splitlines()[-1])

    def kernel(self):
        return self.last_line("status")["result"]["status"].get("kernel_relay")

    def sessions(self):
        lines = [json.loads(line) for line in self.ctl("sessions", "--json").strip().splitlines()]
        return [line["session"] for line in lines if "session" in line]

    def traffic(self):
        """What each session has relayed."""
        names = ("bytes_to_peers", "bytes_to_clients", "packets_to_peers", "packets_to_clients")
        return [{name: session[name] for name in names} for session in self.sessions()]

    def metrics(self):
        command = ["ip", "netns", "exec", f"{PREFIX}-server", "curl", "--silent", "http://127.0.0.1:9641/metrics"]
        text = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[:1] != "#"}

    def stop(self, by=signal.SIGTERM):
        self.process.send_signal(by)
        self.process.wait(15)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def until(is_so, seconds, what):
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            with open(f"{DIR}/server.log") as file:
                print(file.read()[-4000:])
            raise AssertionError(f"never: {what}")
        time.sleep(0.05)


def equal(found, expected, what):
    print(f"{what}: {found}")
    if found != expected:
        raise AssertionError(f"{what}: {found}, not {expected}")



class Call:
    """A client that has a channel with a peer."""

    def __init__(self, family=4, channel=0x4001, client=None, port=0):
        self.client = client or Client(family)
        self.family, self.channel = family, channel
        self.peer = udp("peer", PEERS[family], port)
        self.client.bind(channel, self.peer.getsockname())

    def relay(self, packets, size=172, padded=False):
        """So many packets each way, in turns; each has to arrive."""
        for number in range(packets):
            data = number.to_bytes(4, "big") + os.urandom(size - 4)
            self.client.send(self.channel, data, padded)
            received, source = self.peer.recvfrom(65536)
            if received != data or source[:2] != self.client.relayed:
                raise AssertionError(f"packet {number} to the peer: {len(received)} bytes from {source}")
            self.peer.sendto(data, self.client.relayed)
            if self.client.receive(self.channel) != data:
                raise AssertionError(f"packet {number} to the client")

    def is_silent(self):
        """Whether nothing is relayed any more, in either direction."""
        self.peer.settimeout(0.5)
        self.client.socket.settimeout(0.5)
        self.client.send(self.channel, b"up")
        self.peer.sendto(b"down", self.client.relayed)
        try:
            self.peer.recv(100)
            return False
        except TimeoutError:
            return self.client.receive(self.channel) is None


def by_kernel(server):
    return server.kernel()["relayed_packets"]


def programs_now():
    return [programs("server", device) for device in ("s0", "s1")]
