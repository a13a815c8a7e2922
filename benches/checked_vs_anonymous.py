#!/usr/bin/env python3
"""What the check of a credential costs: CPU per request of the gateway, anonymous against checked.

One gateway with one worker thread, one upstream, one user. Rounds go through the three kinds of
request in turn, so that a busy machine troubles all alike. Every answer must be a 200. The result
is printed and kept in benches/results/.
"""

import argparse
import asyncio
import datetime
import os
import platform
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from measure import Upstream, cpu_seconds, post  # noqa: E402
from servers import Trouble, end_on_signals, free_ports  # noqa: E402
from subject import ROOT, Gateway, binary, merge, settings  # noqa: E402

KINDS = ("anonymous", "opaque", "jwt")


# --- the load ------------------------------------------------------------------------------------------

def load(url, authorization, connections, seconds):
    """Requests done in about `seconds`; anything but a 200 ends the run."""
    if shutil.which("wrk"):
        header = ["-H", f"Authorization: {authorization}"] if authorization else []
        out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *header, url],
                             capture_output=True, text=True, check=True).stdout
        if bad := re.search(r"Non-2xx or 3xx responses: (\d+)", out):
            raise Trouble(f"{bad.group(1)} answers of {url} were not 200")
        return int(re.search(r"(\d+) requests in", out).group(1))
    return asyncio.run(load_by_asyncio(url, authorization, connections, seconds))


async def load_by_asyncio(url, authorization, connections, seconds):
    place = urllib.request.urlparse(url)
    header = f"Authorization: {authorization}\r\n" if authorization else ""
    request = f"GET {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\n{header}\r\n".encode()
    deadline = time.monotonic() + seconds

    async def one():
        done, reader, writer = 0, None, None
        while time.monotonic() < deadline:
            if writer is None:
                reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise Trouble(f"{url} answered {head[:40]!r}")
            await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head).group(1)))
            done += 1
            if b"connection: close" in head.lower():
                writer.close()
                writer = None
        return done

    return sum(await asyncio.gather(*(one() for _ in range(connections))))


# --- the run ---------------------------------------------------------------------------------------------

def credentials(base):
    """A new user's opaque token and access token, as values of `Authorization`."""
    name, password = "bench" + secrets.token_hex(4), "Lantern-Orbit-" + secrets.token_hex(6)
    post(f"{base}/auth/users/", {"username": name, "email": f"{name}@example.com", "password": password, "re_password": password})
    who = {"username": name, "password": password}
    return {"anonymous": None, "opaque": "Bearer " + post(f"{base}/auth/token/login/", who)["auth_token"],
            "jwt": "Bearer " + post(f"{base}/auth/jwt/create/", who)["access"]}


def configuration(folder, port):
    return merge(settings(folder, port, port + 2), {
        "server": {"threads": 1},
        "tokens": {"jwt": {"access_lifetime": "2h"}},
        "upstreams": [{"name": "app", "servers": [f"127.0.0.1:{port + 1}"]}],
        "routes": [{"path": "/public/", "access": "anonymous", "upstream": "app"},
                   {"path": "/", "access": "authenticated", "upstream": "app"}],
    })


def measure(options, folder):
    """CPU microseconds per request and requests per second, by kind, one pair a round."""
    port = free_ports(3)
    figures = {kind: [] for kind in KINDS}
    with Upstream(folder, port + 1) as upstream, Gateway(binary("release"), folder, configuration(folder, port)) as gateway:
        base = f"http://127.0.0.1:{port}"
        authorization = credentials(base)
        paths = {"anonymous": "/public/thing", "opaque": "/api/thing", "jwt": "/api/thing"}
        for kind in KINDS:  # warm: caches, connections to the upstream
            load(base + paths[kind], authorization[kind], options.connections, 1)
        for number in range(options.rounds):
            for kind in KINDS[number % 3:] + KINDS[:number % 3]:
                before, began = cpu_seconds(gateway.process.pid), time.monotonic()
                done = load(base + paths[kind], authorization[kind], options.connections, options.seconds)
                spent, took = cpu_seconds(gateway.process.pid) - before, time.monotonic() - began
                figures[kind].append((spent / done * 1e6, done / took))
                print(f"round {number + 1} {kind:9} {spent / done * 1e6:6.2f} us  {done / took:8.0f} requests/s", flush=True)
    if gateway.faults:
        raise Trouble("; ".join(gateway.faults))
    return figures, upstream.name


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1)) // (1 << 20)
    return f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}, {memory} GiB, Linux {platform.release()}"


def commit():
    words = ["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip() or "unknown"


def report(options, figures, upstream):
    cpu = {kind: statistics.median(us for us, _ in rows) for kind, rows in figures.items()}
    rate = {kind: statistics.median(per_second for _, per_second in rows) for kind, rows in figures.items()}
    spread = {kind: (max(us for us, _ in rows) - min(us for us, _ in rows)) / cpu[kind] for kind, rows in figures.items()}
    lines = ["| request | CPU us, median | against anonymous | spread of the rounds | requests/s, median |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {kind} | {cpu[kind]:.2f} | {cpu[kind] / cpu['anonymous']:.3f} | {spread[kind]:.0%} | {rate[kind]:,.0f} |" for kind in KINDS]
    rounds = ["| round | " + " | ".join(f"{kind}, us" for kind in KINDS) + " |", "|---:|" + "---:|" * len(KINDS)]
    rounds += [f"| {n + 1} | " + " | ".join(f"{figures[kind][n][0]:.2f}" for kind in KINDS) + " |" for n in range(options.rounds)]
    tool = "wrk -t1" if shutil.which("wrk") else "asyncio client"
    return "\n".join([
        "# Checked against anonymous: CPU per request of the gateway", "",
        f"- date: {datetime.date.today().isoformat()}", f"- machine: {machine()}", f"- commit: {commit()}, release build",
        f"- command: `benches/checked_vs_anonymous.py --rounds {options.rounds} --seconds {options.seconds} --connections {options.connections}`",
        f"- set-up: one worker thread, upstream {upstream}, load by {tool}, one known user and token, request log on (to a file)",
        "", *lines, "", "All rounds:", "", *rounds, ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=4, help="of load for each kind in each round (default: 4)")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--keep", metavar="NAME", help="file in benches/results (default: date and kind of machine)")
    options = parser.parse_args()
    end_on_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
            text = report(options, *measure(options, folder))
    except Trouble as trouble:
        print(f"bench: {trouble}", file=sys.stderr)
        return 1
    name = options.keep or f"{datetime.date.today().isoformat()}-{os.cpu_count()}cpu-{platform.machine()}.md"
    kept = HERE / "results" / name
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(text)
    print(f"\n{text}\nkept in {kept.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
