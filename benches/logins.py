#!/usr/bin/env python3
"""Logins per second of a hashing core, and what a flood of logins does to requests that are only checked and proxied.

One gateway with passwords as the defaults hash them (argon2id, 19 MiB, two passes). Known tokens are asked with at a fixed
rate, each request at its own time (pace.py), quiet and beside a flood in turn: many clients that log in without a pause,
every other one with a wrong password. Throttles of attempts are off, they would end the flood: what is measured is the
hashing pool (`limits.hashing_threads`, `limits.hashing_wait`). Answers 503 with Retry-After are counted apart, and their
clients wait as they are told.

Logins per hashing core: hashes done over the CPU seconds of the threads that did them. The result is printed and kept in
benches/results/.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from filled import Gateway  # noqa: E402
from measure import TICK, Upstream, post  # noqa: E402
from pace import apart, numbers, request  # noqa: E402
from report import keep  # noqa: E402
from servers import Trouble, end_on_signals, free_ports  # noqa: E402
from subject import binary  # noqa: E402

USERS = 50
PATH = "/auth/token/login/"
SETTLE = 1.0
DEFAULT_HASH = {"memory_kib": 19456, "iterations": 2, "parallelism": 1}


# --- the flood, in a process of its own -------------------------------------------------------------------

def flood(port, clients, cpus, over, counts):
    if cpus is not None:
        os.sched_setaffinity(0, numbers(cpus))
    try:
        counts.put(dict(asyncio.run(all_clients(port, clients, over))))
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        counts.put(f"{type(error).__name__}: {error}")


async def all_clients(port, clients, over):
    seen = Counter()
    await asyncio.gather(*(client(port, number, over, seen) for number in range(clients)))
    return seen


async def client(port, number, over, seen):
    password = password_of(number % USERS) if number % 2 == 0 else "Wrong-Orbit-77"
    body = json.dumps({"username": f"user{number % USERS}", "password": password}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not over.is_set():
        writer.write(head + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        await reader.readexactly(int(re.search(r"(?i)content-length: *(\d+)", answer)[1]))
        status = int(answer.split(" ", 2)[1])
        later = re.search(r"(?i)\r\nretry-after: *(\d+)", answer)
        seen[f"{status} with Retry-After" if later else str(status)] += 1
        if later:
            await asyncio.sleep(int(later[1]))
    writer.close()


def password_of(number):
    return f"Lantern-Orbit-{number}"


# --- what is measured ----------------------------------------------------------------------------------------

class Hashing:
    """Hashes done and the CPU seconds of the threads that do them, since it was made."""

    def __init__(self, gateway):
        self.gateway, self.began = gateway, time.perf_counter()
        self.done, self.cpu = hashes(gateway), pool_seconds(gateway.process.pid)

    def figures(self):
        seconds = time.perf_counter() - self.began
        done, spent = hashes(self.gateway) - self.done, pool_seconds(self.gateway.process.pid) - self.cpu
        return {"logins_per_second": round(done / seconds, 1), "hashing_cores": round(spent / seconds, 3),
                "logins_per_hashing_core": round(done / spent, 1) if spent else 0}


def hashes(gateway):
    return gateway.metric('portcullis_password_hash_duration_seconds_count{algorithm="argon2"}')


def pool_seconds(pid):
    """User and system time of the threads that hash; what else the same pool does (answering logins) is little, and counted."""
    ticks = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        name, _, fields = (task / "stat").read_text().rpartition(") ")
        if name.endswith("(tokio-rt-worker"):
            ticks += sum(map(int, fields.split()[11:13]))
    return ticks / TICK


def paced(gateway, heads, given):
    return apart(gateway.address[1], heads, given.rate, given.seconds, given.connections, given.load_cpus or every_cpu())


def beside_flood(gateway, heads, given):
    """The paced requests while the pool is full, and what the flood got."""
    away = multiprocessing.get_context("spawn")
    over, counts = away.Event(), away.Queue()
    child = away.Process(target=flood, args=(gateway.address[1], given.clients, given.load_cpus, over, counts), daemon=True)
    child.start()
    try:
        before = hashes(gateway)
        while hashes(gateway) < before + 2 * given.clients and child.is_alive():  # every client has been there
            time.sleep(0.1)
        hashing = Hashing(gateway)
        waits = paced(gateway, heads, given)
        figures = hashing.figures()
    finally:
        over.set()
    answers = counts.get(timeout=60)
    child.join(60)
    if isinstance(answers, str):
        raise Trouble(f"the flood ended: {answers}")
    if strange := set(answers) - {"200", "400", "401", "503 with Retry-After"}:
        raise Trouble(f"logins were answered {', '.join(sorted(strange))}")
    return {**waits, **figures, "answers": answers}


def every_cpu():
    return ",".join(map(str, sorted(os.sched_getaffinity(0))))


def measure(given, folder):
    with Upstream(folder, free_ports(), given.load_cpus) as upstream:
        changes = {
            "server": {"threads": given.threads},
            "accounts": {"argon2": DEFAULT_HASH},
            # Otherwise the flood's logins make room by ending the token that the paced requests come with.
            "tokens": {"opaque": {"max_per_user": 1_000_000}},
            "limits": {"throttling": False, "hashing_threads": given.hashing_threads, "connections_per_address": 10_000},
            "upstreams": [{"name": "app", "servers": [f"127.0.0.1:{upstream.port}"]}],
            "routes": [{"path": "/", "upstream": "app", "access": "authenticated"}],
        }
        with Gateway(binary("release"), folder / "gateway", 10_000, changes, given.gateway_cpus) as gateway:
            base = "http://{}:{}".format(*gateway.address)
            heads = []
            for number in range(USERS):
                who = {"username": f"user{number}", "password": password_of(number)}
                post(base + "/auth/users/", who | {"email": f"user{number}@example.com", "re_password": who["password"]})
                heads.append(request("/thing", "a", "Token " + post(base + PATH, who)["auth_token"]))
            rounds = []
            for number in range(given.rounds):
                rounds.append({"quiet": paced(gateway, heads, given), "beside the flood": beside_flood(gateway, heads, given)})
                for name, found in rounds[-1].items():
                    print(f"round {number + 1}, {name}: {found}", flush=True)
                    if found["errors"]:
                        raise Trouble(f"{found['errors']} of the paced requests were not answered 200")
    return rounds


def summary(rounds):
    middle = lambda kind, what: statistics.median(one[kind][what] for one in rounds)  # noqa: E731
    found = {what: middle("beside the flood", what) for what in ("logins_per_second", "hashing_cores", "logins_per_hashing_core")}
    for what in ("p50", "p99"):
        quiet, flooded = middle("quiet", what), middle("beside the flood", what)
        found[f"{what}_us"] = {"quiet": quiet, "beside the flood": flooded, "ratio": round(flooded / quiet, 2)}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="of paced requests, quiet and flooded, in each round (default 10)")
    parser.add_argument("--rate", type=int, default=1000, help="checked and proxied requests per second (default 1,000)")
    parser.add_argument("--connections", type=int, default=32, help="of the paced requests")
    parser.add_argument("--clients", type=int, default=64, help="that log in without a pause (default 64)")
    parser.add_argument("--threads", type=int, default=0, help="server.threads (default 0: as the product's, one for each CPU)")
    parser.add_argument("--hashing-threads", type=int, default=0, help="limits.hashing_threads (default 0: as the product's)")
    parser.add_argument("--gateway-cpus", help="keeps the gateway there (as for taskset; default: no)")
    parser.add_argument("--load-cpus", help="keeps the clients and the application there (default: no)")
    given = parser.parse_args()
    end_on_signals()
    with tempfile.TemporaryDirectory(prefix="portcullis-logins-") as folder:
        rounds = measure(given, Path(folder))
    found = summary(rounds)
    print(json.dumps(found, indent=2))
    asked = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in vars(given).items() if value is not None)
    keep(f"logins-{given.hashing_threads or 'default'}", f"benches/logins.py {asked}",
         {"hashing_threads": given.hashing_threads or len(numbers(given.gateway_cpus or every_cpu())), "median": found, "rounds": rounds})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Trouble, RuntimeError) as trouble:
        sys.exit(f"logins: {trouble}")
