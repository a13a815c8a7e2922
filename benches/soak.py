#!/usr/bin/env python3
"""Whether the gateway's memory stays where it is under everything at once.

For some minutes: bursts of wrk and h2load in random order (known opaque tokens, twice as many as memory may hold; known
JWTs; forged and unknown ones, each new; anonymous requests; a new connection for each request; HTTP/2), and beside them
people who log in, are let through, change from one JWT to the next and log out. Records are confirmed every ten seconds.
Every answer must be the right one. Resident memory is read every second; it is flat if the median of the last third is
at most 5 % above that of the middle third (the first fills the caches). The revocations of logouts are kept for a quarter
of an hour and more, so they grow to the end of a shorter run: how many there are is told.

The result is printed and kept in benches/results/.
"""

import argparse
import http.client
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from count import issuer, jwt  # noqa: E402
from filled import Gateway, token  # noqa: E402
from measure import Upstream, post, wrk  # noqa: E402
from report import keep  # noqa: E402
from servers import Trouble, end_on_signals, free_ports  # noqa: E402
from subject import binary  # noqa: E402

HELD = 10_000
USERS = 1000
PEOPLE = 4
FLAT = 1.05
WATCHED = {"tokens held": "portcullis_token_cache_entries", "revocations": "portcullis_revocation_set_entries",
           "open files": "process_open_fds", "connections": "portcullis_connections", "log lines dropped": "portcullis_log_lines_dropped_total"}


class Scene:
    """The gateway, who asks it, and what each has done."""

    def __init__(self, folder, upstream, given):
        self.folder, self.given = folder, given
        self.h2c = free_ports()
        changes = {
            "server": {"threads": given.threads, "listeners": [{"address": f"127.0.0.1:{self.h2c}", "tls": False, "h2c": True}]},
            "cache": {"tokens": HELD, "users": HELD, "token_ttl": "10s"},
            "limits": {"connections_per_address": 10_000},
            "upstreams": [{"name": "app", "servers": [f"127.0.0.1:{upstream.port}"]}],
            "routes": [{"path": "/public/", "upstream": "app", "access": "anonymous"}, {"path": "/", "upstream": "app", "access": "authenticated"}],
            "tokens": {"jwt": {"trusted": [issuer()]}},
        }
        self.gateway = Gateway(binary("release"), folder / "gateway", HELD, changes).fill(USERS, tokens=2 * HELD)
        self.done, self.faults, self.over = Counter(), [], threading.Event()
        self.write("opaque", map(token, range(2 * HELD)))
        self.write("jwt", map(jwt, range(2000)))
        self.write("unknown", [token(-1)])
        self.write("forged", [jwt(0, "another secret of thirty-two bytes")])

    def write(self, name, lines):
        (self.folder / name).write_text("".join(line + "\n" for line in lines))

    def bursts(self):
        """What wrk and h2load are told, by name."""
        url = "http://{}:{}".format(*self.gateway.address)
        file = self.folder.joinpath
        at = lambda path, connections=32, **arguments: lambda: wrk(url + path, 2, connections, None, **arguments)  # noqa: E731
        found = {
            "known opaque": at("/thing", mode="many", tokens=file("opaque"), **{"from": random.randrange(2 * HELD)}),
            "known JWT": at("/thing", mode="many", tokens=file("jwt")),
            "unknown opaque": at("/thing", mode="bad", tokens=file("unknown"), refused=True),
            "forged JWT": at("/thing", mode="bad", tokens=file("forged"), refused=True),
            "anonymous": at("/public/thing", mode="none", connections=200),
            "connections": at("/public/thing", mode="none", close=1),
        }
        if shutil.which("h2load"):
            found["HTTP/2"] = lambda: h2load(f"http://127.0.0.1:{self.h2c}/thing", token(random.randrange(2 * HELD)))
        return found

    def storm(self):
        while not self.over.is_set():
            name, burst = random.choice(list(self.bursts().items()))
            self.done[name] += burst()
            self.over.wait(random.random())

    def person(self, number):
        """Logs in, works, logs out: with an opaque token and with JWTs in turn."""
        base, turn = "http://{}:{}".format(*self.gateway.address), 0
        who = {"username": f"person{number}", "password": f"Lantern-Orbit-{number}"}
        post(base + "/auth/users/", who | {"email": f"person{number}@example.com", "re_password": who["password"]})
        while not self.over.is_set():
            turn += 1
            if turn % 2:
                header = "Token " + post(base + "/auth/token/login/", who)["auth_token"]
            else:
                pair = post(base + "/auth/jwt/create/", who)
                header = "Bearer " + post(base + "/auth/jwt/refresh/", {"refresh": pair["refresh"]})["access"]
            for _ in range(5):
                self.expect(200, "GET", "/thing", header)
            self.expect(204, "POST", "/auth/token/logout/", header)
            self.expect(401, "GET", "/thing", header)
            self.done["logins and logouts"] += 1
            self.over.wait(PEOPLE / self.given.logins)

    def expect(self, status, method, path, header):
        connection = http.client.HTTPConnection(*self.gateway.address, timeout=30)
        connection.request(method, path, headers={"Authorization": header})
        found = connection.getresponse().status
        connection.close()
        if found != status:
            raise Trouble(f"{method} {path}: {found} instead of {status}")

    def play(self, act, *arguments):
        try:
            act(*arguments)
        except (OSError, http.client.HTTPException, Trouble) as error:
            self.faults.append(f"{act.__name__}: {error}")
            self.over.set()

    def run(self):
        """Samples of a second each: when, and MiB."""
        acts = [(self.storm,), (self.storm,), *((self.person, number) for number in range(PEOPLE))]
        threads = [threading.Thread(target=self.play, args=act) for act in acts]
        samples, watched, began = [], [], time.monotonic()
        for thread in threads:
            thread.start()
        try:
            while not self.over.wait(1) and (now := time.monotonic() - began) < 60 * self.given.minutes:
                samples.append((round(now, 1), round(self.gateway.resident() / 2**20, 2)))
                if len(samples) % 15 == 1:
                    watched.append({"at": round(now), **{name: int(self.gateway.metric(metric)) for name, metric in WATCHED.items()}})
                    print(f"{now:6.0f} s  {samples[-1][1]:7.1f} MiB  {watched[-1]}", flush=True)
        finally:
            self.over.set()
            for thread in threads:
                thread.join(60)
        if self.faults:
            raise Trouble("; ".join(self.faults))
        return samples, watched


def h2load(url, known):
    """Requests done, all answered 2xx."""
    done = subprocess.run(["h2load", "-t1", "-c8", "-m10", "-D", "2", "-H", f"authorization: Token {known}", url], capture_output=True, text=True, timeout=60)
    told = next((line for line in done.stdout.splitlines() if line.startswith("status codes:")), "")
    good, *others = (int(word) for word in told.replace(",", "").split() if word.isdigit())
    if any(others) or not good:
        raise Trouble(f"h2load: {done.stdout[-400:]}")
    return good


def verdict(samples):
    third = len(samples) // 3
    first, middle, last = (statistics.median(mib for _, mib in samples[at * third:(at + 1) * third]) for at in range(3))
    half = samples[len(samples) // 2:]
    slope = statistics.linear_regression([at / 60 for at, _ in half], [mib for _, mib in half]).slope
    return {"MiB, first third": first, "MiB, middle third": middle, "MiB, last third": last, "last against middle": round(last / middle, 3),
            "MiB a minute in the second half": round(slope, 2), "most MiB": max(mib for _, mib in samples), "flat": last <= FLAT * middle}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--logins", type=float, default=20, help="about so many a second, each ended (default 20)")
    parser.add_argument("--threads", type=int, default=0, help="server.threads (default 0: one for each CPU)")
    given = parser.parse_args()
    end_on_signals()
    with tempfile.TemporaryDirectory(prefix="portcullis-soak-") as folder, Upstream(folder, free_ports()) as upstream:
        scene = Scene(Path(folder), upstream, given)
        with scene.gateway as gateway:
            start = round(gateway.resident() / 2**20, 1)
            samples, watched = scene.run()
    found = {"MiB at the start": start, **verdict(samples), "requests": dict(scene.done)}
    print(json.dumps(found, indent=2))
    keep("soak", f"benches/soak.py --minutes {given.minutes:g} --logins {given.logins:g} --threads {given.threads}",
         {**found, "watched": watched, "samples": samples})
    return 0 if found["flat"] else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"soak: {trouble}")
