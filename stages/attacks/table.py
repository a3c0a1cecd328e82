"""table.py NAME=DIRECTORY...: what runs of attacks came to, side by side, as rows of Markdown.

DIRECTORY holds the figures of a run (FIGURES of stages/attacks/run). A cell of an attack beside a call:
its p99, what was lost, how much the memory grew, newcomers that were served, and the attack's own
figures."""
import json
import pathlib
import sys

# The figures of attacks that tell something, and how they are written.
TOLD = {
    "guesses_per_second": "{:,} guesses/s",
    "handshakes_per_second": "{:,} handshakes/s",
    "held": "{:,} held",
    "answers_per_second": "{:,} answers/s",
    "allocations_per_second": "{:,} allocations/s",
    "reused": "{:,} ports again",
}


def cell(seen):
    if seen is None:
        return "-"
    if "idle_p99_ms" not in seen:
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in seen.items())
    parts = ["no call" if seen["p99_ms"] is None else f"{seen['p99_ms']:.1f} ms"]
    if seen["lost"]:
        parts.append(f"{seen['lost']} of {seen['sent']} lost")
    before, peak, after = seen["resident_kb"]
    parts.append(f"{(peak - before) / 1024:+.1f} MiB" if after else "gone")
    newcomers = seen["newcomers"]
    if "crowd" in newcomers:
        parts.append(f"{newcomers['crowd']} of 50 heard")
    elif newcomers:
        served = sum(value is not None for value in newcomers.values())
        missing = [name for name, value in newcomers.items() if value is None]
        parts.append(f"{served} of {len(newcomers)} in" + (f", not {' '.join(missing)}" if missing else ""))
    for name, form in TOLD.items():
        if name in seen["attack"]:
            parts.append(form.format(seen["attack"][name]))
    return "; ".join(parts)


def main():
    runs = {}
    for argument in sys.argv[1:]:
        name, _, directory = argument.partition("=")
        runs[name] = {
            path.stem: json.loads(path.read_text().splitlines()[-1])
            for path in pathlib.Path(directory).glob("*.json")
        }
    cases = sorted({case for run in runs.values() for case in run})
    print("| Attack | " + " | ".join(runs) + " |")
    print("|---|" + "---|" * len(runs))
    for case in cases:
        print(f"| {case} | " + " | ".join(cell(run.get(case)) for run in runs.values()) + " |")


main()
