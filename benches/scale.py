#!/usr/bin/env python3
"""What a gateway holds in memory, and how fast it starts, as users, tokens and revocations grow.

The release binary on a SQLite file that is filled before: resident memory at the start, with 10,000 to 1,000,000 tokens
that were seen, with as many revocations; and the time from the start of the process to its readiness. The tokens are
asked for one by one on a route that only staff may use: each is answered 403, so each was proved, and is kept.
The result is printed and kept in benches/results/.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from filled import Gateway  # noqa: E402
from report import keep  # noqa: E402
from servers import Trouble, end_on_signals  # noqa: E402
from subject import binary  # noqa: E402

STARTS = 5


def mib(count):
    return round(count / 2**20, 1)


def cached(program, folder, users, steps):
    """Resident memory after each step of tokens; bytes a token between the first step and the last."""
    found = {}
    with Gateway(program, folder, steps[-1]).fill(users, tokens=steps[-1]) as gateway:
        found["at the start, MiB"] = mib(gateway.resident())
        known = []
        for before, step in zip([0, *steps], steps):
            gateway.show(before, step)
            known.append(gateway.resident())
            found[f"{step} tokens seen, MiB"] = mib(known[-1])
        entries = gateway.metric("portcullis_token_cache_entries")
        found["entries at the end"] = int(entries)
        if entries:
            found["bytes a token"] = round((known[-1] - known[0]) / (entries - steps[0]))
    return found


def revoked(program, folder, users, count):
    """Started several times on the same file; the figures but the times are the last one's."""
    gateway, starts = Gateway(program, folder, 1000).fill(users, revocations=count), []
    for _ in range(STARTS):
        with gateway:
            starts.append(gateway.ready_ms)
            found = {"MiB": mib(gateway.resident()), "entries": int(gateway.metric("portcullis_revocation_set_entries"))}
    return {"ready_ms": statistics.median(starts), "ready_ms, each start": starts, **found}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000, help="tokens, users and revocations (default 1,000,000)")
    parser.add_argument("--only-start", action="store_true", help="no tokens: the times of the start only")
    given = parser.parse_args()
    most = given.most
    end_on_signals()
    program = binary("release")
    steps = [step for step in (10_000, 100_000) if step < most] + [most]
    results = {}
    with tempfile.TemporaryDirectory(prefix="portcullis-scale-") as folder:
        place = Path(folder)
        if not given.only_start:
            results["tokens of 1,000 users"] = cached(program, place / "few", 1000, steps)
            results["tokens of as many users"] = cached(program, place / "many", most, steps)
        none = revoked(program, place / "none", 1000, 0)
        results["no revocations"] = none
        for count in sorted({most // 10, most}):
            found = revoked(program, place / f"revoked-{count}", most, count)
            found["bytes a revocation"] = round((found["MiB"] - none["MiB"]) * 2**20 / max(found["entries"], 1))
            results[f"{count} revocations, {most} users"] = found
    for name, found in results.items():
        print(name)
        for what, figure in found.items():
            print(f"    {what:28} {figure}")
    only = " --only-start" if given.only_start else ""
    keep("start" if only else "scale", f"benches/scale.py --most {most}{only}", results)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"scale: {trouble}")
