"""Keeps what a measurement found, with machine, day, commit and command, in benches/results/."""

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def keep(name, command, results):
    """Writes `results/<day>-<machine>/<name>.json`."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    report = {"command": command, "commit": commit, "machine": platform.machine(), "cpus": os.cpu_count(),
              "load": os.getloadavg(), "results": results}
    folder = ROOT / "benches" / "results" / f"{datetime.date.today().isoformat()}-{os.cpu_count()}cpu-{platform.machine()}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n")
