"""Forged and worn-out tokens."""
import json
import time

from lib import forge
from lib.checks import bad_token, base, claims, jwks, unauth
from lib.core import Case, Fail


def none_alg(c):
    return [forge.make({"alg": a, "typ": "JWT"}, claims(c)) for a in ("none", "None", "NONE", "nOnE")]


def confusion(c):
    out = []
    for k in jwks(c):
        for pem in forge.public_pems(k):
            out.append(forge.make({"alg": "HS256", "typ": "JWT", "kid": k.get("kid", "")}, claims(c), "hs256", pem))
    return out or [forge.make({"alg": "HS256", "typ": "JWT"}, claims(c), "hs256", b"")]


def weak(c):
    h = base(c)[0]
    return [forge.make(dict(h, alg="HS256"), claims(c), "hs256", k) for k in (b"", b"secret", b"changeme", b"your-256-bit-secret", b"key", b"portcullis", b"\0" * 32)]


def flip(c):
    t = c.jwt()[0]
    h, p, s = t.split(b".")
    return [h + b"." + p + b".", h + b"." + p, h + b"." + p + b"." + s[:-4], h + b"." + p + b"." + s + b"A" * 4, h + b"." + p + b"." + s[::-1],
            t + b".x", b"." + t, h + b".." + s, h + b"." + forge.b64(forge.dump(claims(c, user_id=1, sub="1"))) + b"." + s]


def refresh_as_access(c):
    return c.jwt()[1] or b"x"


def own_key(c):
    h = base(c)[0]
    return [forge.make({"alg": "RS256", "typ": "JWT", "jwk": forge.RSA_JWK}, claims(c), "rs256"),
            forge.make({"alg": "ES256", "typ": "JWT", "jwk": forge.EC_JWK}, claims(c), "es256"),
            forge.make(dict(h, alg="RS256"), claims(c), "rs256"), forge.make(dict(h, alg="ES256"), claims(c), "es256")]


def kid(c):
    return [forge.make({"alg": "HS256", "typ": "JWT", "kid": k}, claims(c), "hs256", key) for k, key in
            (("../../../../../../dev/null", b""), ("' UNION SELECT 'key' -- ", b"key"), ("", b""))]


def nested(c):
    deep = b'{"a":' * 20000 + b"1" + b"}" * 20000
    return [forge.make(base(c)[0], deep, b"x" * 32)]


def huge(c):
    h, p, s = c.jwt()[0].split(b".")
    return [h + b"." + b"A" * 60000 + b"." + s]


def garbage(c):
    return [b"a.b.c", b"...", b".", b"%00", b"null", b"undefined", b"e30.e30.", b"e30.e30.e30", forge.b64(b"\xff\xfe") + b".e30.e30", b"eyJhbGciOiJIUzI1NiJ9.W10.e30"]


CASES = [
    bad_token("jwt.alg_none", none_alg),
    bad_token("jwt.hs_rs_confusion", confusion),
    bad_token("jwt.weak_secrets", weak),
    bad_token("jwt.broken_signature", flip),
    bad_token("jwt.refresh_as_access", refresh_as_access, verify=False),
    bad_token("jwt.attacker_key", own_key),
    bad_token("jwt.kid_injection", kid),
    bad_token("jwt.deep_payload", nested),
    bad_token("jwt.huge", huge),
    bad_token("jwt.garbage", garbage),
    unauth("auth.none", lambda c: c.req()),
    unauth("auth.empty_bearer", lambda c: c.req(headers=[b"Authorization: Bearer"])),
    unauth("auth.empty_bearer_space", lambda c: c.req(headers=[b"Authorization: Bearer "])),
    unauth("auth.basic", lambda c: c.req(headers=[b"Authorization: Basic YWRtaW46YWRtaW4="])),
    unauth("auth.token_in_query", lambda c: c.req(path=c.protected + b"?access_token=" + c.jwt()[0])),
    unauth("auth.options_without_token", lambda c: c.req(b"OPTIONS"), level="should"),
    unauth("auth.trace", lambda c: c.req(b"TRACE")),
    unauth("auth.http09", lambda c: b"GET " + c.protected + b"\r\n\r\n", incomplete=True, timeout=2),
    unauth("auth.no_host", lambda c: c.req(host=False)),
]


def _access_as_refresh(ctx):
    r = ctx.api("POST", ctx.auth + "/jwt/refresh/", {"refresh": ctx.jwt()[0].decode()})
    ctx.no_5xx(r, allow=())
    if r.status == 200:
        raise Fail("an access token was taken as a refresh token")


def _logout(ctx):
    u = ctx.new_user()
    t = ctx.login(u, "opaque")
    h = ctx.opaque_header(t)
    r, e, _ = ctx.probe(ctx.req(headers=[h]))
    if r.status != 200:
        raise Fail("a fresh opaque token is refused: %s" % r.status)
    r = ctx.api("POST", ctx.auth + "/token/logout/", None, t, ctx.subject.get("opaque_scheme", "Bearer").encode())
    if r.status not in (200, 204):
        raise Fail("logout answered %s" % r.status)
    t0 = time.monotonic()
    r, e, _ = ctx.probe(ctx.req(headers=[h]))
    ctx.must_not_reach(e, "a token worked after its logout was acknowledged")
    return "refused %.0f ms after the logout" % ((time.monotonic() - t0) * 1e3)


def _duplicate_claims(ctx):
    h, p, s = base(ctx)
    raw = forge.dump(p)
    t = forge.make(h, raw[:-1] + b"," + raw[1:-1] + b',"is_staff":true}', s)
    r, e, _ = ctx.probe(ctx.req(headers=[b"Authorization: Bearer " + t]))
    ctx.must_not_reach(e)


def _opaque_garbage(ctx):
    for t in (b"%", b"_" * 40, b"' OR '1'='1", b"*", b"0" * 40, b"\x00", b"a" * 20000, ctx.opaque()[:-1], ctx.opaque() + b"0", ctx.opaque().upper(), ctx.opaque()[:-1] + b"_"):
        if t == ctx.opaque():
            continue
        r, e, _ = ctx.probe(ctx.req(headers=[ctx.opaque_header(t)]))
        ctx.must_not_reach(e, "opaque token %r opened the protected path" % t[:30])
        ctx.answered(r)


CASES += [
    Case("token.access_as_refresh", _access_as_refresh, "must", ["auth"]),
    Case("token.logout_is_at_once", _logout, "must", ["auth"]),
    Case("token.opaque_garbage", _opaque_garbage, "must", ["auth"]),
    Case("jwt.duplicate_claims", _duplicate_claims),
]
