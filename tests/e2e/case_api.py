"""The API's description, held by tools that others wrote: linters, a generated client, and a fuzzer that takes it at its word."""

import json
import os
import re
import shutil
from pathlib import Path

from servers import Trouble
from stage import PASSWORD, Door, equal, run_client
from subject import CHEAP_HASH, ROOT

EXAMPLE = ROOT / "docs" / "guides" / "examples" / "typescript"
GUIDE = ROOT / "docs" / "guides" / "typescript.md"
# What the example prints is the guide's, and the part `docs` holds it; here its end is enough.
LAST_WORDS = "afterwards it is 401: Given token not valid for any token type"

# Accounts of the staff that the fuzzer may use up.
STAFF = [f"keeper{number}" for number in range(12)]
FUZZ_SECONDS, SEED = 45, 1
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
          "response_headers_conformance", "unsupported_method", "ignored_auth")


def run(report, tools, program, folder):
    door = Door(program, folder / "gateway", {
        "accounts": {"argon2": CHEAP_HASH},
        # An answer of 429 is described everywhere and would soon be the only one.
        "limits": {"throttling": False},
        "routes": [{"path": "/", "access": "deny"}],
    })
    work = folder / "work"
    shutil.copytree(tools.api, work)
    (work / "node_modules").symlink_to(tools.node_modules)
    with door:
        description = folder / "openapi.json"
        description.write_text(door.ask("GET", "/auth/schema/").text)
        lints(report, tools, description, work)
        client(report, tools, door, work)
        fuzz(report, tools, door, description, work)
    return door.faults


def lints(report, tools, description, work):
    linters = {
        "spectral": [tools.npm("spectral"), "lint", "--fail-severity", "hint", "--ruleset", work / "spectral.yaml"],
        "redocly": [tools.node, work / "redocly.mjs", work / "redocly.yaml"],
    }
    spoiled = work / "not-described.json"
    spoiled.write_text(description.read_text().replace('"description": "The account."', '"text": "The account."'))
    for name, command in linters.items():
        with report.case(f"{name}: finds nothing in the description, and does in a spoiled one"):
            run_client([*command, description], work / f"{name}.log")
            must_fail([*command, spoiled], work / f"{name}-spoiled.log")


def client(report, tools, door, work):
    """The guide's example against a client that is generated from what the gateway serves."""
    for file in EXAMPLE.iterdir():
        shutil.copy(file, work)
    with report.case("docs: what the guide shows of the conversation is what runs"):
        shown = re.findall(r"^```ts\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
        equal([part for part in shown if part not in (EXAMPLE / "conversation.ts").read_text()], [])
        equal(bool(shown), True, "it shows something")
    with report.case("openapi-typescript: the generated client is well typed, and calls that are wrong are none"):
        generate = [tools.npm("openapi-typescript"), f"{door.url}/auth/schema/", "-o", "portcullis.d.ts"]
        run_client(generate, work / "generate.log", cwd=work)
        run_client([tools.npm("tsc")], work / "tsc.log", cwd=work)
        # Each wrong call is marked as one, and a mark where nothing is wrong is an error.
        run_client([tools.npm("tsc"), "--project", "wrong_calls.json"], work / "wrong_calls.log", cwd=work)
    with report.case("openapi-fetch: registers, logs in, changes, renews its password and JWTs, logs out, is out"):
        environment = {**os.environ, "PORTCULLIS": f"{door.url}/auth"}
        said = run_client([tools.node, work / "built" / "conversation.js"], work / "conversation.log", env=environment)
        equal(said, LAST_WORDS)


def fuzz(report, tools, door, description, work):
    for name in STAFF:
        door.create_user(name, f"{name}@example.com", PASSWORD, staff=True)
    (work / "schemathesis.toml").write_text(f'hooks = "{work}/fuzz.py"\n')
    environment = {**os.environ, "PORTCULLIS": f"{door.url}/auth", "PORTCULLIS_PASSWORD": PASSWORD, "PORTCULLIS_STAFF": " ".join(STAFF)}
    command = [tools.installed("schemathesis"), "--config-file", work / "schemathesis.toml", "run", "--url", f"{door.url}/auth",
               "--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing", "--continue-on-failure", "--seed", str(SEED),
               "--generation-database", "none", "--warnings", "off", "--no-color"]
    with report.case("schemathesis: an answer that is not described is found out"):
        spoiled = json.loads(description.read_text())
        del spoiled["paths"]["/users/me/"]["get"]["responses"]["401"]
        unannounced = work / "unannounced.json"
        unannounced.write_text(json.dumps(spoiled))
        only = ["--include-operation-id", "showMe", "--max-time", "10"]
        must_fail([*command, *only, unannounced], work / "unannounced.log", env=environment, cwd=work)
    with report.case(f"schemathesis: {FUZZ_SECONDS} s of made-up requests, nothing 5xx, nothing that is not described"):
        whole = [*command, "--max-time", str(FUZZ_SECONDS), description]
        run_client(whole, work / "schemathesis.log", FUZZ_SECONDS + 30, env=environment, cwd=work)


def must_fail(command, log, **where):
    try:
        run_client(command, log, **where)
    except Trouble:
        return
    raise Trouble(f"{Path(command[0]).name} had nothing to say, see {log.name}")
