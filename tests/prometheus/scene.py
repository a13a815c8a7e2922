"""What the check of the metrics stands on: two gateways, an upstream, Redis and a real Prometheus.

Everything on free ports and in one temporary folder, and ended on the way out. It must not know what is asked.
"""

import json
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servers import Redis, Trouble, free_ports, stop, wait_until
from subject import ROOT, Gateway

PROMETHEUS = ROOT / "deploy" / "prometheus"
CERTIFICATES = ROOT / "tests" / "data" / "tls"
ISSUER, AUDIENCE = "https://plain.portcullis.test", "main"


def found(name):
    """A program of Debian's package prometheus."""
    if program := shutil.which(name):
        return program
    raise Trouble(f"no {name} here: run scripts/setup metrics")


class Upstream:
    """Answers at once, or below /slow/ after two seconds."""

    def __enter__(self):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if "/slow/" in self.path:
                    time.sleep(2)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Frozen(Redis):
    """A Redis that can stand still, and be spoken to."""

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def ask(self, *words):
        done = subprocess.run(["redis-cli", "-u", self.url, *words], capture_output=True, text=True, timeout=10)
        if done.returncode != 0:
            raise Trouble(f"redis-cli {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout.split()

    def __exit__(self, *_):
        with suppress(ProcessLookupError):
            self.thaw()
        super().__exit__()


def plain_settings(folder, port):
    """The gateway that has nothing: no Redis, no TLS, no upstream. It is the other's trusted issuer."""
    return {
        "server": {"listen": [f"127.0.0.1:{port}"], "telemetry_listen": f"127.0.0.1:{port + 1}"},
        "database": {"url": f"sqlite://{folder}/portcullis.db"},
        "tokens": {"jwt": {"issuer": ISSUER, "audience": [AUDIENCE], "user_id_claim": "sub"}},
    }


def main_settings(folder, port, redis, upstream, issuer_port):
    """The gateway that has everything. `port`: without TLS; the next two: with TLS, telemetry; the one after: nobody."""
    nobody = f"127.0.0.1:{port + 3}"
    trusted = {"algorithm": "ES256", "audience": [AUDIENCE], "users": "claims"}
    application = f"127.0.0.1:{upstream}"
    return {
        "server": {
            "listen": [], "telemetry_listen": f"127.0.0.1:{port + 2}", "drain_timeout": "5s",
            "tls": {"certificate": f"{folder}/tls.crt", "private_key": f"{folder}/tls.key"},
            "listeners": [{"address": f"127.0.0.1:{port}", "tls": False}, {"address": f"127.0.0.1:{port + 1}", "tls": True}],
        },
        "database": {"url": f"sqlite://{folder}/portcullis.db"},
        "redis": {"url": redis},
        # So short that Redis and the database are asked again while the check runs.
        "cache": {"token_ttl": "2s"},
        "mail": {"url": f"smtp://{nobody}"},
        # No collector, and it says so: spans are refused.
        "traces": {"endpoint": f"http://127.0.0.1:{port + 2}"},
        # A hash takes long enough for others to wait, and to wait too long.
        "accounts": {"argon2": {"memory_kib": 65536, "iterations": 3, "parallelism": 1}},
        "limits": {"login_per_address": "1000/s", "registration_per_address": "1000/s", "reset_per_account": "1000/s",
                   "hashing_threads": 1, "hashing_wait": "1200ms"},
        "tokens": {"jwt": {"trusted": [
            {**trusted, "name": "plain", "issuer": ISSUER, "jwks_url": f"http://127.0.0.1:{issuer_port}/.well-known/jwks.json"},
            {**trusted, "name": "never", "issuer": "https://never.portcullis.test", "jwks_url": f"http://{nobody}/"},
        ]}},
        "upstreams": [
            {"name": "app", "servers": [application]},
            {"name": "half", "servers": [application, nobody]},
            {"name": "gone", "servers": [nobody]},
        ],
        "routes": [
            {"path": "/public/", "access": "anonymous", "upstream": "app"},
            {"path": "/maybe/", "access": "optional", "upstream": "app"},
            {"path": "/staff/", "access": "staff", "upstream": "app"},
            {"path": "/basic/", "upstream": "app", "credentials": ["bearer", "basic"]},
            {"path": "/half/", "upstream": "half"},
            {"path": "/gone/", "upstream": "gone"},
            {"path": "/", "upstream": "app"},
        ],
    }


class Prometheus:
    """The real one, with the rules of deploy/, scraping every second."""

    def __init__(self, folder, targets):
        self.folder, self.targets = Path(folder) / "prometheus", targets

    def __enter__(self):
        self.folder.mkdir()
        port = free_ports()
        self.url = f"http://127.0.0.1:{port}"
        configuration = self.folder / "prometheus.yml"
        # JSON is YAML.
        configuration.write_text(json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(PROMETHEUS / "portcullis.rules.yaml")],
            "scrape_configs": [{"job_name": "portcullis", "static_configs": [{"targets": self.targets}]}],
        }))
        log = self.folder / "log"
        command = [found("prometheus"), f"--config.file={configuration}", f"--storage.tsdb.path={self.folder}/data",
                   f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            start_new_session=True)
        wait_until(self.is_ready, self.process, log, "prometheus")
        return self

    def __exit__(self, *_):
        stop(self.process, signal.SIGTERM)

    def is_ready(self):
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
            return answer.status == 200
        return False

    def api(self, path, **parameters):
        """The data of an answer; a refused question is a `Trouble` with Prometheus' words."""
        question = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{question}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            raise Trouble(f"{json.load(refused).get('error')}: {parameters.get('query')}") from None

    def rules(self):
        return [rule for group in self.api("rules")["groups"] for rule in group["rules"]]

    def now(self, expression):
        return self.api("query", query=expression)["result"]

    def over(self, expression, since):
        """Every series with its numbers, as Grafana would draw them."""
        data = self.api("query_range", query=expression, start=f"{since:.3f}", end=f"{time.time():.3f}", step="1")
        return [(one["metric"], [float(value) for _, value in one["values"]]) for one in data["result"]]


class Replica(Gateway):
    """A gateway with what the check looks at."""

    def scrape(self):
        with urllib.request.urlopen(f"http://{self.telemetry}/metrics", timeout=5) as answer:
            return answer.read().decode()


def renew(folder, certificate, key):
    """Puts a pair in place; one of another name is no pair."""
    shutil.copy(CERTIFICATES / f"{certificate}.crt", folder / "tls.crt")
    shutil.copy(CERTIFICATES / f"{key}.key", folder / "tls.key")
