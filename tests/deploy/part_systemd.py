"""The unit: every line one that systemd knows, little exposed, and with the time to stop that the gateway takes.

systemd itself does not run here: what is not shown is the service under its filters.
"""

import re

from manifests import need, ran, refused
from subject import ROOT

UNIT = ROOT / "deploy" / "systemd" / "portcullis.service"
# In tenths: below 2.0 of 10.
EXPOSURE = 19


def run(report, tools, program, room):
    analyze = tools("systemd-analyze")
    text = UNIT.read_text()
    with report.case("systemd: every line is one that systemd knows"):
        good = room / "portcullis.service"
        good.write_text(text.replace("/usr/local/bin/portcullis", str(program)))
        # It tells of an unknown key and ends with 0.
        said = ran(["sh", "-c", '"$0" verify --man=no "$1" 2>&1', analyze, good])
        need("portcullis" not in said, said)
        bad = room / "bad" / "portcullis.service"
        bad.parent.mkdir()
        bad.write_text(good.read_text().replace("PrivateTmp=", "PrivateTemp="))
        need("PrivateTemp" in ran(["sh", "-c", '"$0" verify --man=no "$1" 2>&1', analyze, bad]), "a misspelt key is not found out")
    with report.case(f"systemd: exposed by no more than {EXPOSURE / 10}"):
        exposed(analyze, UNIT)
        weak = room / "weak.service"
        weak.write_text(text.replace("SystemCallFilter=", "#").replace("ProtectSystem=", "#"))
        refused([analyze, "security", "--offline=true", f"--threshold={EXPOSURE}", weak], "exposure level")
    with report.case("systemd: it has the time to stop, and a wrong configuration is not tried again"):
        need(int(re.search(r"^TimeoutStopSec=(\d+)s$", text, re.MULTILINE)[1]) > 30, "killed before server.drain_timeout is over")
        need("\nRestartPreventExitStatus=64\n" in text, "64")


def exposed(analyze, unit):
    """Its exposure; a fault if it is more than we say."""
    return ran([analyze, "security", "--offline=true", f"--threshold={EXPOSURE}", unit]).strip().splitlines()[-1]
