#!/usr/bin/env python3
"""What clients see of three gateways while what these share is killed, frozen and flushed.

Three real gateways on one PostgreSQL and one Redis. Known credentials (an opaque token and a JWT) are asked for at all three
without a pause, logins come and go at the first, and tokens that ended are tried again everywhere. For each trouble: the
longest wait, answers that were no 200 for a good credential, requests that passed after their token had ended for more than
the bound, and how long after the trouble's end logins and unseen tokens worked again at all three. The promises are 2 s,
none, none after 1.5 s, and 5 s. The result is printed and kept in benches/results/.
"""

import argparse
import http.client
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.server import ThreadingHTTPServer

from propagation import NAME, PASSWORD, Echo, World, one_logout  # also finds scripts/
from report import keep
from servers import Postgres, Redis, Trouble, answers, end_on_signals, stop, wait_until
from subject import binary

BOUND = 1.5  # seconds from a logout's answer to the last request that may pass
PATIENCE = 20.0


class Watch:
    """Asks all replicas without end, and remembers what was wrong."""

    def __init__(self, replicas, tokens):
        self.addresses = [replica.address for replica in replicas]
        self.over, self.dead = threading.Event(), []
        self.longest, self.passed, self.refused, self.revived = 0.0, 0, [], []
        jobs = [(self.ask_known, address, header) for address in self.addresses for header in tokens]
        jobs += [(self.ask_dead, address, None) for address in self.addresses]
        self.threads = [threading.Thread(target=job, args=(address, header)) for job, address, header in jobs]
        for thread in self.threads:
            thread.start()

    def ask_known(self, address, header):
        while not self.over.is_set():
            since = time.perf_counter()
            status = ask(address, "GET", "/", header)
            self.longest = max(self.longest, time.perf_counter() - since)
            self.passed += status == 200
            if status != 200:
                self.refused.append(status)
            time.sleep(0.002)

    def ask_dead(self, address, _):
        while not self.over.is_set():
            for header, ended in list(self.dead)[-20:]:
                since = time.perf_counter()
                if ask(address, "GET", "/", header) == 200 and since - ended > BOUND:
                    self.revived.append(round(since - ended, 2))
            time.sleep(0.005)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def ask(address, method, path, header=None, form=None):
    """The status; 0 where there was no answer."""
    headers = {"Authorization": header} if header else {}
    if form is not None:
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request(method, path, None if form is None else json.dumps(form), headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def comes_and_goes(replicas, watch):
    """A login at the first, shown to all, ended at the first."""
    token = replicas[0].log_in()
    for replica in replicas:
        replica.expect(200, token)
    replicas[0].log_out(token)
    watch.dead.append((f"Token {token}", time.perf_counter()))


def recovery(replicas, since, unseen):
    """Seconds until logins and a token that none of them has seen work at every one."""
    for replica in replicas:
        checks = [lambda: ask(replica.address, "POST", "/auth/token/login/", form={"username": NAME, "password": PASSWORD}),
                  lambda: ask(replica.address, "GET", "/", f"Token {unseen}")]
        for check in checks:
            while check() != 200:
                if time.perf_counter() - since > PATIENCE:
                    raise Trouble("did not recover")
    return time.perf_counter() - since


def suffer(world, redis, seconds, cause, relieve, writes):
    """One trouble of `seconds`. `writes`: whether logins work meanwhile."""
    one, other = world.pair(redis=redis.url)
    third = world.one_more(one)
    replicas = [one, other, third]
    with one, other, third:
        one.gateway.create_user(NAME, "ada@example.org", PASSWORD)
        one_logout(one, other)
        opaque, unseen = one.log_in(), one.log_in()
        status, body = one.ask("POST", "/auth/jwt/create/", form={"username": NAME, "password": PASSWORD})
        if status != 200:
            raise Trouble(f"no JWT: {status}")
        known = [f"Token {opaque}", f"Bearer {json.loads(body)['access']}"]
        for replica in replicas:
            if any(ask(replica.address, "GET", "/", header) != 200 for header in known):
                raise Trouble("a good credential is refused before any trouble")
        watch = Watch(replicas, known)
        try:
            comes_and_goes(replicas, watch)
            cause()
            end, slowest = time.perf_counter() + seconds, 0.0
            while time.perf_counter() < end:
                since = time.perf_counter()
                if writes:
                    comes_and_goes(replicas, watch)
                else:
                    status = ask(one.address, "POST", "/auth/token/login/", form={"username": NAME, "password": PASSWORD})
                    if status != 503:
                        raise Trouble(f"a login without a database is answered {status}")
                slowest = max(slowest, time.perf_counter() - since)
            relieve()
            recovered = recovery(replicas, time.perf_counter(), unseen)
            comes_and_goes(replicas, watch)
            time.sleep(BOUND + 0.5)
        finally:
            watch.end()
    return {"requests with known credentials": watch.passed, "of them refused": len(watch.refused),
            "longest wait, s": round(watch.longest, 3), "slowest login, or its refusal, s": round(slowest, 3),
            "passed after the bound": len(watch.revived), "recovered after, s": round(recovered, 3),
            "statuses": sorted(set(watch.refused))}


def revive(redis):
    port = int(redis.url.rsplit(":", 1)[1].strip("/"))
    redis.process = subprocess.Popen(redis.process.args, stdout=subprocess.DEVNULL, start_new_session=True)
    wait_until(lambda: answers(port, b"PING\r\n", b"+PONG"), redis.process, redis.folder / "log", "redis-server")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6, help="how long each trouble lasts (default 6)")
    seconds = parser.parse_args().seconds
    end_on_signals()
    program = binary("release")
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    results = {}
    with tempfile.TemporaryDirectory(prefix="portcullis-trouble-") as folder, \
            Postgres(folder, survives=True) as postgres, Redis(folder) as redis:
        world = World(program, folder, postgres, upstream.server_address[1])
        flush = lambda: redis_says(redis, b"FLUSHALL\r\n")  # noqa: E731
        both = lambda: (postgres.kill(), stop(redis.process, signal.SIGKILL))  # noqa: E731
        for name, cause, relieve, writes in [
            ("Redis killed", lambda: stop(redis.process, signal.SIGKILL), lambda: revive(redis), True),
            ("Redis frozen", lambda: redis.process.send_signal(signal.SIGSTOP),
             lambda: redis.process.send_signal(signal.SIGCONT), True),
            ("Redis flushed", flush, flush, True),
            ("database killed", postgres.kill, postgres.start, False),
            ("database frozen", postgres.freeze, postgres.thaw, False),
            ("both killed", both, lambda: (postgres.start(), revive(redis)), False),
        ]:
            results[name] = suffer(world, redis, seconds, cause, relieve, writes)
            print(f"{name:16} {results[name]}", flush=True)
    keep("trouble", f"benches/trouble.py --seconds {seconds:g}", results)
    return 0


def redis_says(redis, line):
    port = int(redis.url.rsplit(":", 1)[1].strip("/"))
    if not answers(port, line, b"+OK"):
        raise Trouble(f"Redis does not do {line!r}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"trouble: {trouble}")
