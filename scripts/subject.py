"""The real binary as the subject of a test kit: built, configured, started, watched, stopped.

Knows the commands and settings of the contract. It must not know what a kit looks at.
"""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import redaction
from servers import Trouble, last_lines, stop, wait_until

ROOT = Path(__file__).resolve().parent.parent

# As cheap as argon2 gets: the kits log in thousands of times and do not judge the hash.
CHEAP_HASH = {"memory_kib": 8, "iterations": 1, "parallelism": 1}


def binary(profile="dev"):
    """Builds the binary and tells where it is. PORTCULLIS_BIN names one that is built already."""
    if given := os.environ.get("PORTCULLIS_BIN"):
        return Path(given).resolve()
    command = ["cargo", "build", "--locked", "--bin", "portcullis", "--profile", profile]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise Trouble("the binary does not build")
    metadata = subprocess.run(["cargo", "metadata", "--no-deps", "--locked", "--format-version", "1"],
                              cwd=ROOT, capture_output=True, check=True)
    target = Path(json.loads(metadata.stdout)["target_directory"])
    return target / ("debug" if profile == "dev" else profile) / "portcullis"


def settings(folder, port, telemetry_port, mail_port=None):
    """What every kit needs: one SQLite file, loopback, cheap hashes, no waiting at the end."""
    return {
        "server": {"listen": [f"127.0.0.1:{port}"], "telemetry_listen": f"127.0.0.1:{telemetry_port}",
                   "shutdown_delay": "0s", "drain_timeout": "5s"},
        "database": {"url": f"sqlite://{folder}/portcullis.db"},
        "mail": {"url": f"smtp://127.0.0.1:{mail_port}" if mail_port else "log:",
                 "from": "noreply@portcullis.test"},
        "accounts": {"registration": "open", "argon2": CHEAP_HASH},
        "limits": {"throttling": False},
    }


def merge(base, changes):
    """`changes` over `base`, section by section; neither is touched."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def to_toml(value, path=()):
    """Enough of TOML for our settings: tables, arrays of tables, inline values."""
    plain = {k: v for k, v in value.items() if not is_table(k, v) and not is_table_array(v)}
    lines = [f"{k} = {inline(v)}" for k, v in plain.items()]
    for k, v in value.items():
        name = ".".join((*path, k))
        if is_table(k, v):
            lines += ["", f"[{name}]", to_toml(v, (*path, k))]
        elif is_table_array(v):
            for one in v:
                lines += ["", f"[[{name}]]", to_toml(one, (*path, k))]
    return "\n".join(lines)


def is_table(key, value):
    return isinstance(value, dict) and key != "argon2"


def is_table_array(value):
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def inline(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {inline(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


class Gateway:
    """`portcullis serve` on a configuration of its own, from ready to stopped."""

    def __init__(self, program, folder, config):
        self.program, self.folder = program, Path(folder)
        self.telemetry = config["server"]["telemetry_listen"]
        self.log = self.folder / "gateway.log"
        self.file = self.folder / "portcullis.toml"
        self.file.write_text(to_toml(config) + "\n")
        redaction.used(self.file.read_text())
        self.process = None

    def command(self, *arguments, given=""):
        """Runs another command on the same configuration."""
        done = subprocess.run([self.program, *arguments, "--config", self.file], input=given, text=True,
                              capture_output=True, timeout=60)
        redaction.said("shell", done.stdout + done.stderr)
        if done.returncode != 0:
            raise Trouble(f"portcullis {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def create_user(self, username, email, password, *, staff=False, active=True):
        flags = (["--staff"] if staff else []) + ([] if active else ["--inactive"])
        flags.append("--no-password" if password is None else "--password-stdin")
        redaction.used(json.dumps({"password": password}))
        self.command("user", "create", username, "--email", email, *flags, given=(password or "") + "\n")

    def __enter__(self):
        with self.log.open("wb") as out:
            self.process = subprocess.Popen([self.program, "serve", "--config", self.file], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out, start_new_session=True, env=redaction.environment())
        wait_until(self.is_ready, self.process, self.log, "portcullis serve")
        return self

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.telemetry}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def __exit__(self, *_):
        self.faults = self.found_faults()
        with suppress(OSError), urllib.request.urlopen(f"http://{self.telemetry}/metrics", timeout=10) as answer:
            redaction.said("metrics", answer.read())
        ended_early = self.process.poll() is not None
        if not stop(self.process, signal.SIGTERM) and not ended_early:
            self.faults.append("the gateway did not stop within its time after SIGTERM")
        redaction.said("gateway", self.log.read_bytes())
        for made in self.folder.glob("*.secret"):
            redaction.used(f'secret_key = "{made.read_text().strip()}"')
        if self.faults:
            print(f"the gateway's last lines:\n{last_lines(self.log, 40)}", file=sys.stderr)

    def found_faults(self):
        """What no kit sees: a process that ended, a panic that only the log knows of."""
        faults = []
        if self.process.poll() is not None:
            faults.append(f"the gateway ended by itself (code {self.process.returncode})")
        panics = self.log.read_bytes().count(b"panicked at")
        if panics:
            faults.append(f"the gateway's log tells of {panics} panics")
        return faults
