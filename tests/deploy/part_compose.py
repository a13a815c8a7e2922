"""The compose file: linted, of the right form, its networks as tight as it says, its configurations taken, its application run.

No Docker is here: what is not shown is that the images of others are what their tags say.
"""

import os
import shutil
import subprocess
import sys
import tomllib

import yaml

from manifests import need, ran, seconds
from servers import free_ports, wait_until
from stage import Door, ask, end_group, listens
from subject import ROOT

FOLDER = ROOT / "deploy" / "compose"
NETWORKS = {"app": {"application"}, "database": {"data"}, "redis": {"data"}, "prometheus": {"metrics", "outside"},
            "gateway": {"application", "data", "metrics", "outside"}}


def run(report, tools, program, room):
    file = FOLDER / "compose.yaml"
    compose = yaml.safe_load(file.read_text())
    services = compose["services"]
    with report.case("compose: dclint, without a warning"):
        ran([tools("node"), tools("dclint"), "--max-warnings", "0", file])
    with report.case("compose: the form that the specification gives it"):
        ran([tools("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", file])
    with report.case("compose: nobody gets to the application, the database or Redis but the gateway"):
        need({name: set(one["networks"]) for name, one in services.items()} == NETWORKS, "the networks are others")
        inner = {name for name, one in compose["networks"].items() if one.get("internal")}
        need(inner == {"application", "data", "metrics"}, f"networks that lead nowhere: {inner}")
        ports = {name: one["ports"] for name, one in services.items() if "ports" in one}
        need(set(ports) == {"gateway", "prometheus"}, f"published: {ports}")
        need(all(port.startswith("127.0.0.1:") for some in ports.values() for port in some), f"open to all: {ports}")
    with report.case("compose: what can do without rights and without writing does"):
        for name in ("app", "gateway", "prometheus", "redis"):
            one = services[name]
            need(one["read_only"] and one["cap_drop"] == ["ALL"] and one["security_opt"] == ["no-new-privileges:true"], name)
    with report.case("compose: what is mounted and built is there"):
        mounted(compose)
    copy = room / "compose"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("secrets"))
    with report.case("compose: prepare makes every secret once, and nobody else reads them"):
        prepared(compose, copy)
    with report.case("compose: the gateway takes its configuration, and has the time to stop"):
        text = (copy / "portcullis.toml").read_text()
        (copy / "checked.toml").write_text(text.replace("/run/secrets/", f"{copy}/secrets/"))
        ran([program, "check", "--config", copy / "checked.toml"], env={})
        server = tomllib.loads(text)["server"]
        times = [seconds(server[key]) for key in ("shutdown_delay", "drain_timeout")]
        need(seconds(services["gateway"]["stop_grace_period"]) > sum(times), f"times: {times}")
    with report.case("compose: Prometheus takes its configuration and the alerts"):
        place = room / "prometheus"
        place.mkdir()
        shutil.copy(ROOT / "deploy/prometheus/portcullis.rules.yaml", place)
        shutil.copy(FOLDER / "prometheus.yml", place)
        said = ran([tools("promtool"), "check", "config", place / "prometheus.yml"])
        need("1 rule files found" in said, said)
    with report.case("compose: the application behind the gateway, by the routes of the file"):
        conversation(program, copy, room)


def mounted(compose):
    named = set(compose["volumes"])
    for name, one in compose["services"].items():
        for volume in one.get("volumes", []):
            source = volume.split(":")[0]
            need((FOLDER / source).exists() if source.startswith(".") else source in named, f"{name}: no {source}")
        need(set(one.get("secrets", [])) <= set(compose["secrets"]), f"{name}: secrets")
    build = compose["services"]["gateway"]["build"]
    need((FOLDER / build["context"] / build["dockerfile"]).is_file(), "nothing to build")
    config = (FOLDER / "portcullis.toml").read_text()
    for secret in compose["services"]["gateway"]["secrets"]:
        need(f'"/run/secrets/{secret}"' in config, f"the gateway does not read {secret}")


def prepared(compose, copy):
    wanted = {one["file"].removeprefix("secrets/") for one in compose["secrets"].values()}
    os.umask(0o022)
    seen = []
    for _ in range(2):
        ran([copy / "prepare"])
        seen.append({path.name: path.read_text() for path in (copy / "secrets").iterdir()})
    need(set(seen[0]) == wanted, f"made {set(seen[0])}, wanted {wanted}")
    need(seen[0] == seen[1], "the second time makes others")
    need(len(seen[0]["secret_key"]) == 64 and seen[0]["database_password"] in seen[0]["database_url"], "the secrets do not fit")
    need((copy / "secrets").stat().st_mode & 0o777 == 0o700, "others can look into the folder")
    need(all(path.stat().st_mode & 0o777 == 0o444 for path in (copy / "secrets").iterdir()), "the containers cannot read them")


def conversation(program, copy, room):
    port = free_ports()
    (copy / "app.py").write_text((copy / "app.py").read_text().replace('("0.0.0.0", 3000)', f'("127.0.0.1", {port})'))
    settings = tomllib.loads((copy / "portcullis.toml").read_text())
    need(settings["upstreams"][0]["servers"] == ["app:3000"], "the application is elsewhere")
    upstreams = [{"name": "app", "servers": [f"127.0.0.1:{port}"]}]
    log = room / "app.log"
    with open(log, "w") as out:
        app = subprocess.Popen([sys.executable, "-u", copy / "app.py"], stdout=out, stderr=out, start_new_session=True)
    try:
        wait_until(lambda: listens(port), app, log, "the application")
        with Door(program, room / "gateway", {"upstreams": upstreams, "routes": settings["routes"]}) as gateway:
            need(ask(gateway.port, "GET", "/public/x").text == "/public/x is asked for by nobody\n", "public")
            need(ask(gateway.port, "GET", "/x").status == 401, "let in without a credential")
            person = {"username": "ada", "email": "ada@example.com", "password": "analytical-Engine-1843", "re_password": "analytical-Engine-1843"}
            ask(gateway.port, "POST", "/auth/users/", person)
            token = ask(gateway.port, "POST", "/auth/token/login/", person).json()["auth_token"]
            need(ask(gateway.port, "GET", "/x", token=token).text == "/x is asked for by ada\n", "who asks is not told")
    finally:
        end_group(app)
