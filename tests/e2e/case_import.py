"""Moving from Django: a project made by Django itself, imported, and nobody is logged out."""

import json
import subprocess

from servers import Postgres
from stage import PASSWORD, Door, Echo, equal, run_client

SECRET_KEY = "a-django-secret-key-of-more-than-thirty-two-bytes"


def run(report, tools, program, folder):
    with Postgres(folder) as postgres:
        faults = []
        for name, source in (("SQLite", f"sqlite://{folder}/django.sqlite3"), ("PostgreSQL", postgres.url)):
            faults += move(report, tools, program, folder / name, name, source)
        return faults


def move(report, tools, program, folder, name, source):
    folder.mkdir(mode=0o711)
    with Echo() as echo:
        door = Door(program, folder / "gateway", {
            "upstreams": [{"name": "echo", "servers": [f"127.0.0.1:{echo.port}"]}],
            "routes": [{"path": "/editors/", "groups": ["editors"], "upstream": "echo"},
                       {"path": "/", "access": "authenticated", "upstream": "echo"}],
            "tokens": {"jwt": {"trusted": [{"name": "django", "algorithm": "HS256", "secret": SECRET_KEY}]}},
        })
        with report.case(f"import: a project of Django on {name} is taken over, and a second time changes nothing"):
            command = [tools.python, tools.backends / "django_project.py", source, SECRET_KEY, PASSWORD]
            told = json.loads(run_client(command, folder / "django.log"))
            first, second = (taken_over(door, source) for _ in range(2))
            equal(first.splitlines()[-7:], [
                "users: 7 read: 7 new",
                "password hashes: md5 1, none (unusable) 1, pbkdf2_sha1 1, pbkdf2_sha256 3, scrypt 1",
                "group memberships: 4", "opaque tokens: 4", "ended refresh tokens: 4 new, 0 had expired",
                "e-mail addresses of several accounts: 0", "usernames that differ in spelling only: 0"])
            equal(second.splitlines()[-7], "users: 7 read: 7 unchanged")
        with door:
            after(report, door, name, told)
    return door.faults


def taken_over(door, source):
    command = [door.program, "import", "django", "--from", source, "--config", door.file]
    done = subprocess.run(command, text=True, capture_output=True, timeout=120)
    equal((done.returncode, done.stderr if done.returncode else ""), (0, ""), "import django")
    return done.stdout


def after(report, door, name, told):
    hashed = {user: facts for user, facts in told.items() if "token" in facts}
    with report.case(f"import from {name}: tokens and JWTs of before pass, as the same users, in their groups"):
        for user, facts in hashed.items():
            for token in (facts["token"], facts["access"]):
                seen = door.ask("GET", "/editors/", token=token)
                equal((seen.status, seen.json()["headers"].get("x-forwarded-user-id")), (200, str(facts["id"])), user)
            fresh = door.ask("POST", "/auth/jwt/refresh/", {"refresh": facts["refresh"]})
            equal(fresh.status, 200, f"{user} refreshes")
            equal(door.ask("GET", "/", token=fresh.json()["access"]).status, 200, user)
    with report.case(f"import from {name}: what Django had ended stays ended, and other keys are refused"):
        for user, facts in hashed.items():
            equal(door.ask("POST", "/auth/jwt/refresh/", {"refresh": facts["ended"]}).status, 401, user)
            head, claims, _ = facts["access"].split(".")
            other = facts["refresh"].rsplit(".", 1)[1]
            equal(door.ask("GET", "/", token=f"{head}.{claims}.{other}").status, 401, user)
            equal(door.ask("GET", "/", token=facts["refresh"]).status, 401, f"{user}'s refresh token at the gate")
    with report.case(f"import from {name}: every hasher's password logs in, wrong ones, none and inactive accounts do not"):
        for user in [*hashed, "root"]:
            equal(door.ask("GET", "/", token=door.opaque_token(user)).status, 200, user)
        for user, password in (("md5", PASSWORD + "x"), ("bare", PASSWORD), ("gone", PASSWORD)):
            refused = door.ask("POST", "/auth/token/login/", {"username": user, "password": password})
            equal(refused.body(), (400, {"non_field_errors": ["Unable to log in with provided credentials."]}), user)
        me = door.ask("GET", "/auth/users/me/", token=hashed["md5"]["token"])
        equal(me.body(), (200, {"id": hashed["md5"]["id"], "username": "md5", "email": "md5@example.com"}))
