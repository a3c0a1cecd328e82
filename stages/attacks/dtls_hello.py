"""ClientHellos of DTLS 1.2 (RFC 6347), and what comes back, byte by byte."""
import os
import struct

HANDSHAKE = 22
SERVER_HELLO, HELLO_VERIFY_REQUEST = 2, 3
# Ends a handshake: fatal, handshake_failure.
ALERT = b"\x15\xfe\xfd" + struct.pack("!HIHH", 0, 0, 2, 2) + b"\2\x28"

# Curve, point format, signatures, extended master secret, renegotiation.
EXTENSIONS = (
    struct.pack("!HHHH", 10, 4, 2, 23)
    + struct.pack("!HHBB", 11, 2, 1, 0)
    + struct.pack("!HHH", 13, 8, 6) + b"\4\1\4\3\x08\x04"
    + struct.pack("!HH", 23, 0)
    + struct.pack("!HHB", 0xFF01, 1, 0)
)  # fmt: skip


def client_hello(cookie=b""):
    """The first one, or the second with the cookie of the answer to the first."""
    sequence = 1 if cookie else 0
    body = b"\xfe\xfd" + os.urandom(32) + b"\0" + bytes([len(cookie)]) + cookie
    # ECDHE with RSA or ECDSA.
    body += struct.pack("!HHH", 4, 0xC02F, 0xC02B) + b"\1\0"
    if cookie:
        body += struct.pack("!H", len(EXTENSIONS)) + EXTENSIONS
    length = struct.pack("!I", len(body))[1:]
    fragment = b"\1" + length + struct.pack("!H", sequence) + b"\0\0\0" + length + body
    return (
        b"\x16\xfe\xff"
        + struct.pack("!HIH", 0, 0, sequence)
        + struct.pack("!H", len(fragment))
        + fragment
    )


def handshake_type(datagram):
    """The type of the handshake message that a datagram begins with."""
    return datagram[13] if len(datagram) > 13 and datagram[0] == HANDSHAKE else None


def cookie_of(datagram):
    return datagram[28 : 28 + datagram[27]]
