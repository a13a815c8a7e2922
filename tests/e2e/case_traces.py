"""What a collector reads in the gateway's spans with the official protobuf package, and what back ends are told of them."""

import json
import time

from servers import Trouble, free_ports
from stage import PASSWORD, Door, Echo, Program, ask, equal

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTINUED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}


def run(report, tools, program, folder):
    port = free_ports()
    collector = Program([tools.python, tools.backends / "collector.py", port], port, folder / "collector.log")
    faults = []
    with collector, Echo() as echo:
        routes = {"upstreams": [{"name": "echo", "servers": [f"127.0.0.1:{echo.port}"]}],
                  "routes": [{"path": "/public/", "access": "anonymous", "upstream": "echo"},
                             {"path": "/", "access": "authenticated", "upstream": "echo"}],
                  "traces": {"endpoint": f"http://127.0.0.1:{port}", "service_name": "edge"}}
        door = Door(program, folder / "stranger", routes)
        with door:
            told_to_anybody(report, door, port)
        faults += door.faults
        trusting = {**routes, "server": {"trusted_proxies": ["127.0.0.0/8"]}}
        door = Door(program, folder / "trusted", trusting)
        with door:
            continued(report, door, port)
            last = [door.ask("GET", f"/public/last/{number}").status for number in range(20)]
        faults += door.faults
        with report.case("traces: what is queued when the gateway is told to stop still arrives"):
            equal(last, [200] * 20)
            arrived = [span for span in spans(port) if span["attributes"].get("url.path", "").startswith("/public/last/")]
            equal(len(arrived), 20)
    return faults


def told_to_anybody(report, door, port):
    door.register("ada")
    token = door.opaque_token("ada")
    with report.case("traces: a request is a SERVER span with its check and a CLIENT span, which the back end knows"):
        answer = door.ask("GET", "/things/?secret=1", headers=CONTINUED, token=token)
        equal(answer.status, 200, answer.text)
        server, check, client = trace(port, "/things/", 3)
        equal([(span["kind"], span["name"]) for span in (server, check, client)],
              [("SPAN_KIND_SERVER", "GET /"), ("SPAN_KIND_INTERNAL", "portcullis.auth"), ("SPAN_KIND_CLIENT", "GET")])
        equal((server["parent"], check["parent"], client["parent"]), ("", server["span"], server["span"]), "parents")
        seen = answer.json()["headers"]
        equal(seen["traceparent"], f"00-{client['trace']}-{client['span']}-01", "what the back end got")
        equal("tracestate" in seen, False, "a stranger's tracestate")
        equal(server["links"], [[TRACE, PARENT]], "a stranger's trace")
        equal(server["resource"]["service.name"], "edge")
        wanted = {"http.request.method": "GET", "http.response.status_code": 200, "http.route": "/", "url.scheme": "http",
                  "client.address": "127.0.0.1", "network.protocol.version": "1.1"}
        equal({key: server["attributes"].get(key) for key in wanted}, wanted)
        equal(check["attributes"]["portcullis.credential"], "opaque")
        equal(server["start"] <= check["start"] <= check["end"] <= client["end"] <= server["end"], True, "order")

    with report.case("traces: a login is told by its end point, a refusal by its reason, a secret not at all"):
        equal(door.ask("GET", "/refused/").status, 401)
        server, check = trace(port, "/refused/", 2)
        equal((server["attributes"]["http.response.status_code"], check["attributes"]["portcullis.reason"]), (401, "no_credential"))
        [login] = trace(port, "/auth/token/login/", 1)
        equal((login["name"], login["attributes"]["portcullis.decision"]), ("POST /auth/token/login/", "local"))
        everything = json.dumps(spans(port))
        equal([word for word in (token, PASSWORD, "secret=1", "ada@example.com") if word in everything], [], "secrets")


def continued(report, door, port):
    with report.case("traces: a trusted proxy's trace goes on, through the gateway to the back end"):
        answer = door.ask("GET", "/public/continued", headers=CONTINUED)
        server, _, client = trace(port, "/public/continued", 3)
        equal((server["trace"], server["parent"], server["state"], server["links"]), (TRACE, PARENT, "vendor=1", []))
        seen = answer.json()["headers"]
        equal((seen["traceparent"], seen["tracestate"]), (f"00-{TRACE}-{client['span']}-01", "vendor=1"))


def spans(port):
    return ask(port, "GET", "/").json()


def trace(port, path, count):
    """The spans of the request for this path, its own first, in the order of their making."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        every = spans(port)
        own = [span for span in every if span["attributes"].get("url.path") == path]
        same = [span for span in every if own and span["trace"] == own[0]["trace"]]
        if len(same) >= count:
            equal(len(same), count, f"spans of {path}")
            return same
        time.sleep(0.05)
    raise Trouble(f"no {count} spans of {path} in {json.dumps(spans(port), indent=1)}")
