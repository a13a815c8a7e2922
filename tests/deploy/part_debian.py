"""The Debian package: built twice alike, held by lintian, and installed, used, removed and purged in a small Debian of its own."""

import os
import re
import shutil
import subprocess

from manifests import need, ran
from part_systemd import exposed
from subject import ROOT

FILES = {
    "etc/portcullis/portcullis.toml", "usr/bin/portcullis", "usr/lib/systemd/system/portcullis.service", "usr/lib/sysusers.d/portcullis.conf",
    "usr/share/bash-completion/completions/portcullis", "usr/share/doc/portcullis/changelog.gz", "usr/share/doc/portcullis/copyright",
    "usr/share/fish/vendor_completions.d/portcullis.fish", "usr/share/lintian/overrides/portcullis", "usr/share/man/man1/portcullis.1.gz",
    "usr/share/zsh/vendor-completions/_portcullis",
}


def run(report, tools, program, room):
    packages = []
    with report.case("debian: the package is built, twice the same"):
        for name in ("first", "second"):
            ran([ROOT / "scripts/package-deb", "--fast", "--output", room / name], env={**os.environ, "PORTCULLIS_BIN": str(program)})
        [package], [second] = (room / "first").glob("*.deb"), (room / "second").glob("*.deb")
        need(package.read_bytes() == second.read_bytes(), "they differ")
        packages.append(package)
    if not packages:
        return
    package = packages[0]
    with report.case("debian: it holds what it should, owned by root, and nothing that others could write"):
        lines = ran(["dpkg-deb", "--contents", package]).splitlines()
        entries = [line.split(None, 5) for line in lines]
        found = {one[5].removeprefix("./") for one in entries if one[0].startswith("-")}
        need(found == FILES, f"missing or too much: {sorted(found ^ FILES)}")
        need(all(one[1] == "root/root" for one in entries) and not any(one[0][8] == "w" or one[0][5] == "w" for one in entries), "rights")
    with report.case("debian: lintian"):
        ran([tools("lintian"), "--allow-root", "--no-cfg", "--fail-on", "error,warning", "--info", package])
    unpacked = room / "unpacked"
    with report.case("debian: its unit is the hardened one, for its account"):
        ran(["dpkg-deb", "--extract", package, unpacked])
        unit = unpacked / "usr/lib/systemd/system/portcullis.service"
        text = unit.read_text()
        need("User=portcullis\n" in text and "DynamicUser" not in text and "/usr/bin/portcullis serve" in text, text)
        need("/usr/local" not in text, text)
        exposed(tools("systemd-analyze"), unit)
    with report.case("debian: what it says of itself is what the binary says"):
        need((unpacked / "etc/portcullis/portcullis.toml").read_text() == ran([program, "config", "example"]), "the configuration")
        page = ran(["gzip", "--decompress", "--stdout", unpacked / "usr/share/man/man1/portcullis.1.gz"])
        need(".TH portcullis 1" in page and page == ran([program, "man"]), "the manual page")
        ran(["bash", "-n", unpacked / "usr/share/bash-completion/completions/portcullis"])
    with report.case("debian: installed into a Debian of its own, used, removed, purged"):
        installed(tools, package, room)


def installed(tools, package, room):
    need(os.getuid() == 0, "to install takes root")
    root = room / "root"
    ran([tools("mmdebstrap"), "--quiet", "--variant=essential", "--include=systemd,init-system-helpers", codename(), root])
    shutil.copy(package, root / "portcullis.deb")

    def inside(*command, wanted=0):
        # In a process space of its own, so that nothing of it outlives the case or meets what runs here.
        words = [tools("unshare"), "--pid", "--fork", "--mount", "--kill-child", "chroot", root, *command]
        return ran(words, wanted, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"})

    inside("dpkg", "--install", "/portcullis.deb")
    account = inside("getent", "passwd", "portcullis").split(":")
    need(int(account[2]) > 0 and account[5] == "/var/lib/portcullis" and account[6].strip().endswith("nologin"), f"account: {account}")
    need(inside("dpkg", "--verify", "portcullis") == "", "files differ from the package")
    need(re.match(r"portcullis \d", inside("portcullis", "--version")), "it does not run")
    # What systemd does at the start: the state's folder, the account, the check, then its own.
    inside("install", "--directory", "--owner=portcullis", "--group=portcullis", "--mode=0700", "/var/lib/portcullis")
    as_account = ["setpriv", "--reuid=portcullis", "--regid=portcullis", "--init-groups", "sh", "-c"]
    said = inside(*as_account, "cd /var/lib/portcullis && portcullis check --config /etc/portcullis/portcullis.toml")
    need("configuration is good" in said, said)
    inside(*as_account, "cd /var/lib/portcullis && echo analytical-Engine-1843 | portcullis user create ada --email ada@example.com"
                        " --password-stdin --config /etc/portcullis/portcullis.toml")
    need((root / "var/lib/portcullis/portcullis.db").exists(), "no database")
    inside("dpkg", "--install", "/portcullis.deb")  # an upgrade, to the same
    inside("dpkg", "--remove", "portcullis")
    need((root / "etc/portcullis/portcullis.toml").exists() and not (root / "usr/bin/portcullis").exists(), "removed too much or too little")
    inside("dpkg", "--purge", "portcullis")
    need(not (root / "etc/portcullis").exists(), "the configuration is left")
    need((root / "var/lib/portcullis/portcullis.db").exists(), "the users are gone with the package")


def codename():
    done = subprocess.run(["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"], capture_output=True, text=True, check=True)
    return done.stdout.strip()
