"""The shell scripts around deployment, by shellcheck."""

from manifests import need, ran
from subject import ROOT

FOLDERS = ("scripts", ".ci", "deploy")


def run(report, tools, program, room):
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.is_file() and is_shell(path)]
    with report.case(f"shellcheck: {len(found)} scripts"):
        need({ROOT / "scripts/setup", ROOT / ".ci/run"} <= set(found), "scripts were not found")
        ran([tools("shellcheck"), *found], cwd=ROOT)


def is_shell(path):
    with open(path, "rb") as file:
        first = file.readline(80)
    return first.startswith(b"#!") and first.split(b"/")[-1].split()[-1] in (b"sh", b"bash")
