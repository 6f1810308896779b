#!/usr/bin/env python3
"""debian/changelog, from the releases of CHANGELOG.md (standard input).

    tools/debian_changelog.py --version 0.1.0 --date "Sun, 29 Nov 2026 12:00:00 +0000" < CHANGELOG.md

The first entry has the given version and date, and the lines of its release: of "Unreleased" if the
release has none yet. Releases below it are entries of their own.
"""
import argparse
import datetime
import email.utils
import re
import sys
import textwrap

MAINTAINER = "Cygnet maintainers <maintainers@cygnet.example>"
# As debian/changelog's lines are: at most 80 characters.
WIDTH = 78


def releases(text):
    """[(version or "Unreleased", date or "", [changes])], as the file orders them."""
    found = []
    for block in re.split(r"^## ", text, flags=re.M)[1:]:
        head, _, body = block.partition("\n")
        match = re.match(r"\[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?", head)
        if not match:
            sys.exit(f'CHANGELOG.md: "## {head}" is not "## [VERSION] - YYYY-MM-DD"')
        found.append((match[1], match[2] or "", changes(body)))
    return found


def changes(body):
    """The items of the sections, each in one line; links lose their targets."""
    items, section = [], ""
    for line in body.splitlines():
        if line.startswith("### "):
            section = line[4:]
        elif line.startswith("- "):
            items.append(f"{section}: {line[2:]}")
        elif line.strip() and items:
            items[-1] += " " + line.strip()
    return [re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", item) for item in items]


def entry(version, distribution, date, items):
    lines = [f"cygnet ({version}) {distribution}; urgency=medium", ""]
    for item in items or ["No changes that users notice."]:
        lines += textwrap.wrap(item, WIDTH, initial_indent="  * ", subsequent_indent="    ",
                               break_long_words=False, break_on_hyphens=False)
    return "\n".join([*lines, "", f" -- {MAINTAINER}  {date}", ""])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--date", required=True)
    options = parser.parse_args()
    known = releases(sys.stdin.read())
    latest = [i for i, (name, _, _) in enumerate(known) if name == options.version]
    first = latest[0] if latest else 0
    distribution = "bookworm" if latest else "UNRELEASED"
    entries = [entry(options.version, distribution, options.date, known[first][2] if known else [])]
    for name, date, items in known[first + 1:]:
        day = datetime.datetime.fromisoformat(date + "T00:00:00+00:00") if date else None
        if day is None:
            sys.exit(f"CHANGELOG.md: release {name} has no date")
        entries.append(entry(name, "bookworm", email.utils.format_datetime(day), items))
    print("\n".join(entries), end="")


if __name__ == "__main__":
    main()
