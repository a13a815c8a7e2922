#!/usr/bin/env python3
"""Draws the results that are kept as pictures for docs/PERFORMANCE.md.

    benches/plots.py                    from the newest file of each kind below benches/results
    benches/plots.py --results FOLDER   from one folder of it

CPU per request by subject (results.json of compare/run.py), the curves (curves.json), memory over the soak (soak.json),
waits beside a flood of logins (logins-*.json). What there are no results of is not drawn. The same results give the same
bytes. Needs what `scripts/setup bench` installs.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

import pins  # noqa: E402
from servers import Trouble  # noqa: E402

SHOWN = {"plain": "no check", "hs256_many": "JWT HS256", "rs256_many": "JWT RS256", "es256_many": "JWT ES256", "opaque_many": "opaque token",
         "bad_hs256": "forged HS256", "bad_rs256": "forged RS256", "bad_opaque": "unknown opaque token", "h2c": "HTTP/2", "tls_keep": "TLS 1.3"}
OURS, FLOOR, OTHERS = "#2b6cb0", "#718096", "#cbd5e0"
COLUMNS = 2


def newest(folder, pattern):
    """The contents of the file whose folder is named by the latest day."""
    found = sorted(folder.rglob(pattern), key=lambda file: (file.parent.name, file.name))
    return json.loads(found[-1].read_text()) if found else None


def grid(plt, count, height):
    rows = (count + COLUMNS - 1) // COLUMNS
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(9, height * rows), squeeze=False, layout="constrained")
    axes = list(axes.flat)
    for spare in axes[count:]:
        spare.axis("off")
    return figure, axes


def bars(plt, found):
    """CPU per request with helpers, a panel for each kind of request."""
    kinds = [kind for kind in SHOWN if any(isinstance(rounds, list) and rounds for rounds in found["results"].get(kind, {}).values())]
    figure, axes = grid(plt, len(kinds), 2.2)
    for axis, kind in zip(axes, kinds):
        cost = {subject: statistics.median(one["all_us"] for one in rounds)
                for subject, rounds in found["results"][kind].items() if isinstance(rounds, list) and rounds}
        subjects = sorted(cost, key=cost.get, reverse=True)
        colors = [OURS if subject.startswith("portcullis") else FLOOR if subject == "floor" else OTHERS for subject in subjects]
        drawn = axis.barh(subjects, [cost[subject] for subject in subjects], color=colors)
        axis.bar_label(drawn, fmt="%.1f", padding=3, fontsize=8)
        axis.margins(x=0.12)
        axis.set_title(SHOWN[kind], fontsize=10)
        axis.tick_params(labelsize=8)
    figure.supxlabel("CPU, microseconds per request (with the helpers that are asked)", fontsize=9)
    return figure


def curves(plt, found):
    """CPU per request over the amount, a panel for each amount that grows."""
    figure, axes = grid(plt, len(found["results"]), 3)
    for axis, (name, sizes) in zip(axes, found["results"].items()):
        for kind in dict.fromkeys(kind for about in sizes.values() for kind in about["cpu_us"]):
            known = [(int(size), about["cpu_us"][kind]) for size, about in sizes.items() if kind in about["cpu_us"]]
            middle = [statistics.median(rounds) for _, rounds in known]
            off = [[at - min(rounds) for at, (_, rounds) in zip(middle, known)], [max(rounds) - at for at, (_, rounds) in zip(middle, known)]]
            axis.errorbar([size for size, _ in known], middle, yerr=off, marker="o", markersize=4, capsize=3, linewidth=1.2, label=kind)
        axis.set_xscale("log")
        axis.set_xticks([int(size) for size in sizes], [f"{int(size):,}" for size in sizes])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel(name, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.legend(fontsize=7, loc="lower right")
    figure.supylabel("CPU, microseconds per request; bars: all rounds", fontsize=9)
    return figure


def soak(plt, found):
    figure, axis = plt.subplots(figsize=(9, 3), layout="constrained")
    axis.plot([at / 60 for at, _ in found["results"]["samples"]], [mib for _, mib in found["results"]["samples"]], color=OURS, linewidth=1)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("minutes", fontsize=9)
    axis.set_ylabel("resident memory, MiB", fontsize=9)
    return figure


def logins(plt, found):
    """Waits at a fixed rate, quiet and beside the flood."""
    median = found["results"]["median"]
    figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
    for shift, (kind, color) in zip((-0.2, 0.2), (("quiet", OTHERS), ("beside the flood", OURS))):
        drawn = axis.bar([0 + shift, 1 + shift], [median[what][kind] for what in ("p50_us", "p99_us")], 0.4, color=color, label=kind)
        axis.bar_label(drawn, fmt="%.0f", padding=2, fontsize=8)
    axis.set_xticks([0, 1], ["median", "99th percentile"])
    axis.set_ylabel("microseconds", fontsize=9)
    axis.legend(fontsize=8)
    return figure


DRAWN = {"cpu-by-subject": ("results.json", bars), "curves": ("curves.json", curves), "soak": ("soak.json", soak), "logins": ("logins-*.json", logins)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "plots")
    given = parser.parse_args()
    pins.go_on_with(pins.bench_folder(), "bench")
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    # Neither the day nor chance in the files; text stays text.
    plt.rcParams.update({"svg.hashsalt": "portcullis", "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False})
    given.out.mkdir(parents=True, exist_ok=True)
    for name, (pattern, draw) in DRAWN.items():
        found = newest(given.results, pattern)
        if found is None:
            print(f"{name}: no {pattern} below {given.results.name}")
            continue
        figure = draw(plt, found)
        file = given.out / f"{name}.svg"
        figure.savefig(file, metadata={"Date": None})
        # It ends some lines with a space.
        file.write_text("".join(line.rstrip() + "\n" for line in file.read_text().splitlines()))
        print(f"{name}: {file.name}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"plots: {trouble}")
