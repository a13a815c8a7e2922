"""A published CalDAV server that believes a header: Radicale, with nothing changed but its settings."""

from base64 import b64encode

from servers import free_ports
from stage import PASSWORD, UNAUTHENTICATED, Door, Program, ask, equal

EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//portcullis//e2e//EN
BEGIN:VEVENT
UID:lecture
DTSTAMP:20260101T000000Z
DTSTART:20260102T100000Z
DTEND:20260102T110000Z
SUMMARY:Notes on the engine
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")
ICS = {"Content-Type": "text/calendar"}


def run(report, tools, program, folder):
    port = free_ports()
    radicale = Program(
        [tools.python, "-m", "radicale", "--config", "", "--server-hosts", f"127.0.0.1:{port}",
         "--auth-type", "http_x_remote_user", "--storage-filesystem-folder", folder / "calendars"],
        port, folder / "radicale.log")
    door, by_password = (Door(program, folder / name, {
        "identity_headers": {"preset": "remote", "user": "X-Remote-User"},
        "upstreams": [{"name": "radicale", "servers": [f"127.0.0.1:{port}"]}],
        "routes": [{"path": "/", "access": "authenticated", "upstream": "radicale", **more}],
    }) for name, more in (("gateway", {}), ("gateway-basic", {"credentials": ["bearer", "basic"]})))
    with radicale:
        with door:
            cases(report, door, port)
        return door.faults + with_passwords(report, by_password)


def cases(report, door, radicale):
    for name in ("ada", "grace"):
        door.register(name)
    ada, grace = door.opaque_token("ada"), door.opaque_token("grace")

    with report.case("radicale: a registered user makes a calendar, writes an event and reads it back"):
        equal(door.ask("MKCALENDAR", "/ada/work/", token=ada).status, 201, "MKCALENDAR")
        equal(door.ask("PUT", "/ada/work/lecture.ics", EVENT, ICS, token=ada).status, 201, "PUT")
        read = door.ask("GET", "/ada/work/lecture.ics", token=ada)
        equal((read.status, "SUMMARY:Notes on the engine" in read.text), (200, True), "GET")
        listed = door.ask("PROPFIND", "/ada/", headers={"Depth": "1"}, token=ada)
        equal((listed.status, "/ada/work/" in listed.text), (207, True), "PROPFIND")

    with report.case("radicale: a JWT opens the same calendar as the opaque token"):
        equal(door.ask("GET", "/ada/work/lecture.ics", token=door.access_token("ada")).status, 200)

    with report.case("radicale: nobody is refused by the gateway, and Radicale itself knows no other way in"):
        refused = door.ask("PUT", "/ada/work/forged.ics", EVENT, ICS)
        equal(refused.body(), (401, UNAUTHENTICATED))
        equal(refused.headers["WWW-Authenticate"], 'Bearer realm="api"')
        equal(door.ask("GET", "/ada/work/forged.ics", token=ada).status, 404, "it was not written")
        equal(ask(radicale, "GET", "/ada/work/lecture.ics").status in (401, 403), True, "past the gateway, without a header")

    with report.case("radicale: two users do not see each other"):
        equal(door.ask("MKCALENDAR", "/grace/home/", token=grace).status, 201, "her own")
        equal(door.ask("GET", "/ada/work/lecture.ics", token=grace).status, 403, "another's event")
        equal(door.ask("PUT", "/ada/work/lecture.ics", EVENT, ICS, token=grace).status, 403, "writing another's event")
        listed = door.ask("PROPFIND", "/", headers={"Depth": "1"}, token=grace)
        equal((listed.status, "/grace/" in listed.text, "/ada/" in listed.text), (207, True, False), "what there is")

    with report.case("radicale: an X-Remote-User that the client sends is overwritten, in every spelling"):
        for name in ("X-Remote-User", "x-remote-user", "X_Remote_User", "X-Remote_User"):
            forged = {name: "ada"}
            equal(door.ask("GET", "/ada/work/lecture.ics", headers=forged, token=grace).status, 403, f"{name}, as grace")
            equal(door.ask("GET", "/ada/work/lecture.ics", headers=forged).body(), (401, UNAUTHENTICATED), f"{name}, as nobody")

    with report.case("radicale: after logout the calendar is closed, at once"):
        equal(door.ask("POST", "/auth/token/logout/", token=ada).status, 204, "logout")
        equal(door.ask("GET", "/ada/work/lecture.ics", token=ada).status, 401)


def with_passwords(report, door):
    """As CalDAV clients speak: name and password with every request."""
    name = "radicale: name and password in each request do what a token does; wrong ones are refused"
    if "credentials" in door.warnings():
        report.leave_out(name, "it needs `credentials` of a route, which this binary has not got yet")
        return []
    with door:
        door.register("charles")
        with report.case(name):
            right, wrong = basic("charles", PASSWORD), basic("charles", PASSWORD + "x")
            equal(door.ask("MKCALENDAR", "/charles/home/", headers=right).status, 201, "MKCALENDAR")
            equal(door.ask("PUT", "/charles/home/lecture.ics", EVENT, {**ICS, **right}).status, 201, "PUT")
            equal(door.ask("GET", "/charles/home/lecture.ics", headers=right).status, 200, "GET")
            equal(door.ask("GET", "/ada/work/lecture.ics", headers=right).status, 403, "another's event")
            equal(door.ask("GET", "/charles/home/lecture.ics", headers=wrong).status, 401, "a wrong password")
            refused = door.ask("GET", "/charles/home/lecture.ics")
            challenges = " ".join(refused.headers.get_all("WWW-Authenticate", []))
            equal((refused.status, "Basic" in challenges), (401, True), "whether clients are told to ask for a password")
    return door.faults


def basic(name, password):
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}
