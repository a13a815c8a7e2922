"""Identity and forwarding headers that a client sends."""
from lib.checks import noforward, nominate, spelled, spoof, unauth
from lib.core import Case, Fail

# The names come from the subject: each case goes through all of its identity headers, one request each.
CASES = [
    spelled("spoof.exact", "exact"),
    spelled("spoof.lower", "lower"),
    spelled("spoof.underscore", "underscore"),
    spoof("spoof.forwarded_user", lambda m: [b"X-Forwarded-User: " + m, b"X-Forwarded-Email: " + m]),
    spoof("spoof.remote_user", lambda m: [b"Remote-User: " + m]),
    spoof("spoof.duplicate", lambda n, m: [n + b": " + m, n + b": " + m + b"2"], each=True),
    spoof("spoof.empty_first", lambda n, m: [n + b":", n + b": " + m], each=True),
    spoof("spoof.space_before_colon", lambda n, m: [n + b" : " + m], each=True),
    spoof("spoof.trailer", lambda n, m: [b"Trailer: " + n, b"TE: trailers"], each=True),
    # a client must not be able to make a later hop drop the identity
    nominate("spoof.connection_nominates", lambda c, n: [b"close", n]),
    noforward("fwd.host", lambda c, m: [b"X-Forwarded-Host: " + m + b".example"],
              lambda e, m: "X-Forwarded-Host of the client went upstream" if any(m in v for v in e.get("x-forwarded-host")) else None),
    noforward("fwd.for_not_believed", lambda c, m: [b"X-Forwarded-For: 203.0.113.9"],
              lambda e, m: "X-Forwarded-For ends with the client's word: %r" % e.get("x-forwarded-for")
              if e.get("x-forwarded-for") and e.get("x-forwarded-for")[-1].split(b",")[-1].strip() == b"203.0.113.9" else None),
    unauth("fwd.uri_public_unauth", lambda c: c.req(headers=[b"X-Forwarded-Uri: " + (c.public or b"/public"), b"X-Original-URL: " + (c.public or b"/public")])),
    unauth("fwd.identity_without_token", lambda c: c.req(headers=[n + b": admin" for n in c.identity] or [b"X-Forwarded-User: admin"])),
]


def _crlf_value(ctx):
    for n in ctx.identity:
        raw = ctx.req(headers=[ctx.bearer(), b"X-A: a\r" + n + b": evil"])
        r, e, p = ctx.probe(raw)
        ctx.answered(r)
        ctx.canonical(e, p)
        ctx.no_spoof(e, b"evil")


def _all_at_once(ctx):
    """Every identity header, plain and with underscores, in one request: with a credential the true ones arrive, without one none."""
    for path, auth in ((ctx.protected, [ctx.bearer()]), (ctx.public, [])):
        if not path:
            continue
        mark = b"evil" + ctx.uid().encode()
        lines = [x + b": " + mark for n in ctx.identity for x in (n, n.replace(b"-", b"_"))]
        r, e, _ = ctx.probe(ctx.req(path=path, headers=auth + lines))
        ctx.answered(r)
        ctx.no_spoof(e, mark)
        ctx.canonical(e)
        if not auth:
            ctx.no_identity(e, "an anonymous request carries an identity header")
        elif e and ctx.user_header and e[0].get(ctx.user_header) != [ctx.user()["username"].encode()]:
            raise Fail("the true identity is gone or doubled: %r" % e[0].get(ctx.user_header))


def _auth_twice(ctx):
    """Two Authorization lines: neither order may let the bad one choose, and an upstream sees none of them."""
    for hs in ([ctx.bearer(), b"Authorization: Bearer x.y.z"], [b"Authorization: Bearer x.y.z", ctx.bearer()]):
        r, e, _ = ctx.probe(ctx.req(headers=hs))
        ctx.answered(r)
        for x in e:
            if x.get("authorization"):
                raise Fail("an Authorization line went upstream: %r" % x.get("authorization")[0][:40])
            if ctx.user_header and x.get(ctx.user_header) != [ctx.user()["username"].encode()]:
                raise Fail("the identity is %r" % x.get(ctx.user_header))
    return str(r.status)


def _stripped(ctx):
    """The credential that was checked stays with the gateway."""
    hs = [ctx.bearer()] + ([ctx.opaque_header()] if ctx.subject.get("auth_api", True) else [])
    for h in hs:
        r, e, _ = ctx.probe(ctx.req(headers=[h]))
        if r.status != 200 or not e:
            raise Fail("a good credential got %s" % r.status)
        secret = h.split(b" ", 2)[2]
        for n, v in e[0].headers:
            if n.lower() == b"authorization" or secret in v:
                raise Fail("the checked credential went upstream in %r" % n)


def _bad_is_401(ctx):
    """On a protected path a bad credential is answered 401, with WWW-Authenticate."""
    for v in (b"Bearer " + b"0" * 40, b"Bearer a.b.c", ctx.bearer().split(b": ", 1)[1][:-6] + b"AAAAAA"):
        r, e, _ = ctx.probe(ctx.req(headers=[b"Authorization: " + v]))
        ctx.must_not_reach(e)
        if r.status != 401 or not r.header(b"www-authenticate"):
            raise Fail("%r answered %s, WWW-Authenticate %r" % (v[:30], r.status, r.header(b"www-authenticate")))


def _bad_on_public(ctx):
    """On an anonymous path credentials are not looked at: a bad one is no reason to refuse, and gives no identity."""
    for v in (b"Bearer " + b"0" * 40, b"Bearer a.b.c", b"Basic eDp5"):
        r, e, _ = ctx.probe(ctx.req(path=ctx.public, headers=[b"Authorization: " + v]))
        ctx.answered(r)
        if r.status != 200 or len(e) != 1:
            raise Fail("%r answered %s" % (v[:30], r.status))
        ctx.canonical(e)
        ctx.no_identity(e, "a bad credential gave an identity")


CASES += [Case("spoof.all_at_once", _all_at_once), Case("spoof.bare_cr_value", _crlf_value), Case("auth.two_authorization_lines", _auth_twice),
          Case("auth.credential_stripped", _stripped), Case("auth.bad_is_401", _bad_is_401), Case("auth.bad_on_public", _bad_on_public, "must", ["public"])]
