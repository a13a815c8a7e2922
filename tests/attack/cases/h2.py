"""HTTP/2: what a stream can say that HTTP/1 cannot, and what must not come out as HTTP/1 behind the gateway."""
import struct
import time

from lib import h2
from lib.checks import h2case
from lib.core import Case, Fail, Skip


def request(ctx, *more, method=b"GET", path=None, authority=None, scheme=None, auth=True):
    scheme = scheme if scheme is not None else (b"https" if ctx.tls else b"http")
    fields = [(b":method", method), (b":scheme", scheme), (b":path", ctx.protected if path is None else path),
              (b":authority", ctx.host if authority is None else authority)]
    if auth:
        name, value = ctx.bearer().split(b": ", 1)
        fields.append((name.lower(), value))
    return fields + list(more)


def extra(cid, *fields, **kw):
    return h2case(cid, lambda c, i: request(c, *fields, **kw))


def smuggled(cid, name):
    """The inner request in one pseudo-header."""
    def make(c, inner):
        fields = request(c, method=b"POST")
        return [(n, v + b" HTTP/1.1\r\nHost: x\r\n\r\n" + inner if n == name else v) for n, v in fields]
    return h2case(cid, make)


def body(cid, *fields, data=lambda i: i, **kw):
    return h2case(cid, lambda c, i: request(c, *fields, method=b"POST", **kw), data=data)


def flood(cid, frames, seconds=8.0, cut=True):
    """So many frames must end the connection (or be taken in time), and nobody else may wait meanwhile."""
    def fn(ctx):
        s = h2.open_h2(ctx)
        if s is None:
            raise Skip("no HTTP/2 here")
        t0, worst, closed = time.monotonic(), 0.0, False
        s.settimeout(seconds)
        try:
            for piece in frames(ctx):
                s.sendall(piece)
                if time.monotonic() - t0 > seconds:
                    break
            t = time.monotonic()
            ctx.alive()
            worst = time.monotonic() - t
            while s.recv(65536):
                pass
            closed = True
        except TimeoutError:
            pass
        except OSError:
            closed = True
        s.close()
        if worst > 2:
            raise Fail("a good request took %.1f s meanwhile" % worst)
        if cut and not closed:
            raise Fail("the connection was still open after %.0f s" % (time.monotonic() - t0))
        return "closed" if closed else "bounded"
    return Case(cid, fn, "must")


def resets(ctx):
    head = h2.block(request(ctx, path=ctx.public, auth=False))
    for sid in range(1, 6001, 2):
        yield h2.frame(1, 5, sid, head) + h2.frame(3, 0, sid, struct.pack(">I", 8))


def continuations(ctx):
    yield h2.frame(1, 1, 1, h2.block(request(ctx)[:1]))
    for _ in range(3000):
        yield h2.frame(9, 0, 1, h2.block([(b"x", b"y")])) * 4


def empty_continuations(ctx):
    yield h2.frame(1, 1, 1, h2.block(request(ctx)[:1]))
    for _ in range(3000):
        yield h2.frame(9, 0, 1) * 16


def bomb(ctx):
    """One long field into the table, then one byte each for it again and again."""
    value = b"a" * 3900
    block = h2.block(request(ctx)) + b"\x40" + h2._int(1, 7) + b"x" + h2._int(len(value), 7) + value
    yield h2.frame(1, 5, 1, block + b"\xbe" * 10000)


def settings(ctx):
    for _ in range(2000):
        yield h2.frame(4, 0, 0, struct.pack(">HI", 4, 65535)) * 10


def pings(ctx):
    for _ in range(2000):
        yield h2.frame(6, 0, 0, b"12345678") * 10


def empty_data(ctx):
    yield h2.frame(1, 4, 1, h2.block(request(ctx, method=b"POST", path=ctx.public, auth=False)))
    for _ in range(4000):
        yield h2.frame(0, 0, 1) * 20


def trailers(cid, *fields):
    def fn(ctx):
        s = h2.open_h2(ctx)
        if s is None:
            raise Skip("no HTTP/2 here")
        mark = ctx.recorder.mark()
        frames = h2.frame(1, 4, 1, h2.block(request(ctx, method=b"POST"))) + h2.frame(0, 0, 1, b"abc")
        names = [f for n in ctx.identity for f in ((n.lower(), b"evil"),)] + list(fields)
        h2.exchange(s, frames + h2.frame(1, 5, 1, h2.block(names)))
        s.close()
        time.sleep(0.05)
        e, p = ctx.recorder.since(mark)
        ctx.no_spoof(e, b"evil")
        ctx.canonical(e, p)
        return "up=%d" % len(e)
    return Case(cid, fn, "must")


CASES = [
    h2case("h2.identity", lambda c, i, n: request(c, (n, b"evil")), each=True),
    h2case("h2.identity_underscore", lambda c, i, n: request(c, (n.replace(b"-", b"_"), b"evil")), each=True),
    h2case("h2.identity_capitals", lambda c, i, n: request(c, (n.title(), b"evil")), each=True),
    h2case("h2.identity_crlf", lambda c, i, n: request(c, (b"x", b"a\r\n" + n + b": evil")), each=True),
    h2case("h2.identity_in_name", lambda c, i, n: request(c, (b"x: a\r\n" + n, b"evil")), each=True),
    h2case("h2.identity_space", lambda c, i, n: request(c, (n + b" ", b"evil")), each=True),
    h2case("h2.connection_names_identity", lambda c, i, n: request(c, (b"connection", n)), each=True),
    extra("h2.lf_in_value", (b"x", b"a\nx-forwarded-user: evil")),
    extra("h2.cr_in_value", (b"x", b"a\rx-forwarded-user: evil")),
    extra("h2.nul_in_value", (b"x", b"a\0b")),
    extra("h2.empty_name", (b"", b"evil")),
    extra("h2.colon_in_name", (b"x-forwarded-user:", b"evil")),
    extra("h2.pseudo_late", (b"x", b"a"), (b":path", b"/admin/panel")),
    extra("h2.pseudo_twice_path", (b":path", b"/admin/panel")),
    extra("h2.pseudo_twice_method", (b":method", b"POST")),
    extra("h2.pseudo_twice_authority", (b":authority", b"evil")),
    extra("h2.pseudo_unknown", (b":evil", b"a")),
    extra("h2.pseudo_status", (b":status", b"200")),
    extra("h2.pseudo_protocol", (b":protocol", b"websocket")),
    extra("h2.connect", method=b"CONNECT"),
    extra("h2.trace", method=b"TRACE"),
    extra("h2.host_differs", (b"host", b"evil.example")),
    extra("h2.host_twice", (b"host", b"evil"), (b"host", b"evil")),
    extra("h2.authority_userinfo", authority=b"evil@localhost"),
    extra("h2.authority_path", authority=b"localhost/admin"),
    extra("h2.authority_space", authority=b"localhost evil"),
    extra("h2.authority_empty", authority=b""),
    extra("h2.scheme_foreign", scheme=b"file"),
    extra("h2.scheme_crlf", scheme=b"http://x/\r\nx-forwarded-user: evil\r\n"),
    extra("h2.te_gzip", (b"te", b"gzip")),
    extra("h2.upgrade", (b"upgrade", b"h2c"), (b"http2-settings", b"AAAA")),
    extra("h2.proxy_connection", (b"proxy-connection", b"keep-alive")),
    extra("h2.absolute_path", path=b"http://evil.example/api/thing"),
    extra("h2.path_no_slash", path=b"api/thing"),
    extra("h2.path_empty", path=b""),
    extra("h2.path_star", path=b"*"),
    extra("h2.path_space", path=b"/public/page /admin/panel"),
    extra("h2.path_tab", path=b"/public/page\t/admin/panel"),
    extra("h2.path_fragment", path=b"/public/page#/admin/panel", auth=False),
    extra("h2.path_dots", path=b"/public/../admin/panel", auth=False),
    extra("h2.path_encoded_dots", path=b"/public/%2e%2e/admin/panel", auth=False),
    extra("h2.path_semicolon", path=b"/public/..;/admin/panel", auth=False),
    extra("h2.path_high", path=b"/public/\xff", auth=False),
    smuggled("h2.split_path", b":path"),
    smuggled("h2.split_method", b":method"),
    smuggled("h2.split_authority", b":authority"),
    body("h2.te_chunked", (b"transfer-encoding", b"chunked"), data=lambda i: b"0\r\n\r\n" + i),
    body("h2.cl_short", (b"content-length", b"0")),
    body("h2.cl_long", (b"content-length", b"9999")),
    body("h2.cl_two", (b"content-length", b"0"), (b"content-length", b"5")),
    body("h2.cl_comma", (b"content-length", b"0, 5")),
    body("h2.cl_plus", (b"content-length", b"+0")),
    body("h2.cl_none"),
    body("h2.expect", (b"expect", b"100-continue")),
    trailers("h2.trailers_identity"),
    trailers("h2.trailers_pseudo", (b":path", b"/admin/panel")),
    trailers("h2.trailers_framing", (b"transfer-encoding", b"chunked"), (b"content-length", b"0")),
    flood("h2.rapid_reset", resets),
    flood("h2.continuation_flood", continuations),
    flood("h2.continuation_empty", empty_continuations),
    flood("h2.hpack_bomb", bomb, seconds=3.0, cut=False),
    flood("h2.settings_flood", settings, seconds=4.0, cut=False),
    flood("h2.ping_flood", pings, seconds=4.0, cut=False),
    flood("h2.empty_data", empty_data),
]
