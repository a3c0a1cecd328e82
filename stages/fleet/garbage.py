"""100,000 messages on the channels of a fleet that are none: of all lengths, some with a good beginning. Commands for
`redis-cli`, on standard output."""
import os
import sys


def publish(channel, message):
    parts = [b"PUBLISH", channel, message]
    words = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    sys.stdout.buffer.write(b"*%d\r\n%s" % (len(parts), words))


for n in range(100_000):
    length = 100_000 if n % 1000 == 0 else n % 700
    head = b"\x01" + bytes(16) + b"\x01b" if n % 2 else b""
    publish(b"turn:counts" if n % 10 else b"turn:other", head + os.urandom(length))
