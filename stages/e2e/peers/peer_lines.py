"""What the peers written in Python have in common: see README.md for the lines they are driven by."""
import asyncio
import json
import sys

PING, ECHO = "ping", "echo"
CHANNEL = "e2e"
MESSAGE_BYTES = 1000

# Of sys.argv: {"ca": FILE} is for the environment variable SSL_CERT_FILE, which call.mjs sets.
OPTIONS = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}


def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def echo_of(text):
    """The answer that a message deserves, or None."""
    return ECHO + text[len(PING):] if text.startswith(PING) else None


def pings(count):
    return [f"{PING}{number}".ljust(MESSAGE_BYTES, ".") for number in range(count)]


async def answer(peer, line):
    message = json.loads(line)
    try:
        result = getattr(peer, message["call"])(*message["arguments"])
        if asyncio.iscoroutine(result):
            result = await result
        send({"id": message["id"], "result": result})
    except Exception as error:  # whatever it is, the other side has to hear of it
        send({"id": message["id"], "error": repr(error)})


async def serve(version, peer):
    """Answers calls until standard input ends."""
    send({"ready": version})
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        await answer(peer, line)


def empty_report(state, pair, echoes, candidates):
    return {
        "state": state,
        "pair": pair,
        "videoFramesDecoded": 0,
        "videoPacketsLost": 0,
        "audioPacketsReceived": 0,
        "echoesReceived": echoes,
        "candidates": candidates,
        "candidateErrors": [],
    }
