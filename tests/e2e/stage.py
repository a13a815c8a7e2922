"""What every end-to-end case stands on: the report, programs that end for certain, a plain HTTP client.

Knows how things are started and asked. It must not know what a case looks at.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import traceback
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import redaction
from servers import STOP_SECONDS, Trouble, free_ports, last_lines, wait_until
from subject import Gateway, merge

PASSWORD = "analytical-Engine-1843"
UNAUTHENTICATED = {"detail": "Authentication credentials were not provided."}


class Report:
    """One line for each case, counted."""

    def __init__(self):
        self.passed = self.failed = self.left_out = 0

    @contextmanager
    def case(self, name):
        """What happens inside is the case; a failed one is told and the run goes on."""
        try:
            yield
        except Exception as fault:  # whatever it is, it is this case's
            self.fail(name, explained(fault))
        else:
            self.passed += 1
            print(f"  passed  {name}", flush=True)

    def fail(self, name, reason):
        self.failed += 1
        print(f"  FAILED  {name}", flush=True)
        print("\n".join("          " + line for line in reason.splitlines()), flush=True)

    def leave_out(self, name, reason):
        self.left_out += 1
        print(f"  left out  {name}: {reason}", flush=True)


class Unequal(AssertionError):
    pass


def explained(fault):
    if isinstance(fault, (Unequal, Trouble, subprocess.TimeoutExpired)):
        return str(fault)
    return "".join(traceback.format_exception(fault, limit=-2)).rstrip()


def equal(seen, wanted, what=""):
    if seen != wanted:
        raise Unequal(f"{what + ': ' if what else ''}wanted {wanted!r}\nsaw {seen!r}")


# --- programs ----------------------------------------------------------------------------------------


def end_group(process):
    """Ends a program that we started in a session of its own, and what it started there."""
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


class Program:
    """A back end, from listening to ended."""

    def __init__(self, command, port, log, **where):
        self.command, self.port, self.log, self.where = [str(part) for part in command], port, Path(log), where

    def __enter__(self):
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            start_new_session=True, **self.where)
        try:
            wait_until(lambda: listens(self.port), self.process, self.log, Path(self.command[0]).name)
        except BaseException:
            end_group(self.process)
            raise
        return self

    def __exit__(self, *_):
        end_group(self.process)


def run_client(command, log, seconds=60, **where):
    """Runs a client to its end and hands on its last line; one that fails is shown with its last words."""
    with Path(log).open("wb") as out:
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   start_new_session=True, **where)
    try:
        code = process.wait(seconds)
    finally:
        end_group(process)
    if code != 0:
        raise Trouble(f"ended with {code}:\n{last_lines(Path(log), 25)}")
    return (Path(log).read_text().splitlines() or [""])[-1]


def listens(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Echo:
    """A back end that tells what it was asked, and lets scripts of one other origin read it."""

    def __init__(self, origin=None):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
                self.send_response(200)
                if origin and self.headers.get("Origin") == origin:
                    self.send_header("Access-Control-Allow-Origin", origin)
                    self.send_header("Access-Control-Allow-Headers", "authorization")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_OPTIONS = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


# --- the gateway and its users -----------------------------------------------------------------------


class Door(Gateway):
    """The real binary with the product's defaults, but for its places and what the case says."""

    def __init__(self, program, folder, changes):
        folder = Path(folder)
        folder.mkdir(exist_ok=True)
        self.port = free_ports(2)
        super().__init__(program, folder, merge({
            "server": {"listen": [f"127.0.0.1:{self.port}"], "telemetry_listen": f"127.0.0.1:{self.port + 1}"},
            "database": {"url": f"sqlite://{folder}/portcullis.db"},
        }, changes))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def warnings(self):
        """What `portcullis check` has to say about the configuration."""
        done = subprocess.run([self.program, "check", "--config", self.file], text=True, capture_output=True, timeout=60)
        return done.stderr

    def ask(self, method, path, body=None, headers=(), token=None):
        return ask(self.port, method, path, body, headers, token)

    def register(self, username):
        address = f"{username.encode('ascii', 'ignore').decode()}@example.com"
        fields = {"username": username, "email": address, "password": PASSWORD, "re_password": PASSWORD}
        answer = self.ask("POST", "/auth/users/", fields)
        equal(answer.status, 201, f"registering {username}")
        return answer.json()

    def opaque_token(self, username):
        answer = self.ask("POST", "/auth/token/login/", {"username": username, "password": PASSWORD})
        equal(answer.status, 200, f"logging {username} in")
        return answer.json()["auth_token"]

    def access_token(self, username):
        answer = self.ask("POST", "/auth/jwt/create/", {"username": username, "password": PASSWORD})
        equal(answer.status, 200, f"logging {username} in")
        return answer.json()["access"]


class Answer:
    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text

    def json(self):
        return json.loads(self.text)

    def body(self):
        """Status and body, as cases compare them."""
        return self.status, self.json()


def ask(port, method, path, body=None, headers=(), token=None):
    """One request. A dict goes as JSON; `token` into Authorization."""
    headers = dict(headers)
    if isinstance(body, dict):
        body, headers["Content-Type"] = json.dumps(body), "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    redaction.used(body, *(f"{name}: {value}" for name, value in headers.items()))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        redaction.used(text) if answer.status < 400 else redaction.said("refusals", text)
        return Answer(answer.status, answer.headers, text)
    finally:
        connection.close()
