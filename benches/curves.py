#!/usr/bin/env python3
"""Whether the cost of the check grows: with routes, users, live tokens and live revocations.

For each of the four a gateway of every size, all at once, one worker each on one core; nginx and wrk on the other. Rounds
go through sizes and kinds of request in turn. What is asked for is the same at every size: 1,000 tokens (fewer where there
are fewer) and 1,000 paths, in turn, spread over all there are, so that the processor's caches see as much of it; besides
that, all tokens in turn, where what is looked up is in no cache of the processor. Every credential was seen before: a
request that memory cannot answer ends the run. The request log is written to /dev/null.

The result, CPU microseconds per request of the gateway's process and what a check adds to an anonymous request of the same
round, is printed and kept in benches/results/.
"""

import argparse
import random
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from count import issuer, jwt  # noqa: E402
from filled import Gateway, token  # noqa: E402
from measure import Upstream, cpu_seconds, wrk  # noqa: E402
from report import keep  # noqa: E402
from servers import Trouble, end_on_signals, free_ports  # noqa: E402
from subject import binary  # noqa: E402

ASKED = 1000
CONNECTIONS = 32
USUAL = {"routes": 10, "users": 1000, "tokens": 1000, "revocations": 0}
CURVES = {"routes": (10, 100, 1_000, 10_000), "users": (10, 10_000, 1_000_000), "tokens": (10, 10_000, 1_000_000),
          "revocations": (10, 10_000, 1_000_000)}
ALL = "opaque, all in turn"
FAMILIAR = 'portcullis_token_cache_requests_total{result="miss",tier="l1"}'


class Point:
    """A gateway of one size with all its credentials seen, and what it is asked with."""

    def __init__(self, program, folder, upstream, cpus, amounts):
        self.folder, self.amounts, self.next = folder, amounts, 0
        pairs = amounts["routes"] // 2
        routes = [{"path": f"/{place}{n}/", "access": access, "upstream": "app"}
                  for n in range(pairs) for place, access in (("public", "anonymous"), ("api", "authenticated"))]
        changes = {
            "server": {"threads": 1},
            "limits": {"connections_per_address": 1000},
            "upstreams": [{"name": "app", "servers": [f"127.0.0.1:{upstream.port}"]}],
            "routes": [*routes, {"path": "/", "upstream": "app", "access": "staff"}],
            "tokens": {"jwt": {"trusted": [issuer()]}},
        }
        # More room than there are tokens: the cache's parts are never filled alike.
        self.gateway = Gateway(program, folder, 2 * amounts["tokens"] + 10_000, changes, cpus)
        self.gateway.fill(amounts["users"], amounts["tokens"], amounts["revocations"])
        asked = min(ASKED, amounts["tokens"])
        self.write("opaque", (token(n * amounts["tokens"] // asked) for n in range(asked)))
        # Not in the order in which they came into memory.
        self.write("all", map(token, random.Random(1).sample(range(amounts["tokens"]), amounts["tokens"])))
        self.write("jwt", map(jwt, range(ASKED)))
        for place in ("public", "api"):
            self.write(place, (f"/{place}{n * pairs // ASKED}/thing{n}" for n in range(ASKED)))

    def write(self, name, lines):
        (self.folder / name).write_text("".join(line + "\n" for line in lines))

    def kinds(self):
        return ["anonymous", "opaque", "JWT HS256"] + [ALL] * (self.amounts["tokens"] > ASKED)

    def ask(self, kind, seconds, cpus):
        """How many requests were done."""
        url = "http://{}:{}/".format(*self.gateway.address)
        if kind == "anonymous":
            return wrk(url, seconds, CONNECTIONS, cpus, mode="none", paths=self.folder / "public")
        if kind == ALL:
            done = wrk(url + "api0/thing", seconds, CONNECTIONS, cpus, mode="many", tokens=self.folder / "all", **{"from": self.next})
            self.next = (self.next + done) % self.amounts["tokens"]
            return done
        tokens = self.folder / ("opaque" if kind == "opaque" else "jwt")
        return wrk(url, seconds, CONNECTIONS, cpus, mode="many", tokens=tokens, paths=self.folder / "api")

    def warm(self, kind, cpus):
        """Connections to the application, and JWTs. wrk begins with the first each time: so one run must be long enough."""
        for seconds in (1, 2, 4, 8, 16):
            if self.ask(kind, seconds, cpus) >= ASKED:
                return
        raise Trouble("too slow to see every credential once")

    def cpu_us(self, kind, seconds, cpus):
        unseen, before = self.gateway.metric(FAMILIAR), cpu_seconds(self.gateway.process.pid)
        done = self.ask(kind, seconds, cpus)
        spent, unseen = cpu_seconds(self.gateway.process.pid) - before, self.gateway.metric(FAMILIAR) - unseen
        if unseen:
            raise Trouble(f"{kind}: {unseen:.0f} of {done} credentials were not in memory")
        return round(1e6 * spent / done, 3)


def curve(name, sizes, given, program, folder, upstream):
    points, found = {}, {}
    with ExitStack() as stack:
        for size in sizes:
            amounts = USUAL | {name: size} | ({"users": size} if name == "tokens" else {})
            print(f"{name}: {size:,}", flush=True)
            point = points[size] = Point(program, folder / f"{name}-{size}", upstream, given.proxy_cpu, amounts)
            stack.enter_context(point.gateway)
            point.gateway.show(0, amounts["tokens"])
            for kind in point.kinds():
                point.warm(kind, given.load_cpu)
            found[size] = {"ready_ms": point.gateway.ready_ms, "MiB": round(point.gateway.resident() / 2**20, 1),
                           "cpu_us": {kind: [] for kind in point.kinds()}}
        for number in range(given.rounds):
            turn = number % len(sizes)
            for kind in ["anonymous", "opaque", "JWT HS256", ALL]:
                for size in sizes[turn:] + sizes[:turn]:
                    if kind in found[size]["cpu_us"]:
                        found[size]["cpu_us"][kind].append(points[size].cpu_us(kind, given.seconds, given.load_cpu))
            print(f"{name}, round {number + 1}: " + ", ".join(
                f"{size:,}: " + " ".join(f"{rounds[-1]:.2f}" for rounds in found[size]["cpu_us"].values()) for size in sizes), flush=True)
    return found


def added(rounds, kind):
    """What the check adds: the median of the differences within a round."""
    return statistics.median(checked - anonymous for checked, anonymous in zip(rounds[kind], rounds["anonymous"]))


def show(name, found):
    kinds = ["anonymous", "opaque", "JWT HS256", ALL]
    print(f"\n| {name} | " + " | ".join(f"{kind}, us | spread" for kind in kinds) + " | check opaque, us | check JWT, us | start, ms |")
    print("|---:|" + "---:|" * (2 * len(kinds) + 3))
    for size, about in found.items():
        rounds, cells = about["cpu_us"], []
        for kind in kinds:
            known = rounds.get(kind)
            middle = statistics.median(known) if known else 0
            cells += [f"{middle:.2f}", f"{(max(known) - min(known)) / middle:.0%}"] if known else ["", ""]
        cells += [f"{added(rounds, 'opaque'):.2f}", f"{added(rounds, 'JWT HS256'):.2f}", f"{about['ready_ms']:.0f}"]
        print(f"| {size:,} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", default=",".join(CURVES), help="comma between (default: all)")
    parser.add_argument("--most", type=int, default=1_000_000, help="leaves out what is larger (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=2, help="of load for each kind of each size in each round (default 2)")
    parser.add_argument("--proxy-cpu", default="0")
    parser.add_argument("--load-cpu", default="1")
    given = parser.parse_args()
    end_on_signals()
    program, results = binary("release"), {}
    with tempfile.TemporaryDirectory(prefix="portcullis-curves-") as folder, \
            Upstream(folder, free_ports(), given.load_cpu) as upstream:
        for name in given.curves.split(","):
            sizes = [size for size in CURVES[name] if size <= given.most]
            results[name] = curve(name, sizes, given, program, Path(folder), upstream)
    for name, found in results.items():
        show(name, found)
    keep("curves", f"benches/curves.py --rounds {given.rounds} --seconds {given.seconds} --most {given.most}", results)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"curves: {trouble}")
