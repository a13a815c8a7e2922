"""Clients that others wrote, before the gateway: they log in, stay logged in, and are refused."""

import os
import shutil

from servers import free_ports
from stage import PASSWORD, Door, Echo, equal, run_client


def run(report, tools, program, folder):
    shutil.copytree(tools.clients, folder / "clients")
    (folder / "node_modules").symlink_to(tools.node_modules)
    return in_javascript(report, tools, program, folder) + in_python(report, tools, program, folder)


def guarded(echo):
    return {
        "upstreams": [{"name": "echo", "servers": [f"127.0.0.1:{echo.port}"]}],
        "routes": [{"path": "/app/", "access": "authenticated", "upstream": "echo"},
                   # A preflight carries no credential; what it is answered is the back end's business.
                   {"path": "/app/", "methods": ["OPTIONS"], "access": "anonymous", "upstream": "echo"}],
    }


def in_javascript(report, tools, program, folder):
    origins = free_ports(2)
    allowed, stranger = (f"http://127.0.0.1:{port}" for port in (origins, origins + 1))
    with Echo(allowed) as echo:
        door = Door(program, folder / "gateway", {**guarded(echo), "cors": {"allowed_origins": [allowed]}})

        def client(script, *more):
            command = [tools.node, folder / "clients" / script, door.url, "ada", PASSWORD, *more]
            environment = {**os.environ, "CHROMIUM": tools.chromium or ""}
            equal(run_client(command, folder / f"{script}.log", env=environment), "ada", script)

        with door:
            door.register("ada")
            with report.case("axios-auth-refresh: a 401 is one refresh and a second try; a spoiled refresh token is the end"):
                client("axios_auth_refresh.mjs")
            with report.case("axios-jwt: an expired access token is refreshed before the request; a forged one is refused"):
                client("axios_jwt.mjs")
            with report.case("jose: ES256 against our key set; altered tokens, other types and other keys are refused"):
                client("jose.mjs")
            with report.case("chromium: a page on another origin logs in, calls, reads a 401; a stranger's page cannot"):
                client("browser.mjs", allowed, stranger)
    return door.faults


def in_python(report, tools, program, folder):
    name = "simplejwt-session: logs in by a form with the e-mail address, is let through; a wrong password is refused"
    with Echo() as echo:
        door = Door(program, folder / "gateway-email", {**guarded(echo), "accounts": {"login_field": "email"}})
        if "accounts.login_field" in door.warnings():
            report.leave_out(name, "it needs `accounts.login_field`, which this binary has not got yet")
            return []
        with door:
            door.register("ada")
            with report.case(name):
                command = [tools.python, folder / "clients" / "session_client.py", door.url, "ada@example.com", PASSWORD]
                equal(run_client(command, folder / "session_client.log"), "ada")
    return door.faults
