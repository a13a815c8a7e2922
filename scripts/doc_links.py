#!/usr/bin/env python3
"""Whether the links within our documents lead somewhere, and README.md, step by step, to every page of docs/.

    scripts/doc_links.py      names every link that leads nowhere and every page that is not found; ends with 1 then

Links to other hosts are not followed: a check that needs the network turns red by itself.
"""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^()\s>]+(?:\([^()\s]*\))?)>?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)


def pages(root):
    """Every Markdown file of the tree, but not what only lies in it."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=root,
                            capture_output=True, text=True, check=True)
    return sorted(root / name for name in set(listed.stdout.splitlines()) if (root / name).exists())


def anchors(text):
    """Names of the headings, as GitHub makes them: small letters, no punctuation, `-` for blanks, numbers for repetitions."""
    names, seen = set(), {}
    for heading in HEADING.findall(FENCE.sub("", text)):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = seen[name] = seen.get(name, -1) + 1
        names.add(f"{name}-{count}" if count else name)
    return names


def links(page):
    """The links of one page that stay with us: line, as written, the file, the heading."""
    # Links within code are text. Line numbers must not move.
    shown = FENCE.sub(lambda found: "\n" * found[0].count("\n"), page.read_text())
    shown = re.sub(r"(`+)[^`\n]+?\1(?!`)", lambda found: "x" * len(found[0]), shown)
    for found in LINK.finditer(shown):
        if not re.match(r"[a-z][a-z0-9+.-]*:|//", found[1]):
            path, _, anchor = found[1].partition("#")
            file = (page.parent / unquote(path)).resolve() if path else page
            yield shown.count("\n", 0, found.start()) + 1, found[1], file, anchor


def faults(root, page):
    """What is wrong with the links of one page, as `file:line: what`."""
    for line, target, file, anchor in links(page):
        where = f"{page.relative_to(root)}:{line}"
        if not file.is_relative_to(root) or not file.exists():
            yield f"{where}: {target} is not there"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text()):
            yield f"{where}: {target}: no such heading"


def not_found(root, pages):
    """Pages below docs/ that nobody comes to who begins at README.md."""
    seen, ahead = set(), [root / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in seen and page.suffix == ".md" and page.exists():
            seen.add(page)
            ahead += [file for _, _, file, _ in links(page)]
    for page in pages:
        if page.is_relative_to(root / "docs") and page not in seen:
            yield f"{page.relative_to(root)}: no link leads here"


def main():
    checked, found = pages(ROOT), []
    for page in checked:
        found += faults(ROOT, page)
    found += not_found(ROOT, checked)
    print("\n".join(found) or f"doc_links: the links of {len(checked)} pages lead somewhere")
    return 1 if found or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
