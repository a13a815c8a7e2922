#!/usr/bin/env python3
"""How long after a logout on one replica the other refuses the token.

Two real gateways on one PostgreSQL, with Redis, with LISTEN/NOTIFY only, with neither (by the tick), with a Redis that
died, across a Redis restart, and after a restart of the replica. From the answer of the logout to the first 401 of the
other, which is asked without a pause. Every answer is checked: before it is 200, a 401 stays one. The result is
printed and kept in benches/results/.
"""

import argparse
import http.client
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from report import keep  # noqa: E402
from servers import Postgres, Redis, Trouble, answers, end_on_signals, free_ports, stop, wait_until  # noqa: E402
from subject import Gateway, binary, merge, settings  # noqa: E402

NAME, PASSWORD = "ada", "correct-horse-battery"
LONGEST = 10.0


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Replica:
    """A gateway with a connection that stays open."""

    def __init__(self, program, folder, config):
        folder.mkdir()
        self.folder, self.config = folder, config
        self.gateway = Gateway(program, folder, config)
        self.address = config["server"]["listen"][0]
        self.connection = None

    def __enter__(self):
        self.gateway.__enter__()
        return self

    def __exit__(self, *_):
        self.gateway.__exit__(*_)

    def ask(self, method, path, token=None, form=None):
        headers = {"Authorization": f"Token {token}"} if token else {}
        body = None
        if form is not None:
            body = json.dumps(form)
            headers["Content-Type"] = "application/json"
        for _ in range(2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.address, timeout=LONGEST)
            try:
                self.connection.request(method, path, body, headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, ConnectionError):
                self.connection = None
        raise Trouble(f"{method} {path}: no answer")

    def log_in(self):
        status, body = self.ask("POST", "/auth/token/login/", form={"username": NAME, "password": PASSWORD})
        if status != 200:
            raise Trouble(f"a login is answered {status}: {body!r}")
        return json.loads(body)["auth_token"]

    def log_out(self, token):
        status, body = self.ask("POST", "/auth/token/logout/", token)
        if status != 204:
            raise Trouble(f"a logout is answered {status}: {body!r}")

    def expect(self, wanted, token):
        status, body = self.ask("GET", "/", token)
        if status != wanted:
            raise Trouble(f"answered {status} instead of {wanted}: {body!r}")


def one_logout(one, other):
    """Seconds from the logout's answer to the other's first 401."""
    token = one.log_in()
    one.expect(200, token)
    other.expect(200, token)
    one.log_out(token)
    since = time.perf_counter()
    one.expect(401, token)
    while True:
        status, body = other.ask("GET", "/", token)
        took = time.perf_counter() - since
        if status == 401:
            other.expect(401, token)
            return took
        if status != 200 or took > LONGEST:
            raise Trouble(f"answered {status} after {took:.3f} s: {body!r}")


def figures(times):
    times = sorted(times)
    at = lambda share: times[min(len(times) - 1, int(share * len(times)))]  # noqa: E731
    return {"logouts": len(times), "p50_ms": round(1000 * statistics.median(times), 2),
            "p99_ms": round(1000 * at(0.99), 2), "most_ms": round(1000 * times[-1], 2)}


class World:
    def __init__(self, program, folder, postgres, upstream):
        self.program, self.folder, self.postgres, self.upstream = program, Path(folder), postgres, upstream
        self.count = 0

    def pair(self, redis=None, listen=True):
        """Two replicas that are not started yet, on a database of their own."""
        self.count += 1
        database = f"bench_{self.count}"
        run_sql(self.postgres, f"CREATE DATABASE {database}")
        url = self.postgres.url.rsplit("/", 1)[0] + f"/{database}"
        secret = secrets.token_hex(16)
        environment = dict(os.environ, PORTCULLIS__DATABASE__URL=url, PORTCULLIS__SECRET_KEY=secret)
        subprocess.run([self.program, "migrate"], env=environment, check=True, capture_output=True)
        return [self.replica(f"{database}-{name}", url, secret, redis, listen) for name in ("one", "other")]

    def one_more(self, like):
        """A further replica on the database of another."""
        config = dict(like.config)
        port = free_ports(2)
        folder = Path(f"{like.folder}-more")
        own = settings(folder, port, port + 1)
        return Replica(self.program, folder, config | {"server": own["server"]})

    def replica(self, name, url, secret, redis, listen):
        port = free_ports(2)
        folder = self.folder / name
        config = merge(settings(folder, port, port + 1), {
            "secret_key": secret,
            # Behind a pooler without a way past it nobody listens.
            "database": {"url": url, "migrate": False, "pool": "session" if listen else "transaction"},
            "redis": {"url": redis} if redis else {},
            "upstreams": [{"name": "app", "servers": [f"127.0.0.1:{self.upstream}"]}],
            "routes": [{"path": "/", "upstream": "app"}],
        })
        return Replica(self.program, folder, config)


def run_sql(postgres, text):
    from servers import postgres_programs
    psql = postgres_programs() / "psql"
    subprocess.run([psql, postgres.url, "-qc", text], check=True, capture_output=True)


def measure(world, count, **how):
    one, other = world.pair(**how)
    with one, other:
        one.gateway.create_user(NAME, "ada@example.org", PASSWORD)
        time.sleep(1.5)  # subscriptions stand
        return figures([one_logout(one, other) for _ in range(count)])


def with_redis_dead(world, count, folder, listen):
    with Redis(folder) as redis:
        one, other = world.pair(redis=redis.url, listen=listen)
        with one, other:
            one.gateway.create_user(NAME, "ada@example.org", PASSWORD)
            one_logout(one, other)
            stop(redis.process, signal.SIGKILL)
            return figures([one_logout(one, other) for _ in range(count)])


def across_a_redis_restart(world, count, folder):
    """Logouts without a pause; Redis is killed after a third and is there again after two."""
    with Redis(folder) as redis:
        port = int(redis.url.rsplit(":", 1)[1].strip("/"))
        one, other = world.pair(redis=redis.url, listen=False)
        with one, other:
            one.gateway.create_user(NAME, "ada@example.org", PASSWORD)
            time.sleep(1.5)
            times = [one_logout(one, other) for _ in range(count // 3)]
            stop(redis.process, signal.SIGKILL)
            away = [one_logout(one, other) for _ in range(count // 3)]
            redis.process = subprocess.Popen(redis.process.args, stdout=subprocess.DEVNULL, start_new_session=True)
            wait_until(lambda: answers(port, b"PING\r\n", b"+PONG"), redis.process, redis.folder / "log", "redis-server")
            back = [one_logout(one, other) for _ in range(count // 3)]
            return figures(times + away + back)


def after_a_restart(world, rounds):
    """Tokens that ended while the other was down: the first request with each must be refused."""
    one, other = world.pair()
    refused = 0
    with one:
        one.gateway.create_user(NAME, "ada@example.org", PASSWORD)
        for _ in range(rounds):
            with other:
                token, kept = one.log_in(), one.log_in()
                other.expect(200, token)
            one.log_out(token)
            other.connection = None
            with other:
                other.expect(401, token)
                other.expect(200, kept)
                refused += 1
            other.connection = None
    return {"restarts": rounds, "refused_at_the_first_request": refused}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="logouts of each kind (default 300; a tenth by the tick)")
    count = parser.parse_args().count
    end_on_signals()
    program = binary("release")
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    results = {}
    with tempfile.TemporaryDirectory(prefix="portcullis-propagation-") as folder, Postgres(folder) as postgres:
        world = World(program, folder, postgres, upstream.server_address[1])
        place = lambda name: (Path(folder) / name).mkdir() or Path(folder) / name  # noqa: E731
        with Redis(folder) as redis:
            results["Redis and LISTEN"] = measure(world, count, redis=redis.url)
            results["Redis only"] = measure(world, count, redis=redis.url, listen=False)
        results["LISTEN only"] = measure(world, count)
        results["neither: the tick of 1 s"] = measure(world, max(count // 10, 10), listen=False)
        results["Redis dead, LISTEN"] = with_redis_dead(world, count, place("dead"), True)
        results["Redis dead, the tick of 1 s"] = with_redis_dead(world, max(count // 10, 10), place("dead-tick"), False)
        results["across a Redis restart, no LISTEN"] = across_a_redis_restart(world, max(count // 5, 30), place("restart"))
        results["after a restart of the replica"] = after_a_restart(world, 5)
    for name, found in results.items():
        print(f"{name:38} {found}")
    keep("propagation", f"benches/propagation.py --count {count}", results)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"propagation: {trouble}")
