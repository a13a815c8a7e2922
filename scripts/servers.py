"""Private PostgreSQL and Redis servers for tests: on free ports, in a folder of their own.

Each is a context manager that starts one server and ends exactly that one. Nothing here
touches a server that was running before.
"""

import glob
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

START_SECONDS = 30
STOP_SECONDS = 20


class Trouble(Exception):
    """Something that keeps the run from starting; the text is for the reader."""


def end_on_signals():
    """A request to end becomes an exception, as Ctrl-C is one: what was started is ended on the way out."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))


def free_ports(count=1):
    """The first of `count` ports in a row that nobody listens on.

    Below the range from which systems take ports for outgoing connections, so that none of those
    takes one between the look and the use.
    """
    for _ in range(200):
        first = random.randrange(10000, 30000 - count)
        held = []
        try:
            for port in range(first, first + count):
                one = socket.socket()
                held.append(one)
                one.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
    raise Trouble("no free ports between 10000 and 30000")


def stop(process, signal_to_send):
    """Ends a process that we started; kills it if it does not listen. True if it went by itself."""
    if process.poll() is not None:
        return False
    process.send_signal(signal_to_send)
    try:
        process.wait(STOP_SECONDS)
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def wait_until(ready, process, log, name):
    """Waits for `ready()`. A process that is not, or that ends before, is ended and shown with its last words."""
    deadline = time.monotonic() + START_SECONDS
    try:
        while not ready():
            if process.poll() is not None:
                raise Trouble(f"{name} ended at once (code {process.returncode}):\n{last_lines(log)}")
            if time.monotonic() > deadline:
                raise Trouble(f"{name} was not ready within {START_SECONDS} s:\n{last_lines(log)}")
            time.sleep(0.05)
    except BaseException:
        stop(process, signal.SIGKILL)
        raise


def last_lines(log, count=20):
    try:
        return "\n".join("    " + line for line in log.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return "    (no log)"


def answers(port, question, answer):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as one:
            one.sendall(question)
            return one.recv(64).startswith(answer)
    except OSError:
        return False


class Redis:
    """redis-server or valkey-server; keeps nothing on disk."""

    def __init__(self, folder, password=""):
        self.folder, self.password = Path(folder) / "redis", password

    def __enter__(self):
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise Trouble("no redis-server here: run scripts/setup test")
        self.folder.mkdir()
        port = free_ports()
        log = self.folder / "log"
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "",
                 "--appendonly", "no", "--dir", str(self.folder), "--daemonize", "no", "--requirepass", self.password],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        known = b"-NOAUTH" if self.password else b"+PONG"
        wait_until(lambda: answers(port, b"PING\r\n", known), self.process, log, "redis-server")
        login = f":{self.password}@" if self.password else ""
        self.url = f"redis://{login}127.0.0.1:{port}/"
        return self

    def __exit__(self, *_):
        stop(self.process, signal.SIGTERM)


class Postgres:
    """A PostgreSQL cluster that forgets nothing while it runs and everything afterwards.

    With `survives`, not even when it is killed and started again.

    `url` leads to its maintenance database as superuser; every test makes a database of its own.
    PostgreSQL refuses to run as root: then it runs as `postgres`, or as `nobody`.
    """

    def __init__(self, folder, survives=False):
        self.folder = Path(folder) / "postgres"
        self.survives = survives
        self.account = None

    def __enter__(self):
        programs = postgres_programs()
        if programs is None:
            raise Trouble("no PostgreSQL server programs here: run scripts/setup test")
        self.folder.mkdir()
        password = secrets.token_hex(16)
        word = self.folder / "password"
        word.write_text(password)
        if os.geteuid() == 0:
            self.account = unprivileged_account()
            # The way to its folder must be open to it; what lies beside it is not.
            self.folder.parent.chmod(0o711)
            for path in (self.folder, word):
                os.chown(path, self.account.pw_uid, self.account.pw_gid)
        data = self.folder / "data"
        log = self.folder / "log"
        with log.open("wb") as out:
            made = self.run([programs / "initdb", "-D", data, "--username=portcullis", "--encoding=UTF8",
                             "--no-locale", "--auth=scram-sha-256", f"--pwfile={word}", "--no-sync"], out).wait()
            if made != 0:
                raise Trouble(f"initdb failed:\n{last_lines(log)}")
            port = free_ports()
            settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder,
                        "max_connections": 200, "fsync": "off", "synchronous_commit": "on" if self.survives else "off",
                        "full_page_writes": "off"}
            options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.command = [programs / "postgres", "-D", data, *options]
        self.start()
        self.url = f"postgres://portcullis:{password}@127.0.0.1:{port}/postgres"
        return self

    def start(self):
        pid_file, log = self.folder / "data" / "postmaster.pid", self.folder / "log"
        pid_file.unlink(missing_ok=True)  # of one that was killed
        with log.open("ab") as out:
            self.process = self.run(self.command, out)
        wait_until(lambda: is_ready(pid_file), self.process, log, "postgres")

    def signal(self, number):
        """To the server and to every process of its own, which are in sessions of their own."""
        os.kill(self.process.pid, signal.SIGSTOP)  # from now on it makes no others
        for pid in [*children(self.process.pid), self.process.pid]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def run(self, command, out):
        who = {}
        if self.account is not None:
            who = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        return subprocess.Popen([str(part) for part in command], cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=out, stderr=out, start_new_session=True, **who)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.thaw()
        stop(self.process, signal.SIGINT)  # ends the sessions, then itself


class PgBouncer:
    """PgBouncer in transaction mode before a `Postgres`: every database of it, over two connections each.

    Two, so that clients must take turns: a statement that trusts in its connection finds another's there.
    """

    def __init__(self, folder, postgres):
        self.folder, self.postgres = Path(folder) / "pgbouncer", postgres

    def __enter__(self):
        program = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))
        if program is None:
            raise Trouble("no pgbouncer here: run scripts/setup test")
        self.folder.mkdir()
        port = free_ports()
        server = urlsplit(self.postgres.url)
        configuration = self.folder / "pgbouncer.ini"
        configuration.write_text(f"""
[databases]
* = host={server.hostname} port={server.port} user={server.username} password={server.password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_client_conn = 1000
""")
        log = self.folder / "log"
        if self.postgres.account is not None:
            for path in (self.folder, configuration):
                os.chown(path, self.postgres.account.pw_uid, self.postgres.account.pw_gid)
        with log.open("wb") as out:
            self.process = self.postgres.run([program, configuration], out)
        wait_until(lambda: listens(port), self.process, log, "pgbouncer")
        self.address = f"127.0.0.1:{port}"
        return self

    def __exit__(self, *_):
        stop(self.process, signal.SIGINT)


def listens(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def postgres_programs():
    """The folder of initdb and postgres, the newest version where there are several."""
    places = ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*",
              "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"]
    found = [Path(folder) for place in places for folder in glob.glob(place)]
    found.sort(key=lambda folder: [int(part) for part in "".join(c if c.isdigit() else " " for c in str(folder)).split()])
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    usable = [folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()]
    return usable[-1] if usable else None


def unprivileged_account():
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Trouble("PostgreSQL does not run as root, and there is neither an account `postgres` nor `nobody`")


def children(parent):
    found = []
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            # pid (name) state ppid ...; the name may hold anything.
            fields = Path(stat).read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.split("/")[2]))
    return found


def is_ready(pid_file):
    """PostgreSQL writes its state into the eighth line."""
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"


def keep_postgres():
    """For a test that kills or freezes a server of its own: says where it is, then does as it is told.

    Orders come by standard input, one on a line; the end of it ends the server.
    """
    with tempfile.TemporaryDirectory(prefix="portcullis-postgres-") as folder, Postgres(folder, survives=True) as server:
        orders = {"kill": server.kill, "start": server.start, "freeze": server.freeze, "thaw": server.thaw}
        print(server.url, flush=True)
        for line in sys.stdin:
            order = line.strip()
            if order not in orders:
                break
            orders[order]()
            print(f"done: {order}", flush=True)


if __name__ == "__main__":
    end_on_signals()
    if sys.argv[1:] != ["postgres"]:
        sys.exit("usage: servers.py postgres")
    keep_postgres()
