"""Holds what `cygnet -j` prints to its JSON schemas (doc/schema). Without python3-jsonschema nothing is checked."""

import functools
import json
import pathlib

try:
    import jsonschema
except ImportError:
    jsonschema = None

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "doc" / "schema"
# Commands whose output is not that of their object.
OF_COMMANDS = {("ledger", "verify"): "ledger-verify", ("ledger", "report"): "ledger-report",
               ("ledger", "key"): "ledger-key", ("offload", "explain"): "offload-explain",
               ("offload", "enable"): "move", ("offload", "disable"): "move", ("placement", "set"): "move",
               ("placement", "unset"): "move", ("fips", "mode"): "move", ("fips", "reload"): "move",
               ("offload", "list"): "offload-list", ("mtu", "explain"): "mtu", ("stat", "sa"): "sa", ("doctor", "--fips"): "fips"}


def schema_of(words):
    """The name of the schema of `cygnet -j WORDS`; objects are not shortened."""
    words = [word for word in words if word not in ("-j", "--json")]
    if "--sum" in words:
        return "sa-sum"
    if words == ["offload"]:
        return "offload-list"
    if words[0] == "monitor":
        return "event"
    return OF_COMMANDS.get(tuple(words[:2]), words[0])


@functools.lru_cache(maxsize=None)
def validator(name):
    schema = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)


def check(words, output):
    """Fails with the first place where the parsed output differs from its schema."""
    if jsonschema is None:
        return
    name = schema_of(words)
    error = jsonschema.exceptions.best_match(validator(name).iter_errors(output))
    if error is not None:
        place = "".join(f"[{step!r}]" for step in error.absolute_path)
        raise AssertionError(f"cygnet -j {' '.join(words)}: not as doc/schema/{name}.json says: "
                             f"{place or 'the whole'}: {error.message}")
