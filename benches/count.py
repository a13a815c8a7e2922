#!/usr/bin/env python3
"""How many instructions a request costs the gateway, counted by valgrind and compared with a kept baseline.

The gateway under callgrind, one worker, eight kept-open connections asked in turn, an upstream that answers the same bytes
to everything. What is counted is the gateway's own code and its libraries', not the kernel; unlike times the counts are nearly
the same on each run, busy machine or not, and on each processor with AVX2, as valgrind shows programs no newer one. Each
kind of request is warmed up, then counted several times; the least counts, as whatever else the gateway does only adds.

    benches/count.py                  compares with benches/results/instructions.json; fails above the tolerance
    benches/count.py --keep           writes the baseline
    benches/count.py --build release  the binary as it is shipped, which takes a quarter of an hour to build, instead of one
                                      optimised without its whole program in view (the profile `count` of Cargo.toml)
    benches/count.py --profile DIR    also keeps what callgrind wrote, for kcachegrind (wants symbols: a build with
                                      CARGO_PROFILE_COUNT_DEBUG=line-tables-only)
    benches/count.py --floor BINARY   counts the bare Pingora proxy of benches/compare/floor as well

Another compiler makes other instructions, and libraries choose theirs by what the processor can do. The baseline names its own
of both and valgrind's version; beside others the tolerance is wider, and a line says so: then keep a new one.
"""

import argparse
import hashlib
import hmac
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

import pins  # noqa: E402
from compare.run import Crypto, b64u, der_to_raw  # noqa: E402
from servers import Trouble, end_on_signals, free_ports, last_lines, listens, stop  # noqa: E402
from subject import binary, merge, settings, to_toml  # noqa: E402

BASELINE = HERE / "results" / "instructions.json"
SECRET = "a-secret-of-at-least-thirty-two-bytes"
CONNECTIONS, WARM_UP, TIMES = 8, 400, 4
# Percent above the baseline: made with the same tools, and with others.
TOLERANCE, WIDER = 4.0, 20.0
ANSWER = (b"HTTP/1.1 200 OK\r\nServer: app\r\nDate: Fri, 27 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\n"
          b"Content-Length: 18\r\nConnection: keep-alive\r\n\r\nhello from the app")


class App:
    """Answers every head with the same bytes."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(one,), daemon=True).start()

    def serve(self, one):
        text = b""
        while piece := one.recv(65536):
            text += piece
            while b"\r\n\r\n" in text:
                text = text.partition(b"\r\n\r\n")[2]
                one.sendall(ANSWER)


class Silent(Trouble):
    """Nothing that the gateway did: worth another try."""


class Counted:
    """A program under callgrind."""

    def __init__(self, argv, folder, ready, environment=None):
        self.argv, self.folder, self.ready = [str(part) for part in argv], Path(folder), ready
        self.environment, self.dumps = environment, 0

    def __enter__(self):
        self.folder.mkdir(exist_ok=True)
        self.log = self.folder / "log"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.folder}/out", "--instr-atstart=yes",
                   "--compress-strings=no", *self.argv]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                            env=self.environment)
        end = time.monotonic() + 120
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise Trouble(f"{self.argv[0]} is not ready:\n{last_lines(self.log)}")
            time.sleep(0.2)
        return self

    def __exit__(self, *_):
        stop(self.process, signal.SIGTERM)

    def take(self):
        """Instructions since the last call."""
        self.dumps += 1
        # Not callgrind_control: it asks every program under valgrind on the machine before this one.
        try:
            subprocess.run(["vgdb", f"--pid={self.process.pid}", "dump"], check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
        except subprocess.SubprocessError as error:
            raise Silent(f"valgrind does not answer: {error}") from None
        dump = self.dump = self.folder / f"out.{self.dumps}"
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = re.search(r"^(?:totals|summary): (\d+)", dump.read_text(errors="replace"), re.M) if dump.exists() else None
            if found:
                return int(found[1])
            time.sleep(0.1)
        raise Trouble(f"no figures in {dump}")

    def least(self, ask, requests, keep=None):
        """Instructions for each of so many requests, the least of several times; `keep`: where callgrind's file goes."""
        ask(WARM_UP)
        self.take()
        counts = []
        for _ in range(TIMES):
            ask(requests)
            counts.append(self.take() / requests)
            if keep and counts[-1] == min(counts):
                shutil.copy(self.dump, keep)
        return round(min(counts))


class Client:
    def __init__(self, port):
        self.connections = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(CONNECTIONS)]

    def ask(self, path, authorization, wanted, count):
        """`count` requests one after the other. `authorization`: a function of the request's number, or None."""
        for number in range(count):
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: count/1\r\nAccept: */*\r\n"
            if authorization:
                head += f"Authorization: {authorization(number)}\r\n"
            one = self.connections[number % CONNECTIONS]
            one.sendall((head + "\r\n").encode())
            answer = read_answer(one)
            if not answer.startswith(b"HTTP/1.1 %d " % wanted):
                raise Trouble(f"{path}: {answer[:300]!r}")


def read_answer(one):
    text = b""
    while b"\r\n\r\n" not in text:
        piece = one.recv(65536)
        if not piece:
            raise Trouble(f"the connection was closed after {text!r}")
        text += piece
    head, _, body = text.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
    while len(body) < length:
        body += one.recv(65536)
    return text


class Client2:
    """The same over HTTP/2: one stream after the other."""

    def __init__(self, port):
        from h2.connection import H2Connection  # of the environment that main goes on in
        self.connections = []
        for _ in range(CONNECTIONS):
            one, state = socket.create_connection(("127.0.0.1", port), timeout=60), H2Connection()
            state.initiate_connection()
            state.increment_flow_control_window(1 << 30)
            self.connections.append((one, state))

    def ask(self, path, authorization, wanted, count):
        for number in range(count):
            one, state = self.connections[number % CONNECTIONS]
            head = [(":method", "GET"), (":scheme", "http"), (":authority", "127.0.0.1:8000"), (":path", path), ("user-agent", "count/1"), ("accept", "*/*")]
            if authorization:
                head.append(("authorization", authorization(number)))
            state.send_headers(state.get_next_available_stream_id(), head, end_stream=True)
            one.sendall(state.data_to_send())
            if (status := read_answer2(one, state)) != wanted:
                raise Trouble(f"{path} over HTTP/2: {status}")


def read_answer2(one, state):
    from h2.events import ResponseReceived, StreamEnded, StreamReset
    status = None
    while True:
        piece = one.recv(65536)
        if not piece:
            raise Trouble("the HTTP/2 connection was closed")
        events = state.receive_data(piece)
        if sent := state.data_to_send():
            one.sendall(sent)
        for event in events:
            if isinstance(event, ResponseReceived):
                status = int(dict(event.headers)[b":status"])
            if isinstance(event, StreamReset):
                raise Trouble("an HTTP/2 stream was reset")
            if isinstance(event, StreamEnded):
                return status


def jwt(number, secret=SECRET, algorithm="HS256", sign=None):
    """`sign`: the message's signature by another key than the secret."""
    now = int(time.time())
    claims = {"iss": f"https://{algorithm.lower()}.issuer.test", "aud": "bench", "sub": f"user-{number:05}", "token_type": "access",
              "iat": now, "exp": now + 7 * 86400, "jti": hashlib.sha256(b"%d" % number).hexdigest()[:32],
              "roles": ["reader", "writer"], "email": f"user{number:05}@example.test"}
    message = b64u(json.dumps({"alg": algorithm, "typ": "JWT"}, separators=(",", ":")).encode()) + "." + b64u(json.dumps(claims).encode())
    signature = sign(message.encode()) if sign else hmac.new(secret.encode(), message.encode(), hashlib.sha256).digest()
    return message + "." + b64u(signature)


def signed(folder):
    """Settings of issuers that sign with RSA and with a curve, and a token of each by algorithm."""
    crypto, issuers, tokens = Crypto(), [], {}
    for algorithm, words in {"RS256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}.items():
        private, public = folder / f"{algorithm}.pem", folder / f"{algorithm}.pub.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", *words, "-out", private], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
        key, form = crypto.load(private.read_bytes()), der_to_raw if algorithm == "ES256" else bytes
        issuers.append(issuer(algorithm, public_key_file=str(public)))
        tokens[algorithm] = jwt(1, algorithm=algorithm, sign=lambda message, key=key, form=form: form(crypto.sign(key, message)))
    return issuers, tokens


def issuer(algorithm="HS256", **key):
    """One whose tokens are believed, with users of its own."""
    key = key or {"secret": SECRET}
    return {"name": algorithm.lower(), "algorithm": algorithm, **key, "issuer": f"https://{algorithm.lower()}.issuer.test", "audience": ["bench"],
            "user_claim": "sub", "users": "claims"}


def count_gateway(program, folder, app, requests, profile):
    port = free_ports(3)
    issuers, tokens = signed(folder)
    config = merge(settings(folder, port, port + 1), {
        "server": {"threads": 1, "listeners": [{"address": f"127.0.0.1:{port + 2}", "tls": False, "h2c": True}]},
        "limits": {"requests_per_connection": 1_000_000},
        "cache": {"token_ttl": "1h"},
        # What happens by the clock is not a request's.
        "revocation": {"tick": "10m", "max_staleness": "1h"},
        "upstreams": [{"name": "app", "servers": [f"127.0.0.1:{app.port}"]}],
        "routes": [{"path": "/public/", "access": "anonymous", "upstream": "app"}, {"path": "/", "upstream": "app"}],
        "tokens": {"jwt": {"trusted": [issuer(), *issuers]}},
    })
    file = folder / "portcullis.toml"
    file.write_text(to_toml(config) + "\n")
    subprocess.run([program, "user", "create", "ada", "--email", "ada@example.test", "--password-stdin", "--config", file],
                   input="correct-horse-battery\n", text=True, check=True, capture_output=True)
    forged = (jwt(number, "another secret of thirty-two bytes") for number in itertools.count())
    found = {}
    with Counted([program, "serve", "--config", file], folder / "counted", lambda: answers(port + 1)) as counted:
        known = {"opaque token": f"Token {log_in(port)}", "JWT HS256": f"Bearer {jwt(1)}", **{f"JWT {name}": f"Bearer {one}" for name, one in tokens.items()}}
        one, two = (Client, port), (Client2, port + 2)
        with_it = lambda name: lambda _: known[name]  # noqa: E731
        kinds = {"anonymous": (one, "/public/x", None, 200),
                 **{f"{name}, known": (one, "/x", with_it(name), 200) for name in known},
                 "JWT HS256, forged": (one, "/x", lambda _: f"Bearer {next(forged)}", 401),
                 "no credential": (one, "/x", None, 401),
                 "HTTP/2, anonymous": (two, "/public/x", None, 200),
                 "HTTP/2, JWT HS256, known": (two, "/x", with_it("JWT HS256"), 200)}
        for name, ((by, at), *asked) in kinds.items():
            client = by(at)  # now: the gateway does not wait long for a connection's first request
            keep = profile and Path(profile) / f"{re.sub('[^A-Za-z0-9]+', '-', name)}.callgrind"
            found[name] = counted.least(lambda count: client.ask(*asked, count), requests, keep)
    return found


def count_floor(program, folder, app, requests, profile):
    """The bare proxy of benches/compare/floor."""
    port, keys = free_ports(2), folder / "keys"
    keys.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a",
                    "-keyout", keys / "tls.key", "-out", keys / "tls.crt"], check=True, capture_output=True)
    environment = dict(os.environ, LISTEN=f"127.0.0.1:{port}", LISTEN_TLS=f"127.0.0.1:{port + 1}", KEYS=str(keys),
                       UPSTREAM=f"127.0.0.1:{app.port}", DIR=str(folder))
    with Counted([program], folder / "floor", lambda: listens(port), environment) as counted:
        client = Client(port)
        keep = profile and Path(profile) / "the-bare-proxy.callgrind"
        return {"the bare proxy": counted.least(lambda count: client.ask("/public/x", None, 200, count), requests, keep)}


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def log_in(port):
    body = json.dumps({"username": "ada", "password": "correct-horse-battery"}).encode()
    ask = urllib.request.Request(f"http://127.0.0.1:{port}/auth/token/login/", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(ask, timeout=120) as answer:
        return json.loads(answer.read())["auth_token"]


def tools():
    """What made the instructions, and what counts them."""
    said = lambda *command: subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: E731
    # Libraries choose their code by what the processor can do.
    flags = re.search(r"(?m)^(?:flags|Features)\s*: (.*)$", Path("/proc/cpuinfo").read_text())
    processor = hashlib.sha256(" ".join(sorted(flags[1].split())).encode()).hexdigest()[:8] if flags else "unknown"
    return {"rustc": said("rustc", "--version").split()[1], "valgrind": said("valgrind", "--version").removeprefix("valgrind-"),
            "processor's features": processor}


def count_all(program, given):
    with tempfile.TemporaryDirectory(prefix="portcullis-count-") as folder, App() as app:
        found = count_gateway(program, Path(folder), app, given.requests, given.profile)
        if given.floor:
            found |= count_floor(given.floor, Path(folder), app, given.requests, given.profile)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="write the baseline")
    parser.add_argument("--build", choices=("count", "release"), default="count", help="the profile of Cargo.toml (default count)")
    parser.add_argument("--requests", type=int, default=200, help=f"of each kind, counted {TIMES} times (default 200)")
    parser.add_argument("--tolerance", type=float, help=f"percent above the baseline (default {TOLERANCE:g}; {WIDER:g} beside other tools)")
    parser.add_argument("--profile", help="a folder for what callgrind wrote")
    parser.add_argument("--floor", help="the bare proxy's binary")
    given = parser.parse_args()
    end_on_signals()
    if shutil.which("valgrind") is None:
        raise Trouble("no valgrind here: run scripts/setup count")
    pins.go_on_with(pins.bench_folder(), "count")
    program = binary(given.build)
    try:
        found = count_all(program, given)
    except Silent as silent:
        print(f"once more: {silent}", flush=True)
        found = count_all(program, given)
    kept = json.loads(BASELINE.read_text())
    known, made_with = kept.get(given.build, {}), tools()
    alike = known.get("made with") == made_with
    tolerance = given.tolerance or (TOLERANCE if alike else WIDER)
    worse = []
    for name, count in found.items():
        before = known.get("instructions", {}).get(name)
        change = f"{100 * (count - before) / before:+.1f} %" if before else ""
        print(f"{name:28} {count:>8} instructions  {change}")
        if before and count > before * (1 + tolerance / 100):
            worse.append(name)
    if given.keep:
        same = known.get("instructions", {}) if alike else {}
        kept[given.build] = {"made with": made_with, "instructions": same | found}
        BASELINE.write_text(json.dumps(kept, indent=2) + "\n")
        return 0
    if not alike:
        print(f"the baseline was made with {known.get('made with')}, this with {made_with}: {tolerance:g} % are allowed")
    if worse:
        raise Trouble(f"more than {tolerance:g} % above the baseline: {', '.join(worse)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"count: {trouble}")
