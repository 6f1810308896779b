#!/usr/bin/env python3
"""Holds the JSON schemas of doc/schema to each other, to cygnet-json(7) and to the sources: each is valid and
says its name and the version, every object is closed, and no field is missing on either side."""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "doc" / "schema"
# Sections of the manual page, where they do not have the name of the schema.
SECTIONS = {"dev": "DEVICE", "offload-explain": "EXPLAIN", "offload-list": "ORDER", "sa-sum": "SUM", "version": "OTHERS", "sim": "OTHERS"}


def walk(node):
    """Every schema in a schema."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def properties(schema):
    return {name for part in walk(schema) if part.get("type") == "object"
            for name in part.get("properties", {})}


def sections():
    """Words of each section of the manual page; what a section refers to counts as its own."""
    text = (ROOT / "doc/man/cygnet-json.7.scd").read_text(encoding="utf-8").replace("\\", "")
    parts = re.split(r"^# ([A-Z ]+)$", text, flags=re.M)
    words = {title: set(re.findall(r"[a-z][a-z0-9_]*", body)) for title, body in zip(parts[1::2], parts[2::2])}
    for title, body in zip(parts[1::2], parts[2::2]):
        for other in re.findall(r"as (?:in|of) (?:an? )?([A-Z][A-Za-z]+)", body):
            words[title] |= words.get(other.upper(), set())
    return words


def version():
    found = re.search(r"kJsonVersion = (\d+);", (ROOT / "src/cli/cygnet.h").read_text(encoding="utf-8"))
    return int(found[1])


def check(path, words, number):
    schema = json.loads(path.read_text(encoding="utf-8"))
    name = path.stem
    if schema.get("$id") != f"urn:cygnet:json:{number}:{name}":
        yield f"$id must be urn:cygnet:json:{number}:{name}"
    if schema.get("$schema") != "https://json-schema.org/draft/2020-12/schema":
        yield "$schema must be that of 2020-12"
    for part in walk(schema):
        if part.get("type") == "object" and "additionalProperties" not in part:
            yield f"an object is open: {sorted(part.get('properties', {}))}"
    for required in (r for part in walk(schema) if part.get("type") == "object" for r in part.get("required", [])):
        if required not in properties(schema):
            yield f"{required} is required and not described"
    section = SECTIONS.get(name, name.split("-")[0].upper())
    if section not in words:
        yield f"cygnet-json(7) has no section {section}"
        return
    missing = sorted(properties(schema) - words[section])
    yield from (f"cygnet-json(7), section {section}, does not name {field}" for field in missing)


def written():
    """Fields that the daemon or the command writes into JSON."""
    files = [*(ROOT / "src/daemon/operator").glob("report_json*.cc"), ROOT / "src/cli/ledger_report.cc",
             ROOT / "src/cli/ledger_command.cc", ROOT / "src/daemon/operator/cluster_requests.cc"]
    code = "".join(path.read_text(encoding="utf-8") for path in files if not path.name.endswith("_test.cc"))
    return set(re.findall(r'\{"([a-z][a-z0-9_]*)",', code)) | set(re.findall(r'json\["([a-z][a-z0-9_]*)"\]', code))


def main():
    faults = []
    words, number, known = sections(), version(), set()
    paths = sorted(SCHEMAS.glob("*.json"))
    for path in paths:
        faults += [f"{path.name}: {fault}" for fault in check(path, words, number)]
        known |= properties(json.loads(path.read_text(encoding="utf-8")))
    # Of requests, and of replies that the command does not print.
    known |= {"command", "action", "value", "error", "item", "append", "group", "node"}
    faults += [f"no schema has the field {field}" for field in sorted(written() - known)]
    if len(paths) < 15 or len(known) < 200 or len(written()) < 150:
        faults.append("cannot parse the schemas or the fields")
    try:
        import jsonschema
        for path in paths:
            jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))
    except ImportError:
        pass  # the integration tests need it, too
    print("\n".join(faults) or f"{len(paths)} schemas: fine")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
