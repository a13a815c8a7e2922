"""The image: its file linted, its second stage built by buildah around our binary, and run as it would be.

There is no registry here, so stand-ins take the places of others' images: for Debian one that mmdebstrap makes of the
release that this machine runs (the binary was built against it), for the first stage a folder with what it hands on. That
stage compiles for many minutes; of it only the context is held: what it copies must be all that cargo and the source ask for.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from manifests import Fault, need, ran
from part_debian import codename
from servers import free_ports, stop, wait_until
from stage import ask
from subject import ROOT, to_toml

FILE = ROOT / "deploy" / "container" / "Containerfile"
USER = "65532"
EMBEDS = re.compile(r'include_(?:str|bytes)!\(\s*"([^"]+)"|migrate!\("([^"]+)"')


def run(report, tools, program, room):
    with report.case("container: hadolint"):
        ran([tools("hadolint"), "--failure-threshold", "style", FILE])
    with report.case("container: what is copied is what .containerignore lets in, and all that cargo asks for"):
        context(room)
    built = []
    with report.case("container: the second stage is built"):
        built.append(Image(tools, program, room))
    if not built:
        return
    image = built[0]
    with report.case("container: nobody in particular, one program, labels"):
        declared(image)
    with report.case("container: nothing in it can be written by its user but the data"):
        writable(image)
    with report.case("container: runs as nobody, without rights, on a read-only root, and stops by itself"):
        runs(image, room)


def copied():
    """Paths that the first stage takes from the clone."""
    first = FILE.read_text().split("\nFROM ")[1].replace("\\\n", " ")
    lines = re.findall(r"^COPY (?!--from)(.*)$", first, re.MULTILINE)
    return {path for line in lines for path in line.split()[:-1]}


def context(room):
    allowed = {line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line.startswith("!")}
    need(copied() == allowed, f"copied or let in, not both: {sorted(copied() ^ allowed)}")
    place = room / "context"
    for path in copied():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / path).is_dir() else shutil.copy)(ROOT / path, target)
    ran(["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"], cwd=place)
    embedded = 0
    for source in (place / "src").rglob("*.rs"):
        product = source.read_text().split("#[cfg(test)]\nmod tests {")[0]
        for beside, below in EMBEDS.findall(product):
            embedded += 1
            path = place / below if below else source.parent / beside
            need(path.exists(), f"{source.relative_to(place)} embeds {beside or below}, which is not copied")
    need(embedded >= 8, f"only {embedded} embedded files were found: has the way of writing them changed?")


class Image:
    """Our image in a store of its own, which goes with the room."""

    def __init__(self, tools, program, room):
        need(os.getuid() == 0, "to build and run an image takes root")
        self.room, self.unshare = room, tools("unshare")
        self.buildah = [tools("buildah"), "--root", room / "store", "--runroot", room / "run", "--storage-driver", "vfs"]
        bases = re.findall(r"^FROM (\S+)$", FILE.read_text(), re.MULTILINE)
        need(len(bases) == 1, f"one base is expected: {bases}")
        stand_in = room / "stand-in"
        stand_in.mkdir()
        ran([tools("mmdebstrap"), "--quiet", "--variant=essential", codename(), stand_in / "root.tar"])
        (stand_in / "Containerfile").write_text("FROM scratch\nADD root.tar /\n")
        self.build("--tag", bases[0], stand_in)
        out = room / "builder"
        (out / "out/bin").mkdir(parents=True)
        (out / "out/doc").mkdir()
        ran(["strip", "-o", out / "out/bin/portcullis", program])
        (out / "out/bin/portcullis").chmod(0o755)
        for name in ("LICENSE", "NOTICE", "tests/data/common-passwords.LICENSE.txt"):
            shutil.copy(ROOT / name, out / "out/doc")
        (out / "etc/ssl/certs").mkdir(parents=True)
        (out / "etc/ssl/certs/ca-certificates.crt").write_text("")
        self.build("--build-context", f"builder={out}", "--tag", "portcullis", "--file", FILE, ROOT)
        self.container = ran([*self.buildah, "from", "--pull=never", "portcullis"]).strip()
        self.root = Path(ran([*self.buildah, "mount", self.container]).strip())

    def build(self, *words):
        # Nothing is fetched: what is not in the store is a fault.
        ran([*self.buildah, "build", "--isolation", "chroot", "--pull-never", "--quiet", *words])

    def config(self):
        return json.loads(ran([*self.buildah, "inspect", "--type", "image", "portcullis"]))["OCIv1"]["config"]


def declared(image):
    config = image.config()
    need(config["User"] == f"{USER}:{USER}", f"user {config['User']}")
    need(config["Entrypoint"] == ["/usr/local/bin/portcullis"] and config["Cmd"][0] == "serve", f"starts {config}")
    need(config["WorkingDir"] == "/var/lib/portcullis" and "/var/lib/portcullis" in config["Volumes"], f"data: {config}")
    need({"org.opencontainers.image.title", "org.opencontainers.image.licenses"} <= set(config["Labels"]), f"labels: {config['Labels']}")
    need({"8000/tcp", "9464/tcp"} == {port if "/" in port else port + "/tcp" for port in config["ExposedPorts"]}, "ports")
    need(not any(line.startswith("PORTCULLIS") for line in config.get("Env", [])), "settings in the image win over every file")


def writable(image):
    data = (image.root / "var/lib/portcullis").stat()
    need((data.st_uid, data.st_gid, data.st_mode & 0o777) == (int(USER), int(USER), 0o700), f"the data's folder: {data}")
    binary = (image.root / "usr/local/bin/portcullis").stat()
    need((binary.st_uid, binary.st_mode & 0o777) == (0, 0o755), "the binary could be replaced, or not run")
    others = [path for path in image.root.rglob("*") if not path.is_symlink() and path.lstat().st_uid == int(USER)]
    need(others == [image.root / "var/lib/portcullis"], f"owned by its user: {others}")
    need((image.root / "usr/share/doc/portcullis/LICENSE").exists(), "no licence in it")


def runs(image, room):
    """What a container runtime does, by hand: a mount namespace, the root read-only, no rights, no new ones."""
    port, telemetry = (first := free_ports(2)), first + 1
    data, settings = room / "data", room / "settings"
    data.mkdir(), settings.mkdir()
    os.chown(data, int(USER), int(USER))
    (settings / "portcullis.toml").write_text(to_toml({
        "server": {"listen": [f"127.0.0.1:{port}"], "telemetry_listen": f"127.0.0.1:{telemetry}", "drain_timeout": "5s"},
        "database": {"url": "sqlite:///var/lib/portcullis/portcullis.db"}, "accounts": {"argon2": {"memory_kib": 8, "iterations": 1, "parallelism": 1}},
    }))
    config, root = image.config(), image.root
    (root / "etc/portcullis").mkdir(exist_ok=True)
    command = [*config["Entrypoint"], *config["Cmd"]]
    # The right to change the root is needed for that change alone: chroot itself becomes the user, and loses it so.
    script = f"""set -e
        mount --bind "$1" "$1"; mount --bind "$2" "$1/var/lib/portcullis"; mount --bind "$3" "$1/etc/portcullis"
        mount -o remount,bind,ro "$1/etc/portcullis"; mount -o remount,bind,ro "$1"
        root=$1; shift 3
        exec setpriv --no-new-privs chroot --userspec={USER}:{USER} --groups= "$root" "$@"
    """
    log = room / "image.log"
    with open(log, "w") as out:
        process = subprocess.Popen([image.unshare, "--mount", "--propagation", "private", "sh", "-c", script, "sh", root, data, settings, *command],
                                   stdout=out, stderr=out, env={"PATH": os.environ["PATH"]}, start_new_session=True)
    try:
        wait_until(lambda: asked(telemetry, "/readyz") == 200, process, log, "the image")
        need(asked(telemetry, "/livez") == 200 and asked(telemetry, "/startupz") == 200, "probes")
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        need(set(status["Uid"].split()) == {USER} and set(status["Gid"].split()) == {USER}, f"runs as {status['Uid']}")
        need(not status["Groups"].split() and status["NoNewPrivs"].strip() == "1", "groups, or new rights")
        need(int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0, f"rights: {status['CapEff']}")
        mounts = [line.split() for line in Path(f"/proc/{process.pid}/mountinfo").read_text().splitlines()]
        roots = {fields[4]: fields[5].split(",") for fields in mounts}
        need("ro" in roots["/"] and "rw" in roots["/var/lib/portcullis"], f"mounts: {roots}")
        need(Path(f"/proc/{process.pid}/exe").readlink().name == "portcullis", "another program")
        body = {"username": "ada", "email": "ada@example.com", "password": "analytical-Engine-1843", "re_password": "analytical-Engine-1843"}
        need(asked(port, "/auth/users/", body) == 201, "nobody can register")
        need((data / "portcullis.db").stat().st_uid == int(USER), "the database is not where it belongs")
        process.send_signal(signal.SIGTERM)
        need(process.wait(timeout=15) == 0, f"ended with {process.returncode}")
    except Fault as fault:
        raise Fault(f"{fault}\n{log.read_text()[-2000:]}") from None
    finally:
        stop(process, signal.SIGKILL)


def asked(port, path, body=None):
    """The status, or nothing where nobody listens yet."""
    try:
        return ask(port, "POST" if body else "GET", path, body).status
    except OSError:
        return None
