"""A gateway on a SQLite file that was filled before: users, tokens that are known, logins that ended.

Filled past the gateway, in seconds instead of hours; what it then does with them is its own. It must not know what is
measured.
"""

import hashlib
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

from measure import pinned
from servers import Trouble, free_ports, stop
from subject import merge, settings, to_toml

CONNECTIONS, BATCH = 8, 64


class Gateway:
    """The gateway on a database of its own; its lines go nowhere."""

    def __init__(self, program, folder, entries, changes=None, cpus=None):
        """`entries`: as many tokens and users are held in memory; `changes`: of the settings; `cpus`: as for taskset."""
        folder.mkdir()
        self.program, self.folder = program, folder
        self.pinned = pinned(cpus)
        port = free_ports(2)
        self.address, self.telemetry = ("127.0.0.1", port), f"127.0.0.1:{port + 1}"
        config = settings(folder, port, port + 1)
        config["cache"] = {"tokens": entries, "users": entries, "token_ttl": "1h"}
        config["limits"] |= {"requests_per_connection": 10_000_000, "connections_per_address": 100}
        config["upstreams"] = [{"name": "app", "servers": ["127.0.0.1:9"]}]
        config["routes"] = [{"path": "/", "upstream": "app", "access": "staff"}]
        self.file = folder / "portcullis.toml"
        self.file.write_text(to_toml(merge(config, changes or {})) + "\n")
        subprocess.run([program, "migrate", "--config", self.file], check=True, capture_output=True)

    def fill(self, users, tokens=0, revocations=0):
        """Users, imported tokens that are spread over them, and logins that ended just now."""
        now = int(time.time() * 1e6)
        database = sqlite3.connect(self.folder / "portcullis.db")
        with database:
            database.executemany(
                "INSERT INTO users (username, username_key, password, is_active, is_staff, is_superuser, date_joined)"
                " VALUES (?1, ?1, '!', 1, 0, 0, ?2)", ((f"user-{n:07}", now) for n in range(users)))
            first = database.execute("SELECT min(id) FROM users").fetchone()[0]
            database.executemany(
                "INSERT INTO logins (id, user_id, kind, generation, created, last_used) VALUES (?, ?, 'opaque', 0, ?, ?)",
                ((login(n), first + n * users // tokens, now, now) for n in range(tokens)))
            database.executemany(
                "INSERT INTO opaque_tokens (digest, login_id, imported) VALUES (?, ?, 1)",
                ((hashlib.sha256(token(n).encode()).digest(), login(n)) for n in range(tokens)))
            database.executemany(
                "INSERT INTO change_log (kind, login_id, at) VALUES ('login_ended', ?, ?)",
                ((login(-1 - n), now) for n in range(revocations)))
        database.close()
        return self

    def __enter__(self):
        since = time.perf_counter()
        self.process = subprocess.Popen([*self.pinned, self.program, "serve", "--config", self.file], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while not self.is_ready():
            if self.process.poll() is not None:
                raise Trouble(f"the gateway ended with {self.process.returncode}")
            if time.perf_counter() - since > 60:
                raise Trouble("the gateway was not ready within a minute")
            time.sleep(0.005)
        self.ready_ms = round(1000 * (time.perf_counter() - since), 1)
        return self

    def __exit__(self, *_):
        stop(self.process, signal.SIGTERM)

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.telemetry}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def resident(self):
        """Bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise Trouble("no VmRSS")

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.telemetry}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name):
                    return float(line.rpartition(" ")[2])
        return 0.0

    def show(self, first, end):
        """Asks with the tokens from `first` to `end`; every answer must be 403."""
        faults = []
        share = (end - first + CONNECTIONS - 1) // CONNECTIONS
        workers = [threading.Thread(target=self.ask, args=(start, min(start + share, end), faults))
                   for start in range(first, end, share)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if faults:
            raise Trouble(faults[0])

    def ask(self, first, end, faults):
        try:
            with socket.create_connection(self.address, timeout=60) as one:
                for start in range(first, end, BATCH):
                    count = min(BATCH, end - start)
                    one.sendall(b"".join(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Token %b\r\n\r\n" % token(n).encode()
                                         for n in range(start, start + count)))
                    text, seen = b"", 0
                    while seen < count:
                        piece = one.recv(1 << 16)
                        if not piece:
                            raise Trouble("the gateway closed")
                        text += piece
                        seen = text.count(b"HTTP/1.1 ")
                    while not text.endswith(b"}"):
                        text += one.recv(1 << 16)
                    if text.count(b"HTTP/1.1 403") != count:
                        raise Trouble(f"not all 403: {text[:200]!r}")
        except (OSError, Trouble) as error:
            faults.append(f"tokens {first} to {end}: {error}")


def token(number):
    return hashlib.sha256(b"token %d" % number).hexdigest()[:40]


def login(number):
    return hashlib.sha256(b"login %d" % number).digest()[:16]
