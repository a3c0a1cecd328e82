"""half_requests.py SECONDS: halves of HTTP requests to the metrics, 64 at a time and opened again when
they are closed; meanwhile /live is asked twice a second and must answer within two. In the server's
own namespace."""
import json
import socket
import sys
import time

ADMIN = ("127.0.0.1", 9641)
AT_A_TIME = 64


def half():
    stream = socket.create_connection(ADMIN, timeout=0.2)
    stream.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n")
    stream.setblocking(False)
    return stream


def live():
    """How long /live took; None where it did not answer."""
    began = time.monotonic()
    try:
        with socket.create_connection(ADMIN, timeout=2.0) as stream:
            stream.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = stream.recv(4096)
    except OSError:
        return None
    return time.monotonic() - began if answer.startswith(b"HTTP/1.1 200") else None


def main():
    end = time.monotonic() + float(sys.argv[1])
    halves, took = [], []
    while time.monotonic() < end:
        try:
            while len(halves) < AT_A_TIME:
                halves.append(half())
        except OSError:
            pass
        took.append(live())
        for stream in list(halves):
            try:
                if stream.recv(1) == b"":
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                pass
            stream.close()
            halves.remove(stream)
        time.sleep(0.5)
    answered = [seconds for seconds in took if seconds is not None]
    print(json.dumps({
        "asked": len(took),
        "unanswered": len(took) - len(answered),
        "longest_ms": round(max(answered, default=0) * 1000),
    }))  # fmt: skip


main()
