#!/usr/bin/env python3
"""Looks for every secret that a run of the tests has used in all that gateways said meanwhile.

    scripts/redaction.py FOLDER     a ledger that a run has left (scripts/test and scripts/e2e keep theirs with --ledger)
    scripts/redaction.py            tries only itself: what is planted must be found, and nothing else

A ledger has two sides. In `used` stands what secrets are in: requests, good answers, mails, settings. In `said` stands
what may hold none: logs, audit lines, metrics, refusals, what commands print. The tests write both where
PORTCULLIS_LEDGER names the folder. A secret counts as said as it is, percent-encoded, in base64 and escaped as in JSON
and in our logs, and so do the first and the last part of a long one.
"""

import base64
import json
import os
import re
import sys
import tempfile
import time
import urllib.parse
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "PORTCULLIS_LEDGER"

# Every STEP-th place of a text is looked at, where it holds GRAM bytes of a secret: what is shorter than both together
# would slip through, and is a word like others.
GRAM, STEP = 8, 4
SHORTEST = GRAM + STEP - 1
# Of what is longer than both, the first and the last so many characters are looked for.
PART = 24

# What a whole run of the tests cannot be without; otherwise nobody has kept the ledger.
KINDS = {"password", "opaque token", "jwt", "link token", "secret key", "password in a url", "password hash"}
VOICES = {"log", "requests", "audit", "metrics", "refusals", "shell", "tests", "gateway"}

FIELDS = {
    "password": "password", "re_password": "password", "new_password": "password", "re_new_password": "password",
    "current_password": "password", "auth_token": "opaque token", "access": "jwt", "refresh": "jwt", "token": "link token",
}
NAME = "(" + "|".join(FIELDS) + ")"
QUOTED = r'"((?:[^"\\]|\\.)*)"'
AS_JSON = re.compile(rf'"{NAME}"\s*:\s*{QUOTED}')
AS_SETTING = re.compile(rf"\b(?:secret|secret_key|signing_key)\s*=\s*{QUOTED}")
AS_FORM = re.compile(rf"(?:^|[?&\s'])(?:\w+\.)?{NAME}=([^&\s'\"]+)", re.MULTILINE)
AS_PART = re.compile(rf'name="{NAME}"\r\n\r\n([^\r]*)\r\n')
HEADER = re.compile(r"^authorization:[ \t]*(\w+)[ \t]+(\S+)", re.MULTILINE | re.IGNORECASE)
IN_URL = re.compile(r"\w://[^\s/@\"']*:([^\s/@\"']+)@")
LINK = re.compile(r"https?://\S+/\w+/([0-9a-z]+-[\w-]{20,})")
JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+\.([\w-]{43,})")
HASH = re.compile(r"(?:pbkdf2_\w+|argon2\w*|bcrypt\w*|scrypt)\$[^\s'\"]+")
ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+")
LEGACY_TOKEN = re.compile(r"'([0-9a-f]{40})'")


# --- writing -----------------------------------------------------------------------------------------


def used(*texts):
    """Something with secrets in it."""
    for text in texts:
        append("used", "kit", text)


def said(voice, text):
    """Something that a gateway has said."""
    append("said", voice, text)


def append(side, voice, text):
    if folder := os.environ.get(VARIABLE):
        with (Path(folder) / side / f"{os.getpid()}-{voice}").open("ab") as file:
            file.write((text if isinstance(text, bytes) else str(text).encode()) + b"\n")


def environment():
    """Of a gateway: where a ledger is kept, with its audit log among what it prints."""
    return {**os.environ, "PORTCULLIS__SERVER__AUDIT_LOG": "stderr"} if VARIABLE in os.environ else None


@contextmanager
def ledger(kept=None):
    """A ledger for this process and those that it starts; `kept` names a folder that stays."""
    with tempfile.TemporaryDirectory(prefix="portcullis-ledger-") as folder:
        folder = Path(kept or folder).absolute()
        for side in ("used", "said"):
            (folder / side).mkdir(parents=True)
        os.environ[VARIABLE] = str(folder)
        try:
            yield folder
        finally:
            del os.environ[VARIABLE]


# --- reading -----------------------------------------------------------------------------------------


def secrets_in(text):
    """Kind and value of each secret in what was used."""
    for name, value in AS_JSON.findall(text):
        yield FIELDS[name], unquoted(value)
    for value in AS_SETTING.findall(text):
        yield "secret key", unquoted(value)
    for name, value in AS_FORM.findall(text):
        yield FIELDS[name], urllib.parse.unquote_plus(value)
    for name, value in AS_PART.findall(text):
        yield FIELDS[name], value
    for scheme, value in HEADER.findall(text):
        if scheme.lower() == "basic":
            try:
                yield "password", base64.b64decode(value).decode().partition(":")[2]
            except ValueError:
                pass
        else:
            yield "opaque token", value
    for value in IN_URL.findall(text):
        yield "password in a url", urllib.parse.unquote(value)
    for kind, pattern in (("link token", LINK), ("jwt", JWT), ("password hash", HASH), ("opaque token", LEGACY_TOKEN)):
        for value in pattern.findall(text):
            yield kind, value


def unquoted(value):
    try:
        return json.loads(f'"{value}"')
    except ValueError:
        return value


def secrets_of(folder):
    """Every secret that was used, with its kind."""
    found = {}
    for file in sorted((folder / "used").iterdir()):
        for kind, value in secrets_in(file.read_bytes().decode("utf-8", "replace")):
            # Head and claims of a JWT prove nothing: its signature does, if it is long enough to be one.
            if value.startswith("eyJ") and value.count(".") == 2:
                value = (JWT.match(value) or ("", ""))[1]
            # Who tries an address as a password is refused, and the address may be told as one.
            is_address = kind == "password" and ADDRESS.fullmatch(value)
            if len(value.encode("utf-8", "replace")) >= SHORTEST and not is_address:
                found.setdefault(value, kind)
    return found


def forms(secret):
    """How a secret may look where it is said."""
    raw = secret.encode("utf-8", "replace")
    percent = urllib.parse.quote(raw, safe="")
    yield "as it is", raw
    for text in (percent, re.sub("%..", lambda found: found[0].lower(), percent), urllib.parse.quote_plus(raw)):
        yield "percent-encoded", text.encode()
    for text in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield "as in JSON", text.encode("utf-8", "replace")
    yield "as in our logs", "".join(chr(byte) if 0x20 < byte < 0x7f else f"\\x{byte:02x}" for byte in raw).encode()
    for shift in range(3):
        # What stands before it shares its first characters, what follows its last.
        text = base64.b64encode(b"\0" * shift + raw)[(0, 2, 3)[shift]:]
        text = text[:(len(raw) + shift) * 4 // 3 - (0, 2, 3)[shift]]
        yield "in base64", text
        yield "in base64", text.replace(b"+", b"-").replace(b"/", b"_")


def needles_of(secrets):
    """What is looked for: each byte string with what it is."""
    needles = {}
    for secret, kind in secrets.items():
        parts = [secret] if len(secret) <= 2 * PART else [secret[:PART], secret[-PART:]]
        for part in parts:
            # One character again and again: tests of lengths send it as a password, and as a name.
            if len(set(part)) < 4:
                continue
            for form, needle in forms(part):
                if len(needle) >= SHORTEST:
                    needles.setdefault(needle, f"{kind}, {form}")
    return needles


def grams(needle):
    return {needle[at:at + GRAM] for at in range(STEP)}


def search(folder, needles):
    """Where a needle was said: file, line number, what it is, and the line without it."""
    anchors = set()
    for needle in needles:
        anchors |= grams(needle)
    places = []
    for file in sorted((folder / "said").iterdir()):
        text = file.read_bytes()
        if anchors.isdisjoint(text[at:at + GRAM] for at in range(0, len(text), STEP)):
            continue
        met = defaultdict(list)
        for at in range(0, len(text), STEP):
            if (gram := text[at:at + GRAM]) in anchors:
                met[gram].append(at)
        for needle, what in needles.items():
            for gram in grams(needle) & met.keys():
                for at in met[gram]:
                    begin = text.find(needle, max(0, at - STEP), at + len(needle))
                    if begin >= 0:
                        start, end = text.rfind(b"\n", 0, begin) + 1, text.find(b"\n", begin)
                        line = text[start:end if end >= 0 else None].replace(needle, b"[HERE]")
                        places.append((file.name, text.count(b"\n", 0, begin) + 1, what, line.decode(errors="replace")))
    return sorted(set(places))


def step(folder, whole):
    """Exit code and line of a run's last part. A whole run must have kept every kind of secret and voice."""
    try_itself()
    began = time.monotonic()
    secrets = secrets_of(folder)
    places = search(folder, needles_of(secrets))
    voices = {file.name.rpartition("-")[2] for file in (folder / "said").iterdir() if file.stat().st_size}
    missing = sorted((KINDS - set(secrets.values())) | (VOICES - voices)) if whole else []
    for name, number, what, line in places[:20]:
        print(f"FAIL {name}:{number}: {what}: {line[:300]}")
    for what in missing:
        print(f"FAIL nobody has kept: {what}")
    size = sum(file.stat().st_size for file in (folder / "said").iterdir()) / 1e6
    print(f"{len(secrets)} secrets, {size:.1f} MB said, {time.monotonic() - began:.1f} s")
    failed = len(places) + len(missing)
    return int(failed > 0), f"redaction: {len(secrets)} passed, {failed} failed"


# --- trying itself -----------------------------------------------------------------------------------

# One secret of each kind, as it would be used.
PLANTED = {
    "password": '{"username": "ada", "password": "pass \\"w\\u00f6rd\\" of ada"}',
    "opaque token": "Authorization: Bearer 0123456789abcdefghijklmnopqrstuvwxyzABCD",
    "jwt": '{"access": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUm"}',
    "link token": "https://gate.example/reset/MQ/abcdef-0123456789abcdef0123456789abcdef",
    "secret key": 'secret_key = "a-secret-of-at-least-32-characters"',
    "password in a url": "redis://gateway:p%40ssw0rd-of-redis@127.0.0.1/",
    "password hash": "'pbkdf2_sha256$1000$saltsaltsalt$aGFzaGhhc2hoYXNoaGFzaA=='",
}


def try_itself():
    """Every kind in every form is found wherever it stands, and nothing in a text that has none."""
    with tempfile.TemporaryDirectory(prefix="portcullis-redaction-") as folder:
        folder = Path(folder)
        for side in ("used", "said"):
            (folder / side).mkdir()
        (folder / "used" / "1").write_text("\n".join(PLANTED.values()))
        secrets = secrets_of(folder)
        if kinds := set(PLANTED) - set(secrets.values()):
            sys.exit(f"redaction: not read out of what was used: {', '.join(sorted(kinds))}")
        needles = needles_of(secrets)
        said_file = folder / "said" / "1-log"
        said_file.write_text("\n".join(f'{{"url.path": "/{word}"}}' for word in ("pass", "AAECAwQF", "a-secret-of-none", "p%40ssw0rd")))
        if places := search(folder, needles):
            sys.exit(f"redaction: found what is none: {places}")
        for needle, what in needles.items():
            for before in range(STEP):
                said_file.write_bytes(b"a line\n" + b"." * before + needle + b" and more")
                if not any(number == 2 for _, number, _, _ in search(folder, needles)):
                    sys.exit(f"redaction: not found: {what}, after {before} bytes")
    return len(needles)


def main():
    if len(sys.argv) == 1:
        print(f"redaction: {try_itself()} planted secrets found")
        return 0
    code, line = step(Path(sys.argv[1]), whole=False)
    print(line)
    return code


if __name__ == "__main__":
    sys.exit(main())
