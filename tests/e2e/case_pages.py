"""The gateway's own pages for mailed links, in a real browser."""

import os
import shutil

from stage import Door, Echo, equal, run_client


def run(report, tools, program, folder):
    shutil.copytree(tools.clients, folder / "clients")
    (folder / "node_modules").symlink_to(tools.node_modules)
    mails = folder / "mails"
    mails.mkdir()
    with Echo() as echo:
        door = Door(program, folder / "gateway", {
            "upstreams": [{"name": "echo", "servers": [f"127.0.0.1:{echo.port}"]}],
            "routes": [{"path": "/app/", "access": "authenticated", "upstream": "echo"}],
            "accounts": {"pages": True, "send_activation_email": True},
            "mail": {"url": f"file:{mails}"},
        })
        with door, report.case("chromium: activation, new password and new username by keyboard; axe finds nothing in light or dark"):
            command = [tools.node, folder / "clients" / "pages.mjs", door.url, mails]
            environment = {**os.environ, "CHROMIUM": tools.chromium or ""}
            equal(run_client(command, folder / "pages.log", env=environment), "ada")
    return door.faults
