"""A call, newcomers and the server's memory beside an attack, held against what is promised.

beside.py [options] NAME ATTACK [ARGUMENT...]

The call has 100 packets a second there and back. It is measured alone, then with the attack; the
attack goes on until call and newcomers are done. ATTACK is a script of this directory or a program; it
prints "begun" when it is in full force, and ends on SIGTERM with a line of JSON. Prints what was seen
and writes it to FIGURES/NAME.json. Status: 0 all is met, 2 only delay or loss is not (what another try
on a noisy machine may mend), 1 something else."""
import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
IDLE_SECONDS = 2
# Milliseconds that the call's 99th percentile may always have, and how many times the idle one.
ALWAYS_MS = 10
TIMES = 3
# Kilobytes: more during the attack, and afterwards, within so many seconds.
MORE_KB = 16 * 1024
KEPT_KB = 4 * 1024
AFTERWARDS = 60
NOT_JUDGED = 5
# A burst at the start of an attack is part of it; so long newcomers wait for it to begin.
LONGEST_START = 10
PROGRAM_START = 2


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pid", type=int, required=True, help="the server's")
    parser.add_argument("--figures", type=pathlib.Path, required=True)
    parser.add_argument("--measure", action="store_true", help="judge nothing")
    parser.add_argument("--seconds", type=int, default=5, help="of the call beside the attack")
    parser.add_argument("--newcomers", default="udp,tcp,tls,dtls", help="transports, or crowd, or none")
    parser.add_argument("--crowd", type=int, default=48, help="how many of the crowd must be heard")
    parser.add_argument("--most", action="append", default=[], metavar="FIGURE=NUMBER|FIGURE")
    parser.add_argument("--least", action="append", default=[], metavar="FIGURE=NUMBER")
    parser.add_argument("name")
    parser.add_argument("attack", nargs=argparse.REMAINDER)
    return parser.parse_args()


def among_strangers(*command, **options):
    """A process in the strangers' namespace, begun."""
    return subprocess.Popen(
        ["ip", "netns", "exec", os.environ["STRANGERS"], *command],
        **{"stdout": subprocess.PIPE, "text": True, **options},
    )


def python(script, *rest):
    return [sys.executable, "-B", str(HERE / script), *rest]


def call(seconds):
    """The call, begun; its figures are a line of JSON."""
    server = os.environ["ATTACKED"]
    environment = {**os.environ, "TURNCTL_PASSWORD": os.environ["ATTACK_PASSWORD"]}
    return among_strangers(
        "nice", "-n", "-10", os.environ["TURNCTL"], "bench", f"turn:{server}:3478",
        "--user", "alice", "--flows", "1", "--rate", "100", "--seconds", str(seconds), "--json",
        env=environment,
    )  # fmt: skip


def last_json(text):
    """The last line that is an object; nothing where there is none."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    return {}


def resident(pid):
    """In kilobytes; 0 where the server has gone."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def run(options):
    """All that was seen, as one object."""
    idle = last_json(call(IDLE_SECONDS).communicate()[0])
    before = resident(options.pid)
    beside = call(options.seconds)
    time.sleep(1.0)
    with tempfile.TemporaryFile("w+") as output:
        command = options.attack
        if command[0].endswith(".py"):
            command = python(*command)
        # Attacks come from other machines: they take no processor from the server.
        attack = among_strangers("nice", "-n", "10", *command, stdout=output)
        peak, newcomers = watch(options, beside, output)
        attack.terminate()
        status = attack.wait()
        output.seek(0)
        attacked = last_json(output.read())
    # The program of a flood knows no SIGTERM.
    if status not in (0, -signal.SIGTERM):
        attacked["failed"] = status
    within = time.monotonic() + (NOT_JUDGED if options.measure else AFTERWARDS)
    while (after := resident(options.pid)) > before + KEPT_KB and time.monotonic() < within:
        time.sleep(0.2)
    called = last_json(beside.communicate()[0])
    return {
        "idle_p99_ms": milliseconds(idle),
        "p50_ms": milliseconds(called, "p50"),
        "p99_ms": milliseconds(called),
        "max_ms": milliseconds(called, "max"),
        "sent": called.get("sent"),
        "lost": called.get("lost"),
        "resident_kb": [before, max(before, peak), after],
        "newcomers": newcomers,
        "attack": attacked,
    }


def watch(options, beside, output):
    """Until the call is over and the newcomers are done: the most memory, and how these fared."""
    peak, newcomers, waiting = 0, None, options.newcomers != "none"
    # Programs do not say when they have begun.
    scripted = options.attack[0].endswith(".py")
    deadline = time.monotonic() + (LONGEST_START if scripted else PROGRAM_START)
    while beside.poll() is None or waiting or (newcomers and newcomers.poll() is None):
        peak = max(peak, resident(options.pid))
        if waiting and (has_begun(output) or time.monotonic() > deadline):
            waiting = False
            time.sleep(0.5)
            who = options.newcomers.split(",")
            newcomers = among_strangers(*python("newcomers.py", *who))
        time.sleep(0.05)
    return peak, last_json(newcomers.communicate()[0]) if newcomers else {}


def has_begun(output):
    """Whether the attack says that it is in full force."""
    return os.pread(output.fileno(), 5, 0) == b"begun"


def milliseconds(figures, which="p99"):
    value = figures.get(f"latency_{which}_us")
    return None if value is None else round(value / 1000, 2)


class Verdict:
    """Says what is met; `status` is what comes of it."""

    def __init__(self):
        self.status = 0

    def holds(self, what, met, seen, by_noise=False):
        print(f"{'met' if met else 'NOT MET'}: {what} ({seen})")
        if not met and self.status != 1:
            self.status = 2 if by_noise else 1


def judge(seen, options):
    verdict = Verdict()
    idle, p99 = seen["idle_p99_ms"], seen["p99_ms"]
    bound = max(ALWAYS_MS, TIMES * (idle or 0))
    measured = idle is not None and p99 is not None
    verdict.holds(
        f"p99 of the call is at most {bound:.1f} ms", measured and p99 <= bound,
        f"{idle} ms alone, {p99} ms beside", by_noise=True,
    )  # fmt: skip
    verdict.holds("no packet is lost", seen["lost"] == 0, f"{seen['lost']} of {seen['sent']}", by_noise=True)
    before, peak, after = seen["resident_kb"]
    verdict.holds("the server is alive", after > 0, f"{after} kB")
    verdict.holds("memory grows by at most 16 MiB", peak - before <= MORE_KB, f"{before} kB, {peak} kB")
    verdict.holds("and is back within a minute", after - before <= KEPT_KB, f"{after} kB")
    for name, value in seen["newcomers"].items():
        if name == "crowd":
            met = value >= options.crowd
            verdict.holds(f"at least {options.crowd} of 50 newcomers are heard", met, value)
        else:
            met = value is not None
            verdict.holds(f"a newcomer over {name} is served within 10 s", met, f"{value} s")
    if not seen["newcomers"] and options.newcomers != "none":
        verdict.holds("the newcomers have tried", False, "no figures")
    attack = seen["attack"]
    verdict.holds("the attack has run", "failed" not in attack, attack.get("failed", "yes"))
    for bound in options.least:
        name, limit = bound.split("=")
        verdict.holds(f"{name} at least {limit}", attack.get(name, 0) >= float(limit), attack.get(name))
    for bound in options.most:
        name, limit = bound.split("=")
        most = attack.get(limit) if limit in attack else float(limit) if limit[0].isdigit() else None
        value = attack.get(name)
        met = value is not None and most is not None and value <= most
        verdict.holds(f"{name} at most {limit}", met, f"{value}, {most}")
    return verdict.status


def main():
    options = arguments()
    seen = run(options)
    print(json.dumps(seen))
    options.figures.mkdir(parents=True, exist_ok=True)
    (options.figures / f"{options.name}.json").write_text(json.dumps(seen) + "\n")
    sys.exit(0 if options.measure else judge(seen, options))


main()
