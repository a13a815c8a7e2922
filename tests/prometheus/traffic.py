"""Requests of all kinds, and trouble of all kinds, so that every metric moves.

One round goes by in some seconds; at least two are needed, since Prometheus sees a rate only between two scrapes. It
must not know what is asked of Prometheus.
"""

import base64
import http.client
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from scene import renew
from servers import Trouble
from stage import PASSWORD, ask, equal

LONGEST_WAIT = 20


class Traffic:
    """Clients of the two gateways. `port`: of the one with everything, the next is its port with TLS."""

    def __init__(self, main, port, plain_port):
        self.main, self.port, self.plain = main, port, plain_port
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        self.round = 0

    def log_in(self, name, port=None, path="/auth/token/login/"):
        answer = ask(port or self.port, "POST", path, {"username": name, "password": PASSWORD})
        equal(answer.status, 200, f"logging {name} in")
        return answer.json().get("auth_token") or answer.json()

    def register(self, name, port=None):
        fields = {"username": name, "email": f"{name}@example.com", "password": PASSWORD, "re_password": PASSWORD}
        equal(ask(port or self.port, "POST", "/auth/users/", fields).status, 201, f"registering {name}")

    def get(self, path, token=None, wanted=200, **more):
        answer = ask(self.port, "GET", path, token=token, **more)
        equal(answer.status, wanted, f"{path}: {answer.text}")

    def over_tls(self, path, name, password, wanted):
        word = base64.b64encode(f"{name}:{password}".encode()).decode()
        connection = http.client.HTTPSConnection("127.0.0.1", self.port + 1, timeout=30, context=self.tls)
        try:
            connection.request("GET", path, headers={"Authorization": f"Basic {word}", "Host": "localhost"})
            equal(connection.getresponse().status, wanted, f"{path} as {name}")
        finally:
            connection.close()

    def raw(self, port, bytes_):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
            one.sendall(bytes_)
            with suppress(OSError):
                one.recv(4096)

    def play(self):
        """One round of what happens on a good day, and what attackers and careless clients add."""
        self.round += 1
        name = f"ada{self.round}"
        self.register(name)
        slow = threading.Thread(target=self.get, args=("/public/slow/",))
        slow.start()
        token, pair = self.log_in(name), self.log_in(name, path="/auth/jwt/create/")
        for credential in (token, pair["access"]):
            for path in ("/a", "/a", "/maybe/a", "/half/a", "/half/a"):
                self.get(path, credential)
            self.get("/staff/a", credential, 403)
            self.get("/gone/a", credential, 502)
        self.get("/public/a")
        self.get("/maybe/a")
        self.get("/a", wanted=401)
        self.get("/a", "0" * 40, 401)
        self.get("/a", "a.b.c", 401)
        self.get("/a//b", token, 400)
        self.get("/a", token, headers={"X-Forwarded-User": "root", "X-Forwarded-Groups": "staff"})
        self.foreign()
        self.our_own(name, token, pair)
        self.over_tls("/basic/a", name, PASSWORD, 200)
        self.over_tls("/basic/a", name, "wrong", 401)
        self.raw(self.port, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        self.raw(self.port + 1, b"this is no TLS\r\n\r\n")
        self.ended_elsewhere(name)
        slow.join()

    def foreign(self):
        """A token of the other gateway, whom this one trusts."""
        name = f"bea{self.round}"
        self.register(name, self.plain)
        access = self.log_in(name, self.plain, "/auth/jwt/create/")["access"]
        self.get("/a", access)

    def our_own(self, name, token, pair):
        def post(path, wanted, **fields):
            equal(ask(self.port, "POST", f"/auth{path}", fields).status, wanted, path)

        self.get("/auth/users/me/", token)
        post("/jwt/refresh/", 200, refresh=pair["refresh"])
        post("/jwt/verify/", 401, token="a.b.c")
        post("/users/reset_password/", 204, email=f"{name}@example.com")
        statuses = {ask(self.port, "POST", "/auth/token/login/", {"username": f"{name}x", "password": "wrong"}).status
                    for _ in range(12)}
        equal(statuses, {400, 429}, "guessing")
        with ThreadPoolExecutor(40) as crowd:
            found = list(crowd.map(lambda at: ask(self.port, "POST", "/auth/jwt/create/",
                                                  {"username": f"{name}y{at}", "password": "wrong"}).status, range(40)))
        equal(set(found), {401, 503}, "a crowd that logs in at once")

    def ended_elsewhere(self, name):
        """By another process, which is how an end on another replica reaches this one, too."""
        token = self.log_in(name)
        self.get("/a", token)
        self.main.command("user", "revoke", name)
        self.until(lambda: ask(self.port, "GET", "/a", token=token).status == 401, "the revoked token to end")

    # --- trouble ---------------------------------------------------------------------------------

    def until(self, holds, what):
        """Waits for it, and no longer than for anything that is well."""
        deadline = time.monotonic() + LONGEST_WAIT
        while not holds():
            if time.monotonic() > deadline:
                raise Trouble(f"waited {LONGEST_WAIT} s in vain for {what}")
            time.sleep(0.2)

    def until_says(self, line):
        self.until(lambda: line in self.main.scrape().splitlines(), line)
        time.sleep(2.5)  # two scrapes

    def certificates(self, folder):
        renew(folder, "renewed", "other")
        self.until_says("portcullis_tls_certificates_current 0")
        renew(folder, "renewed", "renewed")
        self.until_says("portcullis_tls_certificates_current 1")

    def configuration(self):
        good = self.main.file.read_text()
        for text, success in ((good + "\nnonsense = 1\n", 0), (good, 1)):
            self.main.file.write_text(text)
            self.main.process.send_signal(signal.SIGHUP)
            self.until_says(f"portcullis_config_last_reload_success {success}")

    def redis(self, redis):
        """Full, forged, frozen."""
        name = f"ada{self.round}"
        token = self.log_in(name)
        redis.ask("CONFIG", "SET", "maxmemory", "1")
        time.sleep(2.5)
        self.get("/a", token)
        self.log_in(name)
        time.sleep(2.5)  # two scrapes
        self.get("/a", token)
        redis.ask("CONFIG", "SET", "maxmemory", "0")
        self.until(lambda: self.forged(redis, token), "a forged value to be found out")
        time.sleep(2.5)
        redis.freeze()
        self.until(lambda: self.get("/a", token) or 'portcullis_dependency_up{dependency="redis"} 0' in self.main.scrape(),
                   "Redis to be missed")
        for _ in range(2):
            self.get("/a", token)
            time.sleep(2.5)
        redis.thaw()
        self.until_says('portcullis_dependency_up{dependency="redis"} 1')

    def forged(self, redis, token):
        for key in redis.ask("--scan"):
            if ":token:" in key or ":user:" in key:
                redis.ask("SET", key, "forged", "PX", "10000")
        self.get("/a", token)
        return 'portcullis_token_cache_requests_total{result="forged",tier="redis"} 0' not in self.main.scrape().splitlines()

    def database(self, folder):
        """Its file moved away: the same as a server that is gone."""
        file, aside = folder / "portcullis.db", folder / "aside.db"
        file.rename(aside)
        try:
            self.until_says('portcullis_dependency_up{dependency="database"} 0')
            for _ in range(3):
                equal(ask(self.port, "POST", "/auth/token/login/", {"username": "ada1", "password": PASSWORD}).status, 503)
                equal(ask(self.port, "GET", "/a", token=self.unseen).status, 503, "an unseen token without a database")
                time.sleep(1.5)
        finally:
            aside.rename(file)
        self.until_says('portcullis_dependency_up{dependency="database"} 1')

    def prepare(self):
        """A key that signs no more, and a good token that neither memory nor Redis knows by the time it is used."""
        self.main.command("keys", "rotate", "--now")
        self.unseen = self.log_in("ada1")

