#!/usr/bin/env python3
"""Gives Portcullis the harness's 10,000 users, each with an opaque token, before it starts.

Runs the gateway on its own configuration, registers the users and logs each of them in by the API, and writes the
tokens, one a line, to BENCH_DIR/opaque.tokens. Run by run.py with BENCH_* in the environment; while the database and
the tokens are there, a second run does nothing.
"""
import concurrent.futures, http.client, itertools, json, os, subprocess, sys, threading, time, urllib.request

THREADS = 8


def main():
    here, port, telemetry = os.environ["BENCH_DIR"], int(os.environ["BENCH_P0"]), os.environ["BENCH_P1"]
    tokens, database = os.path.join(here, "opaque.tokens"), os.path.join(here, "portcullis.db")
    if os.path.exists(tokens) and os.path.exists(database):
        return 0
    for name in ("portcullis.db", "portcullis.db-wal", "portcullis.db-shm"):
        if os.path.exists(os.path.join(here, name)):
            os.unlink(os.path.join(here, name))
    users = [line.split()[1] for line in open(os.environ["BENCH_OPAQUE_TOKENS"])]
    with open(os.path.join(here, "seed.log"), "wb") as log:
        program = [os.environ["BENCH_PORTCULLIS_BIN"], "serve", "--config", os.path.join(here, "portcullis.toml")]
        gateway = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait(f"http://127.0.0.1:{telemetry}/readyz", gateway)
            with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
                made = list(pool.map(lambda user: token(port, user), users))
        finally:
            gateway.terminate()
            gateway.wait(20)
    with open(tokens + ".new", "w") as out:
        out.writelines(one + "\n" for one in made)
    os.rename(tokens + ".new", tokens)
    return 0


def wait(url, process):
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the gateway is not ready; see seed.log")


def token(port, user):
    password = "Lantern-Orbit-" + user
    about = {"username": user, "email": user + "@example.test", "password": password, "re_password": password}
    post(port, "/auth/users/", about, 201)
    return post(port, "/auth/token/login/", {"username": user, "password": password}, 200)["auth_token"]


HERE = threading.local()


def post(port, path, body, wanted):
    if not hasattr(HERE, "connection"):
        HERE.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for attempt in itertools.count():
        try:
            HERE.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = HERE.connection.getresponse()
            text = answer.read()
        except (http.client.HTTPException, ConnectionError):
            # The gateway closes a connection after a number of requests.
            HERE.connection.close()
            if attempt == 2:
                raise
            continue
        if answer.status != wanted:
            raise SystemExit(f"{path}: {answer.status} {text!r}")
        return json.loads(text)


if __name__ == "__main__":
    sys.exit(main())
