"""What every attack has in common: it goes on until it is told to end, and says what it came to."""
import json
import resource
import signal
import sys
import time

# By itself it ends after so many seconds.
LONGEST = 40.0

_started = time.monotonic()
_told = False


def _end(_signal, _frame):
    global _told
    _told = True


signal.signal(signal.SIGTERM, _end)


def goes_on():
    return not _told and elapsed() < LONGEST


def elapsed():
    return time.monotonic() - _started


def begun():
    """The attack is in full force: newcomers may try now. Its time is counted from the first call."""
    global _started
    if not _begun:
        _begun.append(True)
        _started = time.monotonic()
        print("begun", flush=True)


_begun = []


def report(**figures):
    """One line of JSON; `seconds` is how long the attack took."""
    print(json.dumps({"seconds": round(elapsed(), 2), **figures}))
    sys.stdout.flush()


def allow_many_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
