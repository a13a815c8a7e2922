#!/usr/bin/env python3
"""Runs the gateway and its peers side by side and prints what each request costs.

One run, one machine: every subject is started on one core (--proxy-cpu) with one worker; the load generator and the
application behind it sit on the other (--load-cpu). Rounds are interleaved (A B C A B C ...); the tables hold medians
over the rounds. Nothing is timed before it has been seen to refuse what it must refuse.

    run.py                                  # every subject whose program is found, every scenario
    run.py --subjects floor,portcullis,nginx --scenarios hs256_one,hs256_many --rounds 5
    run.py --list

Python's standard library and ../pace.py only; needs nginx, redis-server, wrk, h2load, openssl and taskset on the PATH.
"""
import argparse, base64, ctypes, ctypes.util, datetime, glob, hashlib, http.client, json, os, platform, random, re, shutil, signal, socket
import ssl, statistics, subprocess, sys, time, tomllib
from urllib.parse import urlsplit

BENCH = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(BENCH))
from pace import apart, request  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(BENCH))
TICK = os.sysconf("SC_CLK_TCK")
N_TOKENS = 10000


# ---------------------------------------------------------------- scenarios
def sc(id, title, kind, endpoint="plain", path="/s", tokens="none", alg=None, conns=32, **kw):
    return dict(id=id, title=title, kind=kind, endpoint=endpoint, path=path, tokens=tokens, alg=alg, conns=conns, **kw)


SCENARIOS = [
    sc("plain", "no auth, small answer", "wrk"),
    sc("plain_10k", "no auth, 10 KiB answer", "wrk", path="/k10"),
    sc("hs256_one", "JWT HS256, one token", "wrk", "jwt", tokens="one", alg="HS256"),
    sc("hs256_many", "JWT HS256, 10,000 tokens in turn", "wrk", "jwt", tokens="many", alg="HS256"),
    sc("rs256_one", "JWT RS256-2048, one token", "wrk", "jwt", tokens="one", alg="RS256"),
    sc("rs256_many", "JWT RS256-2048, 10,000 tokens in turn", "wrk", "jwt", tokens="many", alg="RS256"),
    sc("es256_one", "JWT ES256, one token", "wrk", "jwt", tokens="one", alg="ES256"),
    sc("es256_many", "JWT ES256, 10,000 tokens in turn", "wrk", "jwt", tokens="many", alg="ES256"),
    sc("opaque_one", "opaque token, one", "wrk", "opaque", tokens="one", alg="opaque"),
    sc("opaque_many", "opaque token, 10,000 in turn", "wrk", "opaque", tokens="many", alg="opaque"),
    sc("bad_hs256", "401 flood: HS256, forged, each new", "wrk", "jwt", tokens="bad", alg="HS256", expect=401),
    sc("bad_rs256", "401 flood: RS256, forged, each new", "wrk", "jwt", tokens="bad", alg="RS256", expect=401),
    sc("bad_es256", "401 flood: ES256, forged, each new", "wrk", "jwt", tokens="bad", alg="ES256", expect=401),
    sc("bad_opaque", "401 flood: opaque, unknown, each new", "wrk", "opaque", tokens="bad", alg="opaque", expect=401),
    *(sc("bad_" + flaw, f"401 flood: RS256, {what}, each new", "wrk", "jwt", tokens="bad", alg="RS256", flaw=flaw, expect=401) for flaw, what in
      (("kid", "a key nobody has"), ("alg", "an algorithm that is not allowed"), ("iss", "another issuer"), ("aud", "another audience"),
       ("expired", "expired"), ("long", "9 KiB"))),
    sc("close", "no auth, a new connection per request", "wrk", close=True),
    sc("down_1m", "download 1 MiB", "wrk", path="/m1", conns=8),
    sc("up_1m", "upload 1 MiB", "wrk", path="/up", conns=8, method="POST", body=1 << 20),
    sc("h2c", "HTTP/2 cleartext in, 10 streams each of 16 connections", "h2load", "h2c"),
    sc("tls_keep", "TLS 1.3 in, kept-open connections", "wrk", "tls"),
    sc("tls_new", "TLS 1.3 in, a full handshake per request", "wrk", "tls", close=True),
    sc("rate_plain", "fixed rate, no auth", "rate"),
    sc("rate_hs256", "fixed rate, JWT HS256, 10,000 tokens", "rate", "jwt", tokens="many", alg="HS256"),
    sc("rate_opaque", "fixed rate, opaque, 10,000 tokens", "rate", "opaque", tokens="many", alg="opaque"),
    sc("idle", "2,000 idle kept-open connections", "idle", conns=2000),
]


# ---------------------------------------------------------------- keys and tokens
def b64u(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


class Crypto:
    """Signing with libcrypto through ctypes, so that 10,000 tokens take a second and no package is needed."""

    def __init__(self):
        c = self.c = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
        for f in ("BIO_new_mem_buf", "PEM_read_bio_PrivateKey", "EVP_MD_CTX_new", "EVP_sha256"):
            getattr(c, f).restype = ctypes.c_void_p

    def load(self, pem):
        b = self.c.BIO_new_mem_buf(pem, len(pem))
        k = self.c.PEM_read_bio_PrivateKey(ctypes.c_void_p(b), None, None, None)
        assert k, "can't read the private key"
        return ctypes.c_void_p(k)

    def sign(self, key, msg, digest=True):
        ctx = ctypes.c_void_p(self.c.EVP_MD_CTX_new())
        md = ctypes.c_void_p(self.c.EVP_sha256()) if digest else None
        assert self.c.EVP_DigestSignInit(ctx, None, md, None, key) == 1
        n = ctypes.c_size_t(1024)
        out = ctypes.create_string_buffer(1024)
        assert self.c.EVP_DigestSign(ctx, out, ctypes.byref(n), msg, ctypes.c_size_t(len(msg))) == 1
        self.c.EVP_MD_CTX_free(ctx)
        return out.raw[: n.value]


def der_to_raw(sig):
    def num(p):
        n = sig[p + 1]
        return int.from_bytes(sig[p + 2 : p + 2 + n], "big"), p + 2 + n

    r, p = num(2)
    s, _ = num(p)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class Tokens:
    def __init__(self, d):
        self.d = d
        os.makedirs(d, exist_ok=True)
        sh = lambda *a: subprocess.run(a, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        p = lambda n: os.path.join(d, n)
        if not os.path.exists(p("tls.both.pem")):
            open(p("hs256.secret"), "w").write(base64.b16encode(os.urandom(32)).decode().lower())
            sh("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", p("rs256.pem"))
            sh("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", p("es256.pem"))
            sh("openssl", "genpkey", "-algorithm", "ED25519", "-out", p("eddsa.pem"))
            for k in ("rs256", "es256", "eddsa"):
                sh("openssl", "pkey", "-in", p(k + ".pem"), "-pubout", "-out", p(k + ".pub.pem"))
            sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
               "-keyout", p("tls.key"), "-out", p("tls.crt"), "-subj", "/CN=127.0.0.1",
               "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
            open(p("tls.both.pem"), "w").write(open(p("tls.crt")).read() + open(p("tls.key")).read())
        self.secret = open(p("hs256.secret")).read()
        self.cr = Crypto()
        self.keys = {k: self.cr.load(open(p(f), "rb").read()) for k, f in
                     (("RS256", "rs256.pem"), ("ES256", "es256.pem"), ("EdDSA", "eddsa.pem"))}
        self.jwks = json.dumps({"keys": [
            {"kty": "oct", "kid": "hs256", "alg": "HS256", "k": b64u(self.secret.encode())},
            dict(self._rsa(p("rs256.pub.pem")), kid="rs256", alg="RS256", use="sig"),
            dict(self._ec(p("es256.pub.pem")), kid="es256", alg="ES256", use="sig")]})
        open(p("jwks.json"), "w").write(self.jwks)
        for alg in ("HS256", "RS256", "ES256", "EdDSA"):
            f = self.file(alg)
            if not os.path.exists(f) or time.time() - os.path.getmtime(f) > 6 * 86400:
                open(f, "w").write("".join(self.jwt(alg, i) + "\n" for i in range(N_TOKENS)))
        if not os.path.exists(self.file("opaque")):
            rows = [(b64u(os.urandom(32)), "user-%05d" % i) for i in range(N_TOKENS)]
            open(self.file("opaque"), "w").write("".join(t + "\n" for t, _ in rows))
            open(p("opaque.map"), "w").write("".join(f"{t} {u}\n" for t, u in rows))

    @staticmethod
    def _rsa(f):
        o = subprocess.run(["openssl", "rsa", "-pubin", "-in", f, "-noout", "-modulus"], check=True, capture_output=True, text=True).stdout
        return {"kty": "RSA", "n": b64u(bytes.fromhex(o.strip().split("=")[1])), "e": "AQAB"}

    @staticmethod
    def _ec(f):
        pem = "".join(l for l in open(f).read().splitlines() if "-" not in l[:1])
        q = base64.b64decode(pem)[-64:]
        return {"kty": "EC", "crv": "P-256", "x": b64u(q[:32]), "y": b64u(q[32:])}

    def file(self, alg):
        return os.path.join(self.d, alg.lower() + ".tokens")

    def flawed(self, flaw):
        """A file with one token whose flaw shows before its signature is looked at."""
        head, over = {"kid": ({"kid": "nobodys"}, {}), "alg": ({"alg": "RS384"}, {}), "iss": ({}, {"iss": "https://other.test"}), "aud": ({}, {"aud": "other"}),
                      "expired": ({}, {"exp": int(time.time()) - 3600}), "long": ({}, {"filling": "x" * 6600})}[flaw]
        f = self.file("bad_" + flaw)
        open(f, "w").write(self.jwt("RS256", head=head, **over) + "\n")
        return f

    def jwt(self, alg, i=0, head=None, **over):
        now = int(time.time())
        head = {"alg": alg, "typ": "JWT", "kid": alg.lower(), **(head or {})}
        body = {"iss": "https://issuer.test", "aud": "bench", "sub": "user-%05d" % i, "token_type": "access", "iat": now, "exp": now + 7 * 86400,
                "jti": hashlib.sha256(b"%d" % i).hexdigest()[:32], "roles": ["reader", "writer"], "email": "user%05d@example.test" % i}
        body.update(over)
        m = b64u(json.dumps(head, separators=(",", ":")).encode()) + "." + b64u(json.dumps(body, separators=(",", ":")).encode())
        if alg == "none":
            return m + "."
        if alg == "HS256":
            import hmac
            s = hmac.new(self.secret.encode(), m.encode(), "sha256").digest()
        else:
            s = self.cr.sign(self.keys[alg], m.encode(), alg != "EdDSA")
            if alg == "ES256":
                s = der_to_raw(s)
        return m + "." + b64u(s)

    def first(self, alg):
        return open(self.file(alg)).readline().strip()


# ---------------------------------------------------------------- /proc
def children_map():
    m = {}
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                s = open(f"/proc/{p}/stat").read()
                m.setdefault(int(s[s.rindex(")") + 2 :].split()[1]), []).append(int(p))
            except OSError:
                pass
    return m


def tree(pid):
    m, out, todo = children_map(), [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        todo += m.get(p, [])
    return out


def cpu_s(pids):
    t = 0
    for p in pids:
        try:
            s = open(f"/proc/{p}/stat").read()
            f = s[s.rindex(")") + 2 :].split()
            t += int(f[11]) + int(f[12])
        except OSError:
            pass
    return t / TICK


def mem_kb(pids, key):
    f = {"pss": ("smaps_rollup", "Pss:"), "hwm": ("status", "VmHWM:"), "rss": ("status", "VmRSS:")}[key]
    t = 0
    for p in pids:
        try:
            for l in open(f"/proc/{p}/{f[0]}"):
                if l.startswith(f[1]):
                    t += int(l.split()[1])
                    break
        except OSError:
            pass
    return t


def busy_s():
    """busy seconds of the whole machine (all cpus), to see what others take meanwhile"""
    f = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    return (f[0] + f[1] + f[2] + f[5] + f[6] + f[7]) / TICK


# ---------------------------------------------------------------- processes
class Proc:
    def __init__(self, argv, cpu, env, log):
        self.p = subprocess.Popen(["taskset", "-c", str(cpu)] + argv, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def pids(self):
        return tree(self.p.pid)

    def stop(self):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(4)
            except subprocess.TimeoutExpired:
                try:
                    os.killpg(self.p.pid, signal.SIGKILL)      # the group this script made, no other
                except ProcessLookupError:
                    pass
                self.p.wait(5)


USER_HEADER = "X-Auth-User"


def who(header):
    """The header's name as nginx's variables have it."""
    return re.sub(r"[^a-z0-9]", "_", header.lower())


class Subject:
    def __init__(self, path, h, base):
        self.d = tomllib.load(open(path, "rb"))
        self.nports = self.d.get("ports", 7)
        self.name, self.h, self.proc, self.pidlist = self.d["name"], h, None, []
        self.dir = os.path.join(h.work, "run", self.name)
        os.makedirs(self.dir, exist_ok=True)
        self.vars = dict(h.vars, DIR=self.dir, **{f"P{i}": str(base + i) for i in range(7)})
        self.vars.update(self.d.get("vars", {}))
        self.who = "/who/" + who(self.d.get("user_header", USER_HEADER))     # there the application tells which user it sees
        self.ep = {k: self.sub(v) for k, v in self.d["endpoints"].items()}
        self.helpers = self.d.get("helpers", {})
        self.algs = self.d.get("algs", []) + (["opaque"] if "opaque" in self.ep else [])
        self.refused = {}                                      # scenario key -> why it may not be timed

    def sub(self, s):
        for _ in range(2):
            s = re.sub(r"@([A-Z0-9_]+)@", lambda m: str(self.vars.get(m[1], m[0])), s)
        return s

    def missing(self):
        return [n for n in map(self.sub, self.d.get("needs", [])) if not shutil.which(n)]

    def supports(self, s):
        only = self.d.get("scenarios", [s["id"]])
        return s["id"] in only and s["endpoint"] in self.ep and (s["alg"] in (None, *self.algs))

    def counted(self):
        """What the subject itself counts of what its file names under [counters]."""
        names = self.d.get("counters", {})
        if not names:
            return {}
        q = urlsplit(self.sub(self.d["metrics"]))
        c = http.client.HTTPConnection(q.hostname, q.port, timeout=5)
        c.request("GET", q.path)
        lines = dict(l.rpartition(" ")[::2] for l in c.getresponse().read().decode().splitlines() if not l.startswith("#"))
        c.close()
        return {k: float(lines.get(v, 0)) for k, v in names.items()}

    def start(self):
        for out, src in self.d.get("files", {}).items():
            src = self.sub(src)
            t = open(src if os.path.isabs(src) else os.path.join(BENCH, src)).read()
            open(os.path.join(self.dir, out), "w").write(self.sub(t))
        env = dict(os.environ, **{k: self.sub(v) for k, v in self.d.get("env", {}).items()})
        env.update({"BENCH_" + k: str(v) for k, v in self.vars.items()})
        if self.d.get("seed"):
            subprocess.run([self.sub(x) for x in self.d["seed"]], check=True, env=env, timeout=600)
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.proc = Proc([self.sub(x) for x in self.d["argv"]], self.h.a.proxy_cpu, env, self.log)
        end = time.time() + 20
        for k, u in self.ep.items():
            q = urlsplit(u)
            while True:
                try:
                    socket.create_connection((q.hostname, q.port), 1).close()
                    break
                except OSError:
                    if time.time() > end or self.proc.p.poll() is not None:
                        raise RuntimeError(f"{self.name}: nothing answers at {u}; see {self.dir}/log")
                    time.sleep(0.05)
        while self.d.get("ready") and not self.answers(self.sub(self.d["ready"])):
            if time.time() > end or self.proc.p.poll() is not None:
                raise RuntimeError(f"{self.name}: not ready; see {self.dir}/log")
            time.sleep(0.05)
        time.sleep(0.3)
        self.pidlist = self.proc.pids()

    @staticmethod
    def answers(url):
        q = urlsplit(url)
        try:
            c = http.client.HTTPConnection(q.hostname, q.port, timeout=1)
            c.request("GET", q.path or "/")
            return c.getresponse().status == 200
        except OSError:
            return False

    def stop(self):
        if self.proc:
            self.proc.stop()
            self.proc = None

    def tokens(self, alg, flaw=None):
        if flaw:
            return self.h.tok.flawed(flaw)
        own = os.path.join(self.dir, "opaque.tokens")
        return own if alg == "opaque" and os.path.exists(own) else self.h.tok.file(alg)

    def get(self, ep, path="/s", auth=None, conn=None):
        q = urlsplit(self.ep[ep])
        c = conn or (http.client.HTTPSConnection(q.hostname, q.port, timeout=5, context=NOVERIFY) if q.scheme == "https"
                     else http.client.HTTPConnection(q.hostname, q.port, timeout=5))
        c.request("GET", q.path + path, headers={"Authorization": "Bearer " + auth} if auth else {})
        r = c.getresponse()
        b = r.read()
        if not conn:
            c.close()
        return r.status, b.decode("latin-1").strip()


NOVERIFY = ssl.create_default_context()
NOVERIFY.check_hostname = False
NOVERIFY.verify_mode = ssl.CERT_NONE


def flip(t, pos):
    c = "A" if t[pos] != "A" else "B"
    return t[:pos] + c + t[pos + 1 :]


def verify(s, tok, log):
    """What must hold before anything is timed. Hard rows bar the scenario; soft rows are only shown."""
    rows = []

    def row(group, what, want, hard=True, **kw):
        try:
            st, body = s.get(**kw)
        except Exception as e:                                 # noqa: BLE001
            st, body = f"{type(e).__name__}", ""
        ok = want(st, body) if callable(want) else st == want
        rows.append((group, what, st, ok, hard))
        if hard and not ok:
            s.refused.setdefault(group, f"{what}: got {st}")

    for ep in s.ep:
        if ep in ("plain", "tls"):
            row(ep, "answers", 200, ep=ep)
            row(ep, "1 MiB arrives whole", lambda st, b: st == 200 and len(b) == 1 << 20, ep=ep, path="/m1")
    if "jwt" in s.ep:
        for alg in [x for x in s.algs if x != "opaque"]:
            t = tok.first(alg)
            r = lambda what, want, auth, hard=True, path="/s": row(alg, what, want, hard, ep="jwt", auth=auth, path=path)
            r("good token", 200, t)
            r("identity header reaches the application", lambda st, b: "user-00000" in b, t, False, s.who)
            r("token kept from the application", lambda st, b: st == 200 and "Bearer" not in b, t, False, s.who)
            h, p, g = t.split(".")
            r("no token", 401, None)
            r("signature changed", 401, f"{h}.{p}.{flip(g, 20)}")
            r("signature changed, again (after the good one was seen)", 401, f"{h}.{p}.{flip(g, len(g) // 2)}")
            r("signature cut off", 401, f"{h}.{p}.")
            r("body changed", 401, f"{h}.{flip(p, len(p) // 2)}.{g}")
            r("another user's body, this signature", 401, ".".join([*tok.jwt(alg, 7).split(".")[:2], g]))
            r("alg none", 401, tok.jwt("none"))
            r("expired", 401, tok.jwt(alg, 0, exp=int(time.time()) - 3600))
            r("wrong issuer", lambda st, b: st in (401, 403), tok.jwt(alg, 0, iss="https://other.test"), False)
            r("wrong audience", lambda st, b: st in (401, 403), tok.jwt(alg, 0, aud="other"), False)
            if alg == "RS256":
                for flaw in ("kid", "alg", "long"):
                    r("flaw: " + flaw, lambda st, b: 400 <= st < 500, open(tok.flawed(flaw)).readline().strip(), False)
    if "opaque" in s.ep:
        t = open(s.tokens("opaque")).readline().strip()
        r = lambda what, want, auth, hard=True, path="/s": row("opaque", what, want, hard, ep="opaque", auth=auth, path=path)
        r("good token", 200, t)
        r("identity header reaches the application", lambda st, b: "user-00000" in b, t, False, s.who)
        r("token kept from the application", lambda st, b: st == 200 and "Bearer" not in b, t, False, s.who)
        r("no token", 401, None)
        r("unknown token", 401, flip(t, 10))
        r("token with a tail", 401, t + "x")
    for g, w, st, ok, hard in rows:
        if not ok:
            log(f"  {s.name}: {g}: {w}: got {st}{' -> NOT TIMED' if hard else ' (noted)'}")
    return rows


# ---------------------------------------------------------------- the harness
def target_folder():
    return os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target")


def build(work):
    """The gateway (unless PORTCULLIS_BIN names one) and the floor, as they are released."""
    cargo = lambda *words, **env: subprocess.run(["cargo", "build", "--release", "--locked", *words], cwd=ROOT, check=True, env=dict(os.environ, **env))
    if not os.environ.get("PORTCULLIS_BIN"):
        cargo("--bin", "portcullis")
    cargo("--manifest-path", os.path.join(BENCH, "floor", "Cargo.toml"), CARGO_TARGET_DIR=os.path.join(work, "floor"))


PLACES = ("work", "out", "lua", "subject_dir")                           # of one machine: no business of who reads the result


def circumstances(a):
    """Where, when and how: a figure without these says nothing."""
    text = open("/proc/cpuinfo").read()
    model = re.search(r"model name\s*: (.*)", text)
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"], capture_output=True, text=True).stdout.strip()
    own, places = [], {"--" + k.replace("_", "-") for k in PLACES}
    for before, w in zip(["", *sys.argv[1:]], sys.argv[1:]):
        if w not in places and before not in places:
            own.append(w)
    return ["- date: " + datetime.date.today().isoformat(),
            f"- machine: {os.cpu_count()} x {model[1] if model else platform.machine()}, Linux {platform.release()}",
            f"- commit: {commit or 'unknown'}, release build, {a.threads} worker thread(s), {a.routes} routes more than the two asked for",
            "- command: `benches/compare/run.py " + " ".join(own) + "`", ""]


class Harness:
    def __init__(self, a):
        self.a = a
        self.work = os.path.abspath(a.work)
        os.makedirs(self.work, exist_ok=True)
        self.procs = {}
        self.tok = Tokens(os.path.join(self.work, "keys"))
        k = self.tok.d
        self.vars = dict(BENCH=BENCH, WORK=self.work, KEYS=k, HS_SECRET=self.tok.secret, JWKS=self.tok.jwks,
                         OPAQUE_MAP=f"{k}/opaque.map", OPAQUE_TOKENS=f"{k}/opaque.map", LUA_PATH=";".join(f"{d}/?.lua;{d}/?/init.lua" for d in [os.path.join(BENCH, "lua")] + ([os.path.abspath(a.lua)] if a.lua else [])),
                         PORTCULLIS_BIN=os.environ.get("PORTCULLIS_BIN") or os.path.join(target_folder(), "release", "portcullis"), THREADS=a.threads,
                         ROUTES="\n".join(f'[[routes]]\npath = "/route{i}/things/"\naccess = "staff"\nupstream = "app"' for i in range(a.routes)),
                         MORE="", UPSTREAM_PORT=a.port_base + 1, REDIS_PORT=a.port_base + 2, AUTHD_PORT=a.port_base + 3,
                         NGX_MODULES=os.environ.get("NGX_MODULES", "/usr/lib/nginx/modules"))
        self.log = lambda *m: print(*m, file=sys.stderr, flush=True)

    def infra(self, headers, helpers):
        """headers: the names in which the subjects tell the application who the user is. Tells which helpers do not start."""
        v = dict(self.vars, WHO="\n".join(f'    location ~ /who/{n}$ {{ return 200 "user=$http_{n} auth=$http_authorization\\n"; }}' for n in sorted(map(who, headers))))
        for name, cpu in [("upstream", self.a.load_cpu)] + [("authd", self.a.proxy_cpu)] * ("authd" in helpers):
            d = os.path.join(self.work, "run", name)
            os.makedirs(d + "/www", exist_ok=True)
            if name == "upstream":
                open(d + "/www/k10", "wb").write(random.Random(1).randbytes(7680).hex()[:10240].encode())
                open(d + "/www/m1", "wb").write(random.Random(2).randbytes(1 << 19).hex().encode())
            t = open(f"{BENCH}/conf/{name}.nginx.conf").read()
            t = re.sub(r"@([A-Z0-9_]+)@", lambda m: str(dict(v, DIR=d)[m[1]]), t)
            open(d + "/nginx.conf", "w").write(t)
            self.procs[name] = Proc(["nginx", "-p", d, "-e", d + "/error.log", "-c", d + "/nginx.conf"], cpu, os.environ, open(d + "/log", "ab"))
        d = os.path.join(self.work, "run", "redis")
        os.makedirs(d, exist_ok=True)
        if "redis" in helpers:
            self.procs["redis"] = Proc(["redis-server", "--port", str(v["REDIS_PORT"]), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                                    "--dir", d], self.a.proxy_cpu, os.environ, open(d + "/log", "ab"))
        absent = set()
        for name in list(self.procs):
            port = v[name.upper() + "_PORT"]
            for _ in range(100):
                try:
                    c = socket.create_connection(("127.0.0.1", port), 1)
                    break
                except OSError:
                    time.sleep(0.05)
            else:
                if name == "upstream":
                    raise RuntimeError(f"nothing answers on port {port}; see {self.work}/run/{name}/log")
                self.log(f"{name}: does not start; see {self.work}/run/{name}")
                absent.add(name)
                continue
            if port == v["REDIS_PORT"]:
                f = c.makefile("rb")
                for l in open(f"{self.tok.d}/opaque.map"):
                    t, u = l.split()
                    k = "tok:" + t
                    c.sendall(f"*3\r\n$3\r\nSET\r\n${len(k)}\r\n{k}\r\n${len(u)}\r\n{u}\r\n".encode())
                    assert f.readline().startswith(b"+OK")
            c.close()
        return absent

    def taskset(self, argv, timeout):
        return subprocess.run(["taskset", "-c", str(self.a.load_cpu)] + argv, capture_output=True, text=True, timeout=timeout)

    def wrk(self, subj, s, secs):
        u = subj.ep[s["endpoint"]] + s["path"]
        args = [f"mode={s['tokens']}"]
        if s["tokens"] != "none":
            args.append(f"tokens={subj.tokens(s['alg'], s.get('flaw'))}")
        for k in ("method", "body"):
            if s.get(k):
                args.append(f"{k}={s[k]}")
        if s.get("close"):
            args.append("close=1")
        r = self.taskset(["wrk", "-t1", f"-c{s['conns']}", f"-d{secs}s", "--timeout", "5s", "-s", f"{BENCH}/wrk/bench.lua", u, "--"] + args, secs + 30)
        m = re.search(r"JSON(\{.*\})", r.stderr)
        if not m:
            raise RuntimeError(f"wrk said: {r.stdout} {r.stderr}")
        j = json.loads(m[1])
        j["rps"] = j["requests"] / (j["duration_us"] / 1e6)
        good = j["status"] == 0 if s.get("expect", 200) == 200 else j["status"] == j["requests"]
        j["errors"] = (0 if good else (j["status"] if s.get("expect", 200) == 200 else j["requests"] - j["status"])) + j["connect"] + j["read"] + j["write"] + j["timeout"]
        if s.get("close") and j["read"] and not j["status"]:
            j["errors"] -= j["read"]                           # wrk counts a server's orderly close as a read error
        return j

    def paced(self, subj, s, secs):
        """Requests at their own times, whatever the answers take (pace.py): waits count from the time that was meant."""
        u = urlsplit(subj.ep[s["endpoint"]])
        tokens = [l.strip() for l in open(subj.tokens(s["alg"]))] if s["tokens"] != "none" else [None]
        heads = [request(u.path + s["path"], u.netloc, t and "Bearer " + t) for t in tokens]
        j = apart(u.port, heads, self.a.rate, secs, s["conns"], self.a.load_cpu)
        return dict(j, rps=j["requests"] / secs)

    def warm(self, subj, s):
        """All 10,000 tokens seen once. Each run of wrk begins with the first: so one must be long enough."""
        for secs in (1, 2, 4, 8, 16):
            if self.wrk(subj, s, secs)["requests"] >= N_TOKENS:
                return
        raise RuntimeError("too slow to see every token once")

    def h2load(self, subj, s, secs):
        u = subj.ep[s["endpoint"]] + s["path"]
        r = self.taskset(["h2load", "-t1", "-c16", "-m10", "-D", str(secs), u], secs + 30)
        m = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", r.stdout)
        c = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", r.stdout)
        q = re.search(r"finished in ([\d.]+)(m?s)", r.stdout)
        if not (m and c and q) or int(m[3]) == 0:
            raise RuntimeError(f"h2load said: {r.stdout[-600:]} {r.stderr[-300:]}")
        t = float(q[1]) * (0.001 if q[2] == "ms" else 1)
        return dict(requests=int(m[3]), rps=int(m[3]) / t, errors=int(m[4]) + int(m[5]) + int(c[3]) + int(c[4]), bytes=0)

    def measure(self, subj, s, secs):
        hs = [p for h in subj.helpers.get(s["endpoint"], []) for p in self.procs[h].pids()]
        load = self.procs["upstream"].pids() + [os.getpid()]
        subj.pidlist = subj.proc.pids()
        for p in subj.pidlist:
            try:
                open(f"/proc/{p}/clear_refs", "w").write("5")
            except OSError:
                pass
        best = None
        for attempt in range(1 + self.a.retries):
            # What it writes goes where files of the last round were: memory that a virtual machine touches for the first time is dear,
            # and it is not the subject that makes it so.
            subj.log.truncate(0)
            n0 = subj.counted()
            b0, k0, c0, h0, l0 = busy_s(), os.times(), cpu_s(subj.pidlist), cpu_s(hs), cpu_s(load)
            w0 = time.time()
            if s["kind"] == "h2load":
                j = self.h2load(subj, s, secs)
            elif s["kind"] == "rate":
                j = self.paced(subj, s, secs)
            else:
                j = self.wrk(subj, s, secs)
            wall = time.time() - w0
            c1, h1, l1, k1, b1 = cpu_s(subj.pidlist), cpu_s(hs), cpu_s(load), os.times(), busy_s()
            gen = (k1.children_user + k1.children_system) - (k0.children_user + k0.children_system)
            n = max(1, j["requests"])
            j.update(cpu_us=(c1 - c0) / n * 1e6, all_us=(c1 - c0 + h1 - h0) / n * 1e6, core=(c1 - c0) / wall,
                     load_core=(gen + l1 - l0) / wall, hwm_kb=mem_kb(subj.pidlist, "hwm"),
                     foreign=max(0.0, (b1 - b0) - (c1 - c0) - (h1 - h0) - (l1 - l0) - gen) / wall, attempts=attempt + 1)
            if n0:
                j["counted"] = {k: (v - n0[k]) / n for k, v in subj.counted().items()}
            if best is None or j["foreign"] < best["foreign"]:
                best = j
            if best["foreign"] < self.a.foreign:
                break
        return best

    def idle(self, subj, s):
        """2,000 connections, one request each, then left open: what each costs in the proxy's memory (PSS)."""
        subj.stop()
        subj.start()
        ep, alg = ("jwt", "HS256") if "jwt" in subj.ep and "HS256" in subj.algs else ("plain", None)
        if ep not in subj.ep:
            return None
        t = [l.strip() for l in open(self.tok.file("HS256"))]
        subj.get(ep, auth=t[0] if alg else None)
        time.sleep(0.5)
        before = mem_kb(subj.proc.pids(), "pss")
        q = urlsplit(subj.ep[ep])
        cs, bad = [], 0

        def ask(c, i):
            a = f"Authorization: Bearer {t[i]}\r\n" if alg else ""
            c.sendall(f"GET {q.path}/s HTTP/1.1\r\nHost: {q.netloc}\r\n{a}\r\n".encode())
            d = b""
            while b"hello from upstream\n" not in d:
                x = c.recv(65536)
                if not x:
                    return False
                d += x
            return True

        try:
            for i in range(s["conns"]):
                c = socket.create_connection((q.hostname, q.port), 5)
                cs.append(c)
                bad += not ask(c, i)
            time.sleep(1)
            after = mem_kb(subj.proc.pids(), "pss")
            for i in range(0, len(cs), 40):
                bad += not ask(cs[i], i)
        finally:
            for c in cs:
                c.close()
        return dict(errors=bad, start_kb=before, kb_per_conn=(after - before) / s["conns"], total_kb=after, requests=s["conns"])

    def run(self):
        a = self.a
        paths = sorted(p for d in a.subject_dir for p in glob.glob(os.path.join(d, "*.toml")))
        want = a.subjects.split(",") if a.subjects else None
        subs, base = [], a.port_base + 10
        for p in paths:
            s = Subject(p, self, base)
            if s.name not in want if want else s.d.get("only_named"):
                continue
            if s.missing():
                self.log(f"{s.name}: left out, not found: {', '.join(os.path.basename(x) for x in s.missing())}")
                continue
            subs.append(s)
            base += s.nports
        if want:
            subs.sort(key=lambda s: want.index(s.name))
        else:
            subs.sort(key=lambda s: (s.name != a.floor, s.name != "portcullis", s.name))
        scen = [s for s in SCENARIOS if not a.scenarios or s["id"] in a.scenarios.split(",")]
        res, checks, alive = {}, {}, []
        try:
            helpers = {h for s in subs for asked in s.helpers.values() for h in asked}
            absent = self.infra({USER_HEADER, *(s.d.get("user_header", USER_HEADER) for s in subs)}, helpers)
            for s in subs:
                for endpoint, asked in s.helpers.items():
                    if absent & set(asked):
                        s.ep.pop(endpoint, None)               # asked without its helper, it would only refuse
                try:
                    s.start()
                    checks[s.name] = verify(s, self.tok, self.log)
                    alive.append(s)
                except Exception as e:                         # noqa: BLE001
                    self.log(f"{s.name}: left out: {e}")
                    s.stop()
            started = time.time()
            for rnd in range(a.rounds):
                for c in scen:
                    order = alive[rnd % len(alive):] + alive[: rnd % len(alive)]
                    for s in order:
                        if not s.supports(c):
                            continue
                        grp = c["alg"] or (c["endpoint"] if c["endpoint"] != "h2c" else "plain")
                        cell = res.setdefault(c["id"], {}).setdefault(s.name, [])
                        if grp in s.refused:
                            res[c["id"]][s.name] = "refused: " + s.refused[grp]
                            continue
                        if isinstance(cell, str):
                            continue
                        try:
                            if c["kind"] == "idle":
                                if rnd < a.idle_rounds:
                                    j = self.idle(s, c)
                                    if j:
                                        cell.append(j)
                                continue
                            if c["tokens"] == "many":
                                self.warm(s, c)
                            cell.append(self.measure(s, c, a.seconds if c["kind"] != "rate" else a.rate_seconds))
                        except Exception as e:                 # noqa: BLE001
                            self.log(f"{s.name} {c['id']}: {e}")
                            res[c["id"]][s.name] = f"failed: {str(e)[:100]}"
                            if s.proc.p.poll() is not None:
                                s.start()
                    if a.progress:
                        self.log(f"[{time.time() - started:5.0f}s] round {rnd + 1} {c['id']}: " + " ".join(
                            f"{n}={v[-1].get('cpu_us', v[-1].get('kb_per_conn', 0)):.1f}" for n, v in res.get(c["id"], {}).items() if isinstance(v, list) and v))
                self.write(res, checks, alive, scen)
        finally:
            for s in subs:
                s.stop()
            for p in self.procs.values():
                p.stop()

    # ------------------------------------------------------------ report
    def write(self, res, checks, subs, scen):
        os.makedirs(self.a.out, exist_ok=True)
        json.dump(dict(results=res, checks=checks, subjects={s.name: s.d.get("about", "") for s in subs}, args={k: v for k, v in vars(self.a).items() if k not in PLACES}, time=time.time()),
                  open(os.path.join(self.a.out, self.a.name + ".json"), "w"), indent=1)
        md = report(res, checks, [s.name for s in subs], scen, self.a.floor, circumstances(self.a))
        open(os.path.join(self.a.out, self.a.name + ".md"), "w").write(md)


def med(cell, k):
    v = [x[k] for x in cell if k in x]
    return statistics.median(v) if v else float("nan")


def spread(cell, k):
    v = [x[k] for x in cell if k in x]
    m = statistics.median(v)
    return (max(v) - min(v)) / m * 100 if m else 0


def report(res, checks, names, scen, floor, circumstances):
    out = ["# Side by side", "", *circumstances]
    for c in scen:
        cells = res.get(c["id"])
        if not cells:
            continue
        out += [f"## {c['id']}: {c['title']}", ""]
        fl = cells.get(floor)
        ref = fl or res.get("plain", {}).get(floor)
        refname = f"{floor}, no auth" if not fl else floor
        if c["kind"] == "idle":
            out += ["| subject | KiB per connection | at start, MiB | with all, MiB | errors |", "|---|---:|---:|---:|---:|"]
            rows = sorted(((n, v) for n, v in cells.items() if isinstance(v, list) and v), key=lambda t: med(t[1], "kb_per_conn"))
            out += [f"| {n} | {med(v, 'kb_per_conn'):.1f} | {med(v, 'start_kb') / 1024:.1f} | {med(v, 'total_kb') / 1024:.1f} | {sum(x['errors'] for x in v)} |" for n, v in rows]
        elif c["kind"] == "rate":
            out += ["| subject | requests/s | p50 us | p99 us | p99.9 us | max us | of it sent late, p99 us | proxy CPU us/request | errors |",
                    "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
            rows = sorted(((n, v) for n, v in cells.items() if isinstance(v, list) and v), key=lambda t: med(t[1], "p99"))
            out += ["| {} | {:,.0f} | {:.0f} | {:.0f} | {:.0f} | {:.0f} | {:.0f} | {:.1f} | {} |".format(
                n, med(v, "rps"), med(v, "p50"), med(v, "p99"), med(v, "p999"), med(v, "max"), med(v, "late_p99"), med(v, "cpu_us"), sum(x["errors"] for x in v)) for n, v in rows]
        else:
            out += [f"| subject | proxy CPU us/request | with helpers | spread | ratio to {refname} | requests/s | p50 us | p99 us | peak RSS MiB | errors |",
                    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
            rows = sorted(((n, v) for n, v in cells.items() if isinstance(v, list) and v), key=lambda t: med(t[1], "all_us"))
            f = med(ref, "all_us") if isinstance(ref, list) and ref else float("nan")
            out += ["| {} | {:.1f} | {:.1f} | {:.0f}% | {:.2f} | {:,.0f} | {} | {} | {:.0f} | {} |".format(
                n, med(v, "cpu_us"), med(v, "all_us"), spread(v, "all_us"), med(v, "all_us") / f, med(v, "rps"),
                "%.0f" % med(v, "p50") if "p50" in v[0] else "-", "%.0f" % med(v, "p99") if "p99" in v[0] else "-", med(v, "hwm_kb") / 1024,
                sum(x["errors"] for x in v)) for n, v in rows]
        out += [f"| {n} | {v} |" for n, v in cells.items() if isinstance(v, str)]
        out.append("")
        for n, v in cells.items():
            for what in v[0].get("counted", {}) if isinstance(v, list) and v else ():
                out += [f"{n}, for each request: {statistics.median(x['counted'][what] for x in v):.3f} {what}.", ""]
    out += ["## CPU per request, proxy and its helpers, as a multiple of the floor's plain request", "",
            "| scenario | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    p = res.get("plain", {}).get(floor)
    base = med(p, "all_us") if isinstance(p, list) and p else float("nan")
    for c in scen:
        if c["kind"] in ("idle", "rate") or c["id"] not in res:
            continue
        row = [res[c["id"]].get(n) for n in names]
        out.append(f"| {c['id']} | " + " | ".join(f"{med(v, 'all_us') / base:.2f}" if isinstance(v, list) and v else ("refused" if isinstance(v, str) else "") for v in row) + " |")
    out += ["", "## Checks made before timing", "", "| subject | passed | not passed |", "|---|---:|---|"]
    for n, rows in checks.items():
        bad = [f"{g}: {w} (got {st}{', bars the scenario' if hard else ''})" for g, w, st, ok, hard in rows if not ok]
        out.append(f"| {n} | {sum(1 for r in rows if r[3])} of {len(rows)} | {'; '.join(bad)} |")
    fo = [x["foreign"] for cs in res.values() for v in cs.values() if isinstance(v, list) for x in v if "foreign" in x]
    if fo:
        out += ["", f"CPU taken by others during the measurements: median {statistics.median(fo) * 100:.0f} % of one core, worst {max(fo) * 100:.0f} %."]
    return "\n".join(out) + "\n"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))              # so that what was started is stopped
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--subjects", help="names, comma between; default: all found")
    p.add_argument("--subject-dir", action="append", default=[], help="more folders of subject files")
    p.add_argument("--scenarios", help="ids, comma between; default: all")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=2, help="of one measurement")
    p.add_argument("--rate", type=int, default=3000, help="requests/s of the fixed-rate scenarios")
    p.add_argument("--rate-seconds", type=int, default=4)
    p.add_argument("--idle-rounds", type=int, default=1)
    p.add_argument("--proxy-cpu", default="0")
    p.add_argument("--load-cpu", default="1")
    p.add_argument("--port-base", type=int, default=8200)
    p.add_argument("--threads", type=int, default=1, help="worker threads of the gateway")
    p.add_argument("--routes", type=int, default=0, help="routes of the gateway besides the two that are asked for")
    p.add_argument("--work", default=os.path.join(target_folder(), "compare"))
    p.add_argument("--out", default=os.path.join(ROOT, "benches", "results", f"{datetime.date.today().isoformat()}-{os.cpu_count()}cpu-{platform.machine()}"))
    p.add_argument("--name", default="results", help="of the files there (default: results)")
    p.add_argument("--no-build", dest="build", action="store_false", help="what is built already is good enough")
    p.add_argument("--lua", help="folder with lua-resty-jwt and what it needs (nginx's JWT check)")
    p.add_argument("--floor", default="floor")
    p.add_argument("--foreign", type=float, default=0.15, help="measure again when others took more than this share of a core")
    p.add_argument("--retries", type=int, default=1)
    p.add_argument("--list", action="store_true")
    p.add_argument("--quiet", dest="progress", action="store_false")
    a = p.parse_args()
    a.subject_dir = [os.path.join(BENCH, "subjects")] + a.subject_dir
    if a.list:
        for s in SCENARIOS:
            print(f"{s['id']:12} {s['title']}")
        for f in sorted(x for d in a.subject_dir for x in glob.glob(d + "/*.toml")):
            d = tomllib.load(open(f, "rb"))
            print(f"{d['name']:16} {d.get('about', '')}")
        return
    if a.build:
        build(os.path.abspath(a.work))
    h = Harness(a)
    h.run()
    print(open(os.path.join(a.out, a.name + ".md")).read())


if __name__ == "__main__":
    main()
