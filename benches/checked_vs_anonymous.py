#!/usr/bin/env python3
"""What the check of a credential costs: CPU per request of the gateway, anonymous against checked.

One gateway with one worker thread, one upstream, one user. Rounds go through the three kinds of
request in turn, so that a busy machine troubles all alike. Every answer must be a 200. The result
is printed and kept in benches/results/.
"""

import argparse
import asyncio
import datetime
import json
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

from servers import Trouble, answers, end_on_signals, free_ports, stop, wait_until  # noqa: E402
from subject import ROOT, Gateway, binary, merge, settings  # noqa: E402

KINDS = ("anonymous", "opaque", "jwt")
TICK = os.sysconf("SC_CLK_TCK")
BODY = b"hello from upstream"

NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello from upstream"; }} }}
}}
"""


# --- the upstream ------------------------------------------------------------------------------------

class Upstream:
    """nginx where it is installed, else a few lines of asyncio: its CPU is not counted."""

    def __init__(self, folder, port):
        self.folder, self.port = Path(folder), port
        self.program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        self.name = "nginx" if self.program else "asyncio"

    def __enter__(self):
        if self.program:
            config = self.folder / "nginx.conf"
            config.write_text(NGINX.format(folder=self.folder, port=self.port))
            command = [self.program, "-e", self.folder / "nginx.log", "-p", self.folder, "-c", config]
        else:
            command = [sys.executable, __file__, "--serve-upstream", str(self.port)]
        log = self.folder / "upstream.log"
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        question = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        wait_until(lambda: answers(self.port, question, b"HTTP/1.1 200"), self.process, log, self.name)
        return self

    def __exit__(self, *_):
        stop(self.process, 15)


async def serve_upstream(port):
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)

    async def one(reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", port)
    await server.serve_forever()


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


def cpu_seconds(pid):
    """User and system time of the process with all its threads (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


# --- the run ---------------------------------------------------------------------------------------------

def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


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
    with Upstream(folder, port + 1) as upstream, Gateway(binary(release=True), folder, configuration(folder, port)) as gateway:
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
    parser.add_argument("--serve-upstream", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_upstream:
        return asyncio.run(serve_upstream(options.serve_upstream))
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
