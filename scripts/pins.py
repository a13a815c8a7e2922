"""Where packages from PyPI and npm are installed: a folder for each set of pins. `scripts/setup` fills it.

    python3 scripts/pins.py          prints the folder of what the measurements pin (benches/requirements.txt)
"""

import hashlib
import os
import platform
import sys
from pathlib import Path

from servers import Trouble

BENCHES = Path(__file__).resolve().parent.parent / "benches"


def folder(pins, variable, name, prefix=""):
    """A folder for these pins under this Python: other pins are other folders."""
    digest = hashlib.sha256(platform.python_version().encode())
    for file in pins:
        digest.update(file.read_bytes())
    base = os.environ.get(variable) or Path.home() / ".cache" / name
    return Path(base).absolute() / f"{prefix}{digest.hexdigest()[:16]}"


def tools_folder(pins, prefix):
    return folder(pins, "PORTCULLIS_TOOLS", "portcullis-tools", prefix)


def bench_folder():
    return tools_folder([BENCHES / "requirements.txt"], "bench-")


def go_on_with(place, goal):
    """Begins the program anew under the Python that has the packages of this folder, unless it is that one."""
    if not (place / "complete").exists():
        raise Trouble(f"nothing is installed in {place}: run scripts/setup {goal}")
    python = place / "venv" / "bin" / "python"
    if Path(sys.prefix) != place / "venv":
        os.execv(python, [str(python), *sys.argv])


if __name__ == "__main__":
    print(bench_folder())
