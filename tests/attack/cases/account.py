"""The /auth endpoints: bad bodies, rights, enumeration."""
import json
import time

from lib.checks import auth_body, close_medians
from lib.core import Case, Fail, Throttled


def _mass(ctx):
    try:
        u = ctx.new_user(is_staff=True, is_superuser=True, is_active=True, id=1, role="admin", groups=["admin"])
    except Fail:  # refusing the extra fields is an answer too
        u = ctx.new_user()
    t = ctx.login(u, "jwt")[0]
    r = ctx.api("GET", ctx.auth + "/users/me/", None, t)
    d = r.json() or {}
    for k in ("is_staff", "is_superuser"):
        if d.get(k):
            raise Fail("registration set %s" % k)
    if d.get("id") == 1 and ctx.user().get("reply"):
        raise Fail("registration chose its id")
    ctx.api("PATCH", ctx.auth + "/users/me/", {"is_staff": True, "is_superuser": True}, t)
    d = ctx.api("GET", ctx.auth + "/users/me/", None, t).json() or {}
    if d.get("is_staff") or d.get("is_superuser"):
        raise Fail("an update of /users/me/ set is_staff or is_superuser")
    if ctx.admin:
        t = ctx.login(u, "jwt")[0]
        r, e, _ = ctx.probe(ctx.req(path=ctx.admin, headers=[b"Authorization: Bearer " + t]))
        ctx.must_not_reach(e, "an ordinary user reached the admin path")


def _enum_login(ctx):
    known = ctx.user()["username"]
    a = ctx.api("POST", ctx.auth + "/jwt/create/", {"username": known, "password": "wrong-horse-battery-1"})
    b = ctx.api("POST", ctx.auth + "/jwt/create/", {"username": "nobody" + ctx.uid(), "password": "wrong-horse-battery-1"})
    if (a.status, a.body) != (b.status, b.body):
        raise Fail("a known name answers %s %r, an unknown one %s %r" % (a.status, a.body[:60], b.status, b.body[:60]))


def _enum_timing(ctx):
    ka, kb = [], []
    users = [ctx.new_user() for _ in range(4)]
    for i in range(12):
        for store, name in ((ka, users[i % 4]["username"]), (kb, "nobody" + ctx.uid())):
            t = time.monotonic()
            r = ctx.api("POST", ctx.auth + "/token/login/", {"username": name, "password": "wrong-horse-battery-%d" % i}, ok_429=True)
            if r.status == 429:
                ctx.reset_hook()
                continue
            store.append(time.monotonic() - t)
    if min(len(ka), len(kb)) < 5:
        raise Throttled("%d of 12 tries were looked at" % min(len(ka), len(kb)))
    return close_medians(ka, kb, 0.004, 1.5, "login tells known from unknown names by time")


def _enum_reset(ctx):
    a = ctx.api("POST", ctx.auth + "/users/reset_password/", {"email": ctx.user()["email"]})
    b = ctx.api("POST", ctx.auth + "/users/reset_password/", {"email": "nobody%s@example.com" % ctx.uid()})
    if (a.status, a.body) != (b.status, b.body):
        raise Fail("reset tells: %s %r / %s %r" % (a.status, a.body[:60], b.status, b.body[:60]))


def _password_leak(ctx):
    u = ctx.new_user()
    if u["password"].encode() in u["reply"].raw:
        raise Fail("the answer to a registration shows the password")
    r = ctx.api("GET", ctx.auth + "/users/me/", None, ctx.login(u)[0])
    if b"password" in r.body:
        raise Fail("/users/me/ shows a password field")


def _long_password(ctx):
    t = time.monotonic()
    r = ctx.api("POST", ctx.auth + "/token/login/", {"username": ctx.user()["username"], "password": "x" * 1000000})
    if time.monotonic() - t > 1.5:
        raise Fail("a 1 MB password took %.1f s" % (time.monotonic() - t))
    ctx.no_5xx(r, allow=())
    pw = "Nimbus-Walrus-9-" * 4
    u = ctx.new_user(password=pw, re_password=pw)
    r = ctx.api("POST", ctx.auth + "/jwt/create/", {"username": u["username"], "password": pw[:-1]})
    if r.status == 200:
        raise Fail("a truncated password was taken")
    return "64 characters are taken"


deep = b'{"username":' + b"[" * 100000 + b"]" * 100000 + b',"password":"x"}'
CASES = [
    auth_body("input.deep_json", deep),
    auth_body("input.not_json", b"username=a&password=b"),
    auth_body("input.empty", b" "),
    auth_body("input.array", b"[]"),
    auth_body("input.types", b'{"username":{"$ne":null},"password":["a"],"email":1,"token":{},"refresh":[],"uid":{},"new_password":{}}'),
    auth_body("input.big_body", lambda c: b'{"username":"' + b"a" * (3 << 20) + b'","password":"x"}', ("/jwt/create/", "/users/")),
    auth_body("input.lone_surrogate", b'{"username":"\\ud800","password":"\\udfff","email":"\\ud800@example.com","token":"\\ud800","refresh":"\\ud800","uid":"\\ud800"}'),
    auth_body("input.huge_number", b'{"username":' + b"9" * 5000 + b',"password":1e99999}'),
    auth_body("input.latin1", b'{"username":"\xe9\xff","password":"\xc0\x80"}'),
    auth_body("input.nul", b'{"username":"a\\u0000b","password":"c\\u0000d","email":"a\\u0000@example.com","token":"\\u0000","refresh":"\\u0000","uid":"\\u0000"}'),
    auth_body("input.email_crlf", lambda c: json.dumps({"email": "a@example.com\r\nBcc: b@example.com", "username": "x" + c.uid(), "password": "Quarry-Tundra-zeal-1", "re_password": "Quarry-Tundra-zeal-1"}).encode(), ("/users/",)),
    Case("account.mass_assignment", _mass, "must", ["auth"]),
    Case("account.enumeration_login", _enum_login, "must", ["auth"]),
    Case("account.enumeration_login_time", _enum_timing, "must", ["auth"]),
    Case("account.enumeration_reset", _enum_reset, "must", ["auth"]),
    Case("account.password_not_shown", _password_leak, "must", ["auth"]),
    Case("account.password_length", _long_password, "must", ["auth"]),
]
