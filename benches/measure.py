"""What the measurements under load share: an application behind the gateway, wrk before it, and the CPU time between.

It must not know what is measured.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))

from servers import Trouble, answers, stop, wait_until  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
BODY = b"hello from upstream"

NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello from upstream"; }} }}
}}
"""


class Upstream:
    """nginx where it is installed, else a few lines of asyncio: its CPU is not counted."""

    def __init__(self, folder, port, cpus=None):
        self.folder, self.port, self.pinned = Path(folder), port, pinned(cpus)
        self.program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        self.name = "nginx" if self.program else "asyncio"

    def __enter__(self):
        if self.program:
            config = self.folder / "nginx.conf"
            config.write_text(NGINX.format(folder=self.folder, port=self.port))
            command = [*self.pinned, self.program, "-e", self.folder / "nginx.log", "-p", self.folder, "-c", config]
        else:
            command = [*self.pinned, sys.executable, __file__, str(self.port)]
        log = self.folder / "upstream.log"
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        question = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        wait_until(lambda: answers(self.port, question, b"HTTP/1.1 200"), self.process, log, self.name)
        return self

    def __exit__(self, *_):
        stop(self.process, 15)


async def serve_upstream(port):
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)

    async def one(reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", port)
    await server.serve_forever()


def pinned(cpus):
    """The words before a command that keep it on `cpus`; None: wherever the system puts it."""
    return ["taskset", "-c", str(cpus)] if cpus is not None else []


def wrk(url, seconds, connections, cpus, **arguments):
    """Requests done by wrk with the comparison's script and `arguments` for it; anything but the wanted answer ends the run."""
    refused = arguments.pop("refused", False)
    command = [*pinned(cpus), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", HERE / "compare" / "wrk" / "bench.lua",
               url, "--", *(f"{name}={value}" for name, value in arguments.items())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120)
    if not (found := re.search(r"JSON(\{.*\})", done.stderr)):
        raise Trouble(f"wrk said: {done.stdout} {done.stderr}")
    found = json.loads(found[1])
    wanted = found["requests"] if refused else 0
    faults = {name: found[name] for name in ("connect", "read", "write", "timeout") if found[name]}
    if found["status"] != wanted or (faults and not arguments.get("close")):
        raise Trouble(f"{url}: {found['status']} of {found['requests']} answers were refusals, {wanted} wanted; {faults}")
    return found["requests"]


def cpu_seconds(pid):
    """User and system time of the process with all its threads (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    asyncio.run(serve_upstream(int(sys.argv[1])))
