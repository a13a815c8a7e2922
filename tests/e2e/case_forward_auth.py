"""nginx, Traefik, Caddy and Envoy with the very files of deploy/: they ask the gateway, and do as it says.

Only the addresses in the files are replaced. Each proxy meets the same cases; at the end the gateway ends under it.
"""

import http.client
import os
import socket
import tomllib
from contextlib import ExitStack

from servers import free_ports, wait_until
from stage import UNAUTHENTICATED, Door, Echo, Program, ask, equal
from subject import ROOT

DEPLOY = ROOT / "deploy"
FORGED = {"X-Forwarded-User": "root", "X-Forwarded-User-Id": "1", "X-Forwarded-Email": "root@example.com",
          "X-Forwarded-Groups": "admins", "X_Forwarded_User": "root", "X.Forwarded.User": "root"}
NAMES = ("x-forwarded-user", "x-forwarded-user-id", "x-forwarded-email", "x-forwarded-groups")


def run(report, tools, program, folder):
    faults = []
    folder.chmod(0o711)  # nginx' workers are nobody
    for name, start in (("nginx", nginx), ("traefik", traefik), ("caddy", caddy), ("envoy", envoy)):
        place = folder / name
        place.mkdir()
        place.chmod(0o755)
        with ExitStack() as running:
            echo = running.enter_context(Echo())
            door = Door(program, place / "gateway", settings())
            with door:
                user = door.register("ada")
                tokens = door.opaque_token("ada"), door.access_token("ada")
                port = free_ports()
                proxy = start(tools, place, {8000: door.port, 3000: echo.port, 8080: port})
                proxy.port = port
                running.enter_context(proxy)
                # Traefik listens before it has read its routes.
                wait_until(lambda: ask(port, "GET", "/public/").status != 404, proxy.process, proxy.log, name)
                cases(report, name, port, user, tokens)
            faults += [f"{name}: {fault}" for fault in door.faults]
            with report.case(f"{name}: with the gateway down nobody passes"):
                for token in (None, *tokens):
                    refused = ask(port, "GET", "/things/", headers=FORGED, token=token)
                    equal((refused.status >= 400, "path" in refused.text), (True, False), refused.text)
    return faults


def cases(report, name, port, user, tokens):
    with report.case(f"{name}: a credential opens the way, the back end is told whose it is, forged headers are gone"):
        for token in tokens:
            answer = ask(port, "GET", "/things/?a=b", headers=FORGED, token=token)
            equal(answer.status, 200, answer.text)
            seen = answer.json()
            equal(seen["path"], "/things/?a=b")
            told = [seen["headers"].get(header, "") for header in NAMES]
            equal(told, ["ada", str(user["id"]), "", ""])
            lookalikes = [header for header in seen["headers"]
                          if header not in NAMES and folded(header) in {folded(one) for one in NAMES}]
            equal([seen["headers"][one] for one in lookalikes if seen["headers"][one]], ok_lookalikes(name))
            equal(seen["headers"].get("authorization"), None, "the checked credential stays")

    with report.case(f"{name}: an open route is open, and tells of nobody"):
        answer = ask(port, "GET", "/public/x", headers=FORGED)
        equal(answer.status, 200, answer.text)
        equal([answer.json()["headers"].get(header, "") for header in NAMES], [""] * 4)

    with report.case(f"{name}: without a credential, or with a bad one, it is 401 with a challenge; 403 for who may not"):
        for token in (None, "no-such-token"):
            answer = ask(port, "GET", "/things/", headers=FORGED, token=token)
            equal((answer.status, answer.headers["WWW-Authenticate"]), (401, 'Bearer realm="api"'), answer.text)
        if name != "nginx":  # which takes over no body
            equal(ask(port, "GET", "/things/").body(), (401, UNAUTHENTICATED))
        answer = ask(port, "GET", "/staff/", token=tokens[0])
        equal((answer.status, "permission" in answer.text), (403, True), answer.text)

    with report.case(f"{name}: a path with two readings reaches nobody, or what its one reading may"):
        for path in ("/public/../staff/", "/public/%2e%2e/staff/", "/public/..%2fstaff/", "/public/x%5c..%5c..%5cstaff/"):
            status, text = raw(port, path)
            equal(status in (400, 401, 403, 404), True, f"{path}: {status} {text}")

    with report.case(f"{name}: the API is served behind it, and a logout ends the way at once"):
        answer = ask(port, "GET", "/auth/users/me/", token=tokens[0])
        equal((answer.status, answer.json()["username"]), (200, "ada"), answer.text)
        equal(ask(port, "GET", "/things/", token=tokens[0]).status, 200)
        equal(ask(port, "POST", "/auth/token/logout/", headers={"Content-Length": "0"}, token=tokens[0]).status, 204)
        equal(ask(port, "GET", "/things/", token=tokens[0]).status, 401)
        equal(ask(port, "GET", "/things/", token=tokens[1]).status, 200, "another login")
        equal(ask(port, "GET", "/.well-known/jwks.json").status, 200)


def ok_lookalikes(name):
    """Names with dots pass through some proxies: the guide says so."""
    return [] if name in ("nginx", "caddy") else ["root"]


def folded(name):
    return "".join(c for c in name.lower() if c.isalnum())


def raw(port, path):
    """A target exactly as written."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(one)
        answer.begin()
        return answer.status, answer.read().decode(errors="replace")


def settings():
    found = tomllib.loads((DEPLOY / "portcullis" / "forward-auth.toml").read_text())
    del found["server"]["listen"]
    return found


def placed(source, place, ports):
    """The file of deploy/ with other ports."""
    text = (DEPLOY / source).read_text()
    for known, real in ports.items():
        for form in ("127.0.0.1:{}", "port_value: {}", "http://:{}"):
            text = text.replace(form.format(known), form.format(real))
    made = place / source.rpartition("/")[2]
    made.write_text(text)
    made.chmod(0o644)
    return made


def nginx(tools, place, ports):
    site = placed("nginx/portcullis.conf", place, ports)
    whole = place / "nginx.conf"
    temporary = "".join(f"{kind}_temp_path {place}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole.write_text(f"worker_processes 1;\ndaemon off;\npid {place}/pid;\nerror_log {place}/error.log;\nevents {{}}\n"
                     f"http {{\naccess_log off;\n{temporary}include {site};\n}}\n")
    return Program([tools.nginx, "-c", whole, "-e", place / "start.log"], 0, place / "nginx.log")


def traefik(tools, place, ports):
    placed("traefik/dynamic.yml", place, ports)
    static = placed("traefik/traefik.yml", place, ports)
    return Program([tools.installed("traefik"), f"--configfile={static}"], 0, place / "traefik.log", cwd=place)


def caddy(tools, place, ports):
    file = placed("caddy/Caddyfile", place, ports)
    home = {"HOME": str(place), "XDG_DATA_HOME": str(place), "XDG_CONFIG_HOME": str(place)}
    return Program([tools.installed("caddy"), "run", "--config", file, "--adapter", "caddyfile"], 0, place / "caddy.log",
                   env=os.environ | home)


def envoy(tools, place, ports):
    file = placed("envoy/envoy.yaml", place, ports)
    return Program([tools.envoy, "-c", file, "--base-id", str(os.getpid() % 60000), "--concurrency", "1", "-l", "warning"],
                   0, place / "envoy.log")
