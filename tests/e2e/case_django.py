"""Django + DRF behind the gateway, in both ways: believing its header, and checking its tokens."""

from servers import free_ports
from stage import UNAUTHENTICATED, Door, Program, ask, equal


def run(report, tools, program, folder):
    port = free_ports()
    upstream = {"access": "authenticated", "upstream": "django"}
    door = Door(program, folder / "gateway", {
        "upstreams": [{"name": "django", "servers": [f"127.0.0.1:{port}"]}],
        "routes": [{"path": "/remote/", **upstream}, {"path": "/jwt/", "forward_credential": True, **upstream}],
    })
    django = Program([tools.python, tools.backends / "django_app.py", port, f"{door.url}/.well-known/jwks.json", folder],
                     port, folder / "django.log")
    with door, django:
        cases(report, door, port)
    return door.faults


def cases(report, door, django):
    users = {name: door.register(name)["id"] for name in ("ada", "grace")}
    access = {name: door.access_token(name) for name in users}

    with report.case("django: RemoteUserBackend and simplejwt's JWTStatelessUserAuthentication see the same user"):
        for name, number in users.items():
            remote = door.ask("GET", "/remote/whoami/", token=access[name])
            equal((remote.status, remote.json()["username"], remote.json()["id"]), (200, name, str(number)), "by header")
            equal(door.ask("GET", "/jwt/whoami/", token=access[name]).body(), (200, {"id": str(number)}), "by token")

    with report.case("django: a name beyond ASCII arrives as it was registered"):
        door.register("zoë")
        equal(door.ask("GET", "/remote/whoami/", token=door.access_token("zoë")).json()["username"], "zoë")

    with report.case("django: the credential goes upstream only where the route says so"):
        equal(door.ask("GET", "/remote/whoami/", token=access["ada"]).json()["saw_credential"], False)

    with report.case("django: an opaque token is enough for the header, and nothing that simplejwt would take"):
        opaque = door.opaque_token("ada")
        equal(door.ask("GET", "/remote/whoami/", token=opaque).json()["username"], "ada")
        refused = door.ask("GET", "/jwt/whoami/", token=opaque)
        equal((refused.status, refused.json()["code"]), (401, "token_not_valid"))

    with report.case("django: a forged identity header does not help, with a token or without"):
        for header in ("X-Forwarded-User", "x-forwarded-user", "X_Forwarded_User", "X-Forwarded_User"):
            forged = {header: "root"}
            seen = door.ask("GET", "/remote/whoami/", headers=forged, token=access["ada"])
            equal((seen.status, seen.json()["username"]), (200, "ada"), header)
            equal(door.ask("GET", "/remote/whoami/", headers=forged).body(), (401, UNAUTHENTICATED), header)
        known = door.ask("GET", "/remote/whoami/", token=access["ada"]).json()["known"]
        equal(known, ["ada", "grace", "zoë"], "whom Django has ever seen")

    with report.case("django: simplejwt itself takes our tokens and refuses forged ones, past the gateway"):
        good = access["ada"]
        equal(ask(django, "GET", "/jwt/whoami/", token=good).body(), (200, {"id": str(users["ada"])}))
        head, claims, signature = good.split(".")
        for forged in (f"{head}.{access['grace'].split('.')[1]}.{signature}", f"{head}.{claims}.{signature[::-1]}"):
            equal(ask(django, "GET", "/jwt/whoami/", token=forged).status, 401)
            equal(door.ask("GET", "/jwt/whoami/", token=forged).status, 401)
