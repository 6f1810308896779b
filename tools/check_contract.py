#!/usr/bin/env python3
"""Checks that doc/offload_contract.md has a row for each function and value of include/cygnet, and names nothing else."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADERS = [ROOT / "include/cygnet" / name for name in ("types.h", "driver.h", "engine.h")]
PAGE = ROOT / "doc/offload_contract.md"
HEADING = "## Functions and values of the C interface"


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def functions(code):
    """Members that are functions, as "struct.name", and the entry functions."""
    for name, body in re.findall(r"struct (cygnet_\w+) \{(.*?)\n\};", code, re.S):
        yield from (f"{name}.{member}" for member in re.findall(r"\(\*(\w+)\)\(", body))
    yield from re.findall(r"CYGNET_EXPORT .*?\*?\s?(cygnet_\w+_entry)\(", code)


def values(code):
    for body in re.findall(r"\benum(?: \w+)? \{(.*?)\}", code, re.S):
        yield from re.findall(r"\b(CYGNET_\w+)", body)


def identifiers(code):
    """Every name of the headers, and of the headers' macros."""
    return set(re.findall(r"\b[A-Za-z_]\w+", code))


def problems():
    code = "\n".join(without_comments(path.read_text(encoding="utf-8")) for path in HEADERS)
    page = PAGE.read_text(encoding="utf-8")
    if HEADING not in page:
        yield f"the page lacks the heading {HEADING!r}"
        return
    tables = page[page.index(HEADING):]
    rows = re.findall(r"^\| `([\w.]+)` \|", tables, re.M)
    wanted = list(functions(code)) + list(values(code))
    if len(wanted) < 120:
        yield "cannot parse the headers"
    yield from (f"no row for {name}" for name in wanted if name not in rows)
    yield from (f"a row for {name}, which the headers do not have" for name in rows if name not in wanted)
    yield from (f"two rows for {name}" for name in sorted(set(rows)) if rows.count(name) > 1)
    known = identifiers(code)
    named = set(re.findall(r"\b(CYGNET_[A-Z_]+[A-Z])\b", page)) | set(re.findall(r"\b(cygnet_[a-z_]+[a-z])\b", page))
    yield from (f"{name} does not exist in the headers" for name in sorted(named - known))


def main():
    found = list(problems())
    print("\n".join(found) if found else "contract page: fine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
