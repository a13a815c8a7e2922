#!/usr/bin/env python3
"""How many instructions a request costs the gateway, counted by valgrind and compared with a kept baseline.

The release binary under callgrind, one worker, eight kept-open connections asked in turn, an upstream that answers the same
bytes to everything. What is counted is the gateway's own code and its libraries', not the kernel; unlike times the counts are
nearly the same on each run, busy machine or not, so a change of two percent shows. Each kind of request is asked twice as a
warm-up, then counted.

    benches/count.py                 compares with benches/results/instructions.json; fails above the tolerance
    benches/count.py --keep          writes the baseline
    benches/count.py --profile DIR   also keeps what callgrind wrote, for kcachegrind (wants symbols: a build with
                                     CARGO_PROFILE_RELEASE_DEBUG=line-tables-only)
    benches/count.py --floor BINARY  counts the bare Pingora proxy of benches/compare/floor as well
"""

import argparse
import base64
import hashlib
import hmac
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

from servers import Trouble, end_on_signals, free_ports, last_lines, stop  # noqa: E402
from subject import binary, merge, settings, to_toml  # noqa: E402

BASELINE = HERE / "results" / "instructions.json"
SECRET = "a-secret-of-at-least-thirty-two-bytes"
CONNECTIONS, WARM_UP = 8, 400
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
        subprocess.run(["callgrind_control", "-d", str(self.process.pid)], check=True, capture_output=True)
        dump = self.dump = self.folder / f"out.{self.dumps}"
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = re.search(r"^(?:totals|summary): (\d+)", dump.read_text(errors="replace"), re.M) if dump.exists() else None
            if found:
                return int(found[1])
            time.sleep(0.1)
        raise Trouble(f"no figures in {dump}")


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


def jwt(number, secret=SECRET):
    now = int(time.time())
    claims = {"iss": "https://issuer.test", "aud": "bench", "sub": f"user-{number:05}", "token_type": "access",
              "iat": now, "exp": now + 7 * 86400, "jti": hashlib.sha256(b"%d" % number).hexdigest()[:32],
              "roles": ["reader", "writer"], "email": f"user{number:05}@example.test"}
    coded = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")  # noqa: E731
    message = coded(b'{"alg":"HS256","typ":"JWT"}') + b"." + coded(json.dumps(claims).encode())
    return (message + b"." + coded(hmac.new(secret.encode(), message, hashlib.sha256).digest())).decode()


def count_gateway(program, folder, app, requests, profile):
    port = free_ports(2)
    config = merge(settings(folder, port, port + 1), {
        "server": {"threads": 1},
        "limits": {"requests_per_connection": 1_000_000},
        "cache": {"token_ttl": "1h"},
        "upstreams": [{"name": "app", "servers": [f"127.0.0.1:{app.port}"]}],
        "routes": [{"path": "/public/", "access": "anonymous", "upstream": "app"}, {"path": "/", "upstream": "app"}],
    })
    config["tokens"] = {"jwt": {"trusted": [{
        "name": "issuer", "algorithm": "HS256", "secret": SECRET, "issuer": "https://issuer.test", "audience": ["bench"],
        "user_claim": "sub", "users": "claims"}]}}
    file = folder / "portcullis.toml"
    file.write_text(to_toml(config) + "\n")
    subprocess.run([program, "user", "create", "ada", "--email", "ada@example.test", "--password-stdin", "--config", file],
                   input="correct-horse-battery\n", text=True, check=True, capture_output=True)
    good, forged = jwt(1), [jwt(number, "another secret of thirty-two bytes") for number in range(requests + WARM_UP)]
    found = {}
    with Counted([program, "serve", "--config", file], folder / "counted", lambda: answers(port + 1)) as counted:
        opaque = log_in(port)
        client = Client(port)
        kinds = {"anonymous": ("/public/x", None, 200),
                 "JWT HS256, known": ("/x", lambda _: f"Bearer {good}", 200),
                 "opaque token, known": ("/x", lambda _: f"Token {opaque}", 200),
                 "JWT HS256, forged": ("/x", lambda number: f"Bearer {forged[number]}", 401),
                 "no credential": ("/x", None, 401)}
        for name, (path, authorization, wanted) in kinds.items():
            client.ask(path, authorization, wanted, WARM_UP)
            counted.take()
            client.ask(path, authorization and (lambda number, of=authorization: of(number + WARM_UP)) if "forged" in name
                       else authorization, wanted, requests)
            found[name] = round(counted.take() / requests)
            if profile:
                shutil.copy(counted.dump, Path(profile) / f"{name.replace(' ', '-')}.callgrind")
    return found


def count_floor(program, folder, app, requests, profile):
    """The bare proxy of benches/compare/floor."""
    port, keys = free_ports(2), folder / "keys"
    keys.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=a",
                    "-keyout", keys / "tls.key", "-out", keys / "tls.crt"], check=True, capture_output=True)
    environment = dict(os.environ, LISTEN=f"127.0.0.1:{port}", LISTEN_TLS=f"127.0.0.1:{port + 1}", KEYS=str(keys),
                       UPSTREAM=f"127.0.0.1:{app.port}", DIR=str(folder))

    def ready():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            return False

    with Counted([program], folder / "floor", ready, environment) as counted:
        client = Client(port)
        client.ask("/public/x", None, 200, WARM_UP)
        counted.take()
        client.ask("/public/x", None, 200, requests)
        found = {"the bare proxy": round(counted.take() / requests)}
        if profile:
            shutil.copy(counted.dump, Path(profile) / "the-bare-proxy.callgrind")
        return found


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="write the baseline")
    parser.add_argument("--requests", type=int, default=800, help="counted requests of each kind (default 800)")
    parser.add_argument("--tolerance", type=float, default=3.0, help="percent above the baseline (default 3)")
    parser.add_argument("--profile", help="a folder for what callgrind wrote")
    parser.add_argument("--floor", help="the bare proxy's binary")
    given = parser.parse_args()
    end_on_signals()
    if shutil.which("valgrind") is None:
        raise Trouble("no valgrind here: run scripts/setup bench")
    program = binary("release")
    with tempfile.TemporaryDirectory(prefix="portcullis-count-") as folder, App() as app:
        found = count_gateway(program, Path(folder), app, given.requests, given.profile)
        if given.floor:
            found |= count_floor(given.floor, Path(folder), app, given.requests, given.profile)
    known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    worse = []
    for name, count in found.items():
        before = known.get(name)
        change = f"{100 * (count - before) / before:+.1f} %" if before else ""
        print(f"{name:24} {count:>8} instructions  {change}")
        if before and count > before * (1 + given.tolerance / 100):
            worse.append(name)
    if given.keep:
        BASELINE.write_text(json.dumps(known | found, indent=2) + "\n")
    elif worse:
        raise Trouble(f"dearer than the baseline allows: {', '.join(worse)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"count: {trouble}")
