"""Which files of a folder Docker sends to a build: what its `.dockerignore` leaves."""

import os
import re
from pathlib import Path


def build_context(root: Path) -> set[str]:
    """The paths, relative to `root`, of the files that reach a build.

    The rules are those of the Dockerfile reference: a later line wins; `!` takes back in; what matches a folder matches
    all below it; `*` and `?` stop at a slash and `**` does not. A test compares this with a real builder.
    """
    rules = [
        _rule(line) for line in (root / ".dockerignore").read_text().splitlines() if _says_something(line)
    ]
    found = set()
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        # As Docker does, so that a large folder which is left out costs nothing.
        folders[:] = [
            name for name in folders if not _ignored(rules, here / name) or _may_come_back(rules, here / name)
        ]
        found |= {str(here / name) for name in files if not _ignored(rules, here / name)}
    return found


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _rule(line: str) -> tuple[bool, str, re.Pattern[str]]:
    """(takes back in, the pattern as written, the pattern)."""
    text = line.strip()
    back = text.startswith("!")
    pattern = os.path.normpath(text.removeprefix("!").strip()).strip("/")
    if set(pattern) & set("[]\\"):
        raise ValueError(f"{text!r}: character classes and escapes are not read here; write it without them")
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = re.sub(r"\*\*/|\*\*|\*|\?|[^*?]+", lambda m: parts.get(m[0]) or re.escape(m[0]), pattern)
    return back, pattern, re.compile(expression)


def _ignored(rules: list[tuple[bool, str, re.Pattern[str]]], path: Path) -> bool:
    ignored = False
    ways = [str(path), *(str(parent) for parent in path.parents if parent != Path())]
    for back, _, pattern in rules:
        if ignored == back and any(pattern.fullmatch(way) for way in ways):
            ignored = not back
    return ignored


def _may_come_back(rules: list[tuple[bool, str, re.Pattern[str]]], folder: Path) -> bool:
    return any(back and (pattern.startswith(f"{folder}/") or "**" in pattern) for back, pattern, _ in rules)
