"""The commands of README.md and docs/: run, and what they print compared with what is written."""

import os
import subprocess
import sys

from documents import Shell, documents, place, read, targets
from servers import Trouble
from stage import end_group, equal, listens
from subject import ROOT


def run(report, tools, program, folder):
    folder.chmod(0o755)
    (folder / "node_modules").symlink_to(tools.node_modules)  # what the guides' `npm install` brings
    programs = {"portcullis": program, "python3": tools.python, "node": tools.node, "nginx": tools.nginx,
                "uvicorn": tools.python.parent / "uvicorn"}
    with report.case("docs: a document that promises something else is found out"):
        found_out(Shell(place(folder, 0), ROOT / "docs/guides/examples", programs, end_group), folder)
    with report.case("docs: the reference of the settings is the one of this binary"):
        done = subprocess.run([sys.executable, ROOT / "scripts/config-reference", "--check"], capture_output=True,
                              text=True, env={**os.environ, "PORTCULLIS_BIN": str(program)}, timeout=60)
        equal(done.returncode, 0, done.stdout + done.stderr)
    count = 0
    for document in documents(ROOT):
        name = document.relative_to(ROOT)
        sessions, faults = read(document, targets(ROOT))
        for fault in faults:
            report.fail(f"docs: {name}", fault)
        for session in sessions:
            count += 1
            title = f"docs: {name}{', ' if session.name else ''}{session.name}: {len(session.commands())} commands"
            with report.case(title), Shell(place(folder, count), ROOT / "docs/guides/examples", programs, end_group) as shell:
                for step in session.steps:
                    shell.play(step, listens)
    return []


def found_out(shell, folder):
    """Each of these fences is wrong in one way; the same fence is right once the way is mended."""
    prints = {"$ printf 'a\\nb\\n'\na\n": False, "$ printf 'a\\nb\\n'\na\nb\nc\n": False, "$ printf 'a\\nb\\n'\na\nb\n": True,
              "$ printf 'a\\nb\\n'\n…\n": True, "$ echo abc\na…d\n": False, "$ echo abc\na…c\n": True,
              "$ false\n": False, "$ true\n": True, "$ nothing-of-this-name\n…\n": False}
    page = folder / "page.md"
    with shell:
        for text, right in prints.items():
            page.write_text(f"```console\n{text}```\n")
            [session], faults = read(page, set())
            equal(faults, [], text)
            try:
                shell.play(session.steps[0], listens)
                equal(True, right, f"believed: {text}")
            except Trouble as trouble:
                equal(False, right, f"not believed: {text}: {trouble}")
    writes = {"```\nls\n```": 1, "```text\nls\n```": 0, "```sh\nls\n```": 1, "<!-- not run: why -->\n```sh\nls\n```": 0,
              "<!-- not run: why -->\n```sh\nmake nothing\n```": 1, "<!-- not run: why -->\n```sh\nmake test\n```": 0}
    for text, count in writes.items():
        page.write_text(text + "\n")
        equal(len(read(page, {"test"})[1]), count, text)
