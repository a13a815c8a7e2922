"""The commands that our documents show, run as they stand there.

A fence says what it holds:

    ```console         a conversation with a shell: `$ ` begins a command, `> ` goes on with it, the rest is
                       what it prints. It is run; every command must end with 0 and print just that. `…`
                       stands for any text, on a line of its own for any lines.
    ```toml FILE       (any language, then a name) is written into that file before the next command.
    ```sh              commands that are not run. `<!-- not run: REASON -->` must stand above.

Each document is one session: one shell, one empty folder with the examples in it. `<!-- session: NAME -->`
begins another. Only the ports are changed, to free ones. A command that ends in `&` is waited for until it
listens.
"""

import os
import re
import select
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import redaction
from servers import Trouble, free_ports

FENCE = re.compile(r"^```\s*(\S*)\s*(.*?)\s*$")
SESSION = re.compile(r"^<!-- session: (.+?) -->$")
NOT_RUN = re.compile(r"^<!-- not run: .+ -->$")
# The gateway, the application behind it, probes and metrics.
PORTS = ("8000", "3000", "9464")
PORT = re.compile(r"(?<!\d)(" + "|".join(PORTS) + r")(?!\d)")
END = "\x01end of command "
SECONDS = 60


@dataclass
class Command:
    line: int
    text: str
    output: list = field(default_factory=list)


@dataclass
class File:
    name: str
    text: str


@dataclass
class Session:
    name: str
    steps: list = field(default_factory=list)

    def commands(self):
        return [step for step in self.steps if isinstance(step, Command)]


def read(document, targets):
    """The sessions of a document, and what is wrong with how it is written. `targets`: those of the Makefile."""
    sessions, faults, above, fence = [Session("")], [], "", None
    for number, line in enumerate(document.read_text().splitlines(), 1):
        if fence is not None:
            if line.rstrip() == "```":
                close(fence, sessions[-1], faults, targets)
                fence = None
            else:
                fence[-1].append(line)
        elif found := FENCE.match(line):
            fence = (number, found[1], found[2], bool(NOT_RUN.match(above)), [])
        elif found := SESSION.match(line):
            sessions.append(Session(found[1]))
        if line.strip():
            above = line
    return [one for one in sessions if one.commands()], faults


def close(fence, session, faults, targets):
    number, language, name, excused, lines = fence
    if not language:
        faults.append(f"line {number}: a fence must say what it holds; `text` if nothing else")
    elif language == "console":
        session.steps += conversation(number, lines, faults)
    elif language in ("sh", "bash"):
        if not excused:
            faults.append(f"line {number}: commands that are not run need <!-- not run: REASON --> above; or make it `console`")
        called = {found[1] for line in lines if (found := re.match(r"make ([\w-]+)", line))}
        faults += [f"line {number}: there is no `make {one}`" for one in sorted(called - targets)]
    elif name:
        session.steps.append(File(name, "\n".join(lines) + "\n"))


def conversation(number, lines, faults):
    commands = []
    for at, line in enumerate(lines, number + 1):
        if line.startswith("$ "):
            commands.append(Command(at, line[2:]))
        elif not commands:
            faults.append(f"line {at}: output before the first command (`$ `)")
        elif line.startswith("> ") and not commands[-1].output:
            commands[-1].text += "\n" + line[2:]
        else:
            commands[-1].output.append(line)
    return commands


def prints(output, wanted):
    """Whether the output is the documented one."""
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"\n"
                      for line in wanted)
    return re.fullmatch(pattern, output if not output or output.endswith("\n") else output + "\n") is not None


class Shell:
    """One session's shell, in a folder like a clone with the examples in it."""

    def __init__(self, folder, examples, programs, end_group):
        """`programs`: what must be found, by name; `end_group` ends a process and all in its session."""
        self.folder, self.end_group = folder, end_group
        first = free_ports(len(PORTS))
        self.ports = {port: str(first + at) for at, port in enumerate(PORTS)}
        # What the guides have in their users' reach.
        path = folder / ".bin"
        path.mkdir(parents=True)
        folder.chmod(0o755)  # nginx gives up its rights before it reads
        for name, program in programs.items():
            # A link would lead Python out of its environment.
            (path / name).write_text(f'#!/bin/sh\nexec "{program}" "$@"\n')
            (path / name).chmod(0o755)
        shutil.copytree(examples, folder / "docs" / "guides" / "examples")
        for file in (folder / "docs").rglob("*"):
            if file.is_file():
                file.write_text(self.there(file.read_text()))
        self.environment = {
            "PATH": f"{path}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "HOME": str(folder), "LC_ALL": "C.UTF-8",
            # The product's default ports, for files that leave them out.
            "PORTCULLIS__SERVER__LISTEN": self.there("127.0.0.1:8000"),
            "PORTCULLIS__SERVER__TELEMETRY_LISTEN": self.there("127.0.0.1:9464"),
            # npm would look for a newer one of itself, and tell.
            "npm_config_update_notifier": "false",
        }

    def there(self, text):
        return PORT.sub(lambda found: self.ports[found[1]], text)

    def back(self, text):
        for documented, real in self.ports.items():
            text = re.sub(rf"(?<!\d){real}(?!\d)", documented, text)
        return text

    def __enter__(self):
        self.process = subprocess.Popen(["bash", "--noprofile", "--norc"], cwd=self.folder, env=self.environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        start_new_session=True)
        return self

    def __exit__(self, *_):
        try:
            self.run("jobs -p | xargs -r kill; wait")
        except (Trouble, OSError):
            pass
        finally:
            self.process.stdin.close()
            self.end_group(self.process)
            self.process.stdout.close()
            for log in self.folder.glob("line-*.log"):
                redaction.said("documents", log.read_bytes())

    def play(self, step, listens):
        if isinstance(step, File):
            (self.folder / step.name).write_text(self.there(step.text))
            return
        text = self.there(step.text)
        redaction.used(text)
        if text.rstrip().endswith("&"):
            self.start(step, text, listens)
            return
        code, output = self.run(text)
        output = self.back(output)
        if code != 0 or not prints(output, step.output):
            wanted = "\n".join(step.output)
            raise Trouble(f"line {step.line}: {step.text}\nwanted:\n{wanted}\nended with {code}, printed:\n{output}")

    def start(self, step, text, listens):
        """In the background, with its output in a file, until a port listens that did not."""
        log = self.folder / f"line-{step.line}.log"
        waiting = {port for port in self.ports.values() if not listens(int(port))}
        self.run(f"{text.rstrip().removesuffix('&')} >'{log}' 2>&1 &")
        deadline = time.monotonic() + SECONDS
        waiting.discard(self.ports["9464"])  # it listens before the gateway serves
        while not any(listens(int(port)) for port in waiting):
            running = self.run("jobs -pr | wc -l")[1].strip()
            if running == "0" or time.monotonic() > deadline:
                raise Trouble(f"line {step.line}: {step.text}\nis not listening:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)

    def run(self, text):
        """Exit code and output of a command, in this very shell."""
        script = self.folder / ".command"
        script.write_text(text + "\n")
        # Its input is not the shell's, or it would eat the commands that follow.
        self.process.stdin.write(f". '{script}' </dev/null; printf '\\n{END}%s\\n' $?\n".encode())
        self.process.stdin.flush()
        seen, deadline = b"", time.monotonic() + SECONDS
        while not (found := re.search(rb"\n" + END.encode() + rb"(\d+)\n$", seen)):
            if not select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Trouble(f"not through after {SECONDS} s: {text}\n{seen.decode(errors='replace')}")
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                raise Trouble(f"the shell ended at: {text}\n{seen.decode(errors='replace')}")
            seen += chunk
        return int(found[1]), seen[:found.start()].decode(errors="replace")


def documents(root):
    return [*(root / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")), *sorted((root / "docs").rglob("*.md"))]


def targets(root):
    return set(re.findall(r"^([\w-]+):", (root / "Makefile").read_text(), re.MULTILINE))


def place(folder, number):
    path = Path(folder) / f"session-{number}"
    path.mkdir()
    return path
