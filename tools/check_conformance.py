#!/usr/bin/env python3
"""Checks that doc/conformance_checks.md and cygnet(8) have what `cygnet conformance` has. --write writes the page."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src/conformance"
MUTANTS = ROOT / "test/plugins"
PAGE = ROOT / "doc/conformance_checks.md"
GUIDE = ROOT / "doc/writing_a_driver.md"
KINDS = {"driver": ("driver", "packet"), "engine": ("engine",)}  # lists of mutants
HEAD = """# The checks of `cygnet conformance`

Made by `tools/check_conformance.py --write` from `src/conformance` and the lists of mutants in
`test/plugins`. A mutant is a plug-in that breaks one promise; the test `mutants` requires the check of
its row to find it.
"""


def checks(kind):
    """Name and promise of each check, in the order of the sources."""
    for path in sorted(SOURCES.glob(f"{kind}_*_checks.cc")):
        for name, promise in re.findall(r'^\s*\{"([a-z-]+)",\s*"([^"]+)",', path.read_text(encoding="utf-8"), re.M):
            yield name, promise.rstrip(".")


def mutants(kind):
    """(check, what the mutant does) of all lists of the kind."""
    for name in KINDS[kind]:
        text = (MUTANTS / f"{name}_mutants.txt").read_text(encoding="utf-8")
        yield from re.findall(r"^\d+ (\S+) (.*)$", text, re.M)


def page():
    lines = [HEAD]
    for kind in KINDS:
        found = list(mutants(kind))
        lines += [f"## Checks of {kind}s", "", f"| check | promise | mutants: the {kind} … |", "|---|---|---|"]
        for name, promise in checks(kind):
            lines.append(f"| `{name}` | {promise} | {'; '.join(what for check, what in found if check == name)} |")
        lines.append("")
        allowed = [what for check, what in found if check == "conforms"]
        lines += [f"Allowed, and the test requires that it conforms: the {kind} {what}.\n" for what in allowed]
    return "\n".join(lines).rstrip("\n") + "\n"


def problems():
    known = {kind: [name for name, _ in checks(kind)] for kind in KINDS}
    if len(known["driver"]) < 40 or len(known["engine"]) < 20:
        yield "cannot parse the tables of checks"
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        yield f"{PAGE.name} is not what the sources say: run tools/check_conformance.py --write"
    for kind in KINDS:
        yield from (f"a mutant of an unknown check of {kind}s: {check}" for check, _ in mutants(kind)
                    if check not in known[kind] + ["conforms"])
    guide = GUIDE.read_text(encoding="utf-8")
    words = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", guide)) | set(re.findall(r"--only ([a-z-]+)", guide))
    yield from (f"{GUIDE.name} names {word}, which is not a check" for word in sorted(words - set(known["driver"])))
    manual = (ROOT / "doc/man/cygnet.8.scd").read_text(encoding="utf-8")
    options = set(re.findall(r"--[a-z-]+", (SOURCES / "main.cc").read_text(encoding="utf-8"))) - {"--help", "--json"}
    yield from (f"cygnet(8) lacks {option}" for option in sorted(options) if f"*{option}*" not in manual)


def main():
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    found = list(problems())
    print("\n".join(found) if found else "pages of conformance: fine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
