#!/usr/bin/env python3
"""One end of an IP tunnel over UDP, with a slow line in it if asked for.

    tunnel.py --address 10.8.0.1/30 --listen 0.0.0.0:51820
    tunnel.py --address 10.8.0.2/30 --connect 203.0.113.10:51820 [--delay MS] [--jitter MS] [--loss PERCENT]
        [--device NAME] [--device-namespace NAME]

The golden test uses it twice. Between the home and the VPS it stands for the tunnel that publishes
a homeserver at home: the home connects out, so that its NAT lets the answers in. Between a user and
their router it stands for a slow line, as kernels are built without netem often enough.

--delay, --jitter and --loss hold for what this end sends; give them at both ends for both ways.
Packets may overtake each other, as far as the jitter goes. Prints "up" once the device is there;
ends on SIGTERM. Needs root. The socket is in the network namespace that the process is started in,
and so is the device, unless --device-namespace says otherwise.
"""
import argparse
import ctypes
import fcntl
import heapq
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
QUEUE_LIMIT = 2000  # packets under way; a real line has a bound as well
KEEP_ALIVE_SECONDS = 10  # less than a router remembers a UDP flow
MTU = 1400


def endpoint(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="tunnel0")
    parser.add_argument("--device-namespace")
    parser.add_argument("--address", required=True)
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--listen", type=endpoint)
    way.add_argument("--connect", type=endpoint)
    for name in ("--delay", "--jitter", "--loss"):
        parser.add_argument(name, type=float, default=0.0)
    return parser.parse_args()


def open_device(name, address):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", name, "mtu", str(MTU), "up"], check=True)
    subprocess.run(["ip", "address", "add", address, "dev", name], check=True)
    return device


# The sockets that are open already stay where they are.
def enter(namespace):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}", "rb") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter the namespace {namespace}")


class Tunnel:
    def __init__(self, options):
        self.options = options
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        if options.listen:
            self.socket.bind(options.listen)
        if options.device_namespace:
            enter(options.device_namespace)
        self.device = open_device(options.device, options.address)
        self.peer = options.connect  # a listening end learns it from what arrives
        self.queue = []  # (when to send, number, packet)
        self.number = 0
        self.last_sent = 0.0
        self.running = True

    def run(self):
        while self.running:
            select.select([self.device, self.socket], [], [], self.pause())
            self.from_device()
            self.from_socket()
            self.send_due()

    def pause(self):
        if not self.queue:
            return 1.0
        return min(1.0, max(0.0, self.queue[0][0] - time.monotonic()))

    def from_device(self):
        for _ in range(64):
            try:
                packet = os.read(self.device, 65536)
            except BlockingIOError:
                return
            if random.random() * 100 < self.options.loss or len(self.queue) >= QUEUE_LIMIT:
                continue
            jitter = random.uniform(-self.options.jitter, self.options.jitter)
            due = time.monotonic() + (self.options.delay + jitter) / 1000
            self.number += 1
            heapq.heappush(self.queue, (due, self.number, packet))

    def from_socket(self):
        for _ in range(64):
            try:
                packet, sender = self.socket.recvfrom(65536)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if self.options.listen:
                self.peer = sender
            if packet:
                try:
                    os.write(self.device, packet)
                except OSError:
                    pass  # not an IP packet, or the device is going down

    def send_due(self):
        now = time.monotonic()
        while self.queue and self.queue[0][0] <= now:
            self.send(heapq.heappop(self.queue)[2])
        # Empty packets keep the way through the NAT open, and tell the other end of it at first.
        if self.options.connect and now - self.last_sent > KEEP_ALIVE_SECONDS:
            self.send(b"")

    def send(self, packet):
        self.last_sent = time.monotonic()
        if self.peer is None:
            return
        try:
            self.socket.sendto(packet, self.peer)
        except OSError:
            pass  # the other end is not there yet; IP takes loss for granted

    def stop(self, *_):
        self.running = False


def main():
    tunnel = Tunnel(arguments())
    signal.signal(signal.SIGTERM, tunnel.stop)
    signal.signal(signal.SIGINT, tunnel.stop)
    print("up", flush=True)
    tunnel.run()


if __name__ == "__main__":
    sys.exit(main())
