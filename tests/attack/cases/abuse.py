"""Exhaustion and throttling: bounded counts, bounded time."""
import threading
import time

from lib.checks import auth_body
from lib.core import Case, Fail, connect, talk


def _flood_headers(n):
    def fn(ctx):
        raw = ctx.req(headers=[ctx.bearer()] + [b"X-%d: a" % i for i in range(n)])
        r, e, p = ctx.probe(raw, timeout=8)
        ctx.answered(r)
        ctx.canonical(e)
        if r.status == 200 and n >= 2000:
            raise Fail("%d headers were taken" % n)
        return "status %s%s" % (r.status, " closed" if r.closed else "")
    return fn


def _big_header(n):
    def fn(ctx):
        r, e, p = ctx.probe(ctx.req(headers=[ctx.bearer(), b"X-Big: " + b"a" * n]), timeout=8)
        ctx.answered(r)
        if r.status == 200:
            raise Fail("a header of %d bytes was taken" % n)
        return "status %s%s" % (r.status, " closed" if r.closed else "")
    return fn


def _slow_headers(ctx):
    """60 connections that drip a header; good requests go on, and the drips are cut within header_s."""
    socks, t0 = [], time.monotonic()
    for i in range(60):
        s = connect(ctx, 3)
        s.sendall(b"GET " + ctx.protected + b" HTTP/1.1\r\nHost: " + ctx.host + b"\r\n")
        socks.append(s)
    worst, cut = 0.0, None
    end = t0 + ctx.header_s + 2
    i = 0
    while time.monotonic() < end:
        i += 1
        dead = 0
        for s in socks:
            try:
                s.settimeout(0.001)
                s.sendall(b"X-%d: a\r\n" % i)
                if s.recv(100) == b"":
                    dead += 1
            except TimeoutError:
                pass
            except OSError:
                dead += 1
        t = time.monotonic()
        ctx.alive()
        worst = max(worst, time.monotonic() - t)
        if dead >= 60:
            cut = time.monotonic() - t0
            break
        time.sleep(1.0)
    for s in socks:
        s.close()
    if worst > 2:
        raise Fail("a good request took %.1f s meanwhile" % worst)
    if cut is None:
        raise Fail("a header may drip for more than %.0f s" % ctx.header_s)
    return "cut after %.1f s, good requests took at most %.0f ms" % (cut, worst * 1e3)


def _brute(ctx):
    """Wrong passwords for one name from one address must be throttled before the 100th try."""
    u = ctx.new_user()
    for i in range(100):
        r = ctx.api("POST", ctx.auth + "/token/login/", {"username": u["username"], "password": "guess-%d-guess" % i})
        ctx.no_5xx(r, allow=(503,))
        if r.status in (429, 403, 423):
            ctx.reset_hook()
            return "throttled (%s) at try %d, Retry-After %s" % (r.status, i + 1, r.header(b"retry-after"))
    ctx.reset_hook()
    raise Fail("100 wrong passwords in a row were all looked at")


CASES = [
    Case("flood.headers_1000", _flood_headers(1000)),
    Case("flood.headers_100k", _flood_headers(100000)),
    Case("flood.header_1mb", _big_header(1 << 20)),
    Case("slow.headers", _slow_headers),
    Case("brute.one_name", _brute, "must", ["auth"]),
]
