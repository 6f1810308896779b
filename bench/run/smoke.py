"""The regression guard of CI: runs every benchmark briefly, on any machine.
It fails only on results that noise cannot explain: a row with an error, heap allocations in a row
that counts them, a stage that costs many times the one below it in the same run, a wire that loses
most packets. It never fails on a single figure.
"""

import argparse
import os
import re
import sys

from gbench import Program
from stats import Rows

SKIPPED = 77
# Times the engine's cost in the same run. Undisturbed it is 1 to 9 (64 bytes, the fastest engine).
_TIMES_ENGINE = 40
# A stage without the crypto, relative to the one with it; undisturbed it is below 1.
_TIMES_SOFTWARE = 5
_STAGE = re.compile(r"esp_bench:(transform|pipeline)/([^/]+)/(out|in)/(\w+)$")


def stage_failures(rows):
    """Stages of esp_bench that cost many times the stage they build on."""
    engines = {}
    for row in rows:
        found = re.fullmatch(r"esp_bench:engine/[^/]+/(out|in)/(\w+)", row.name)
        if found:
            key = found.groups()
            engines[key] = min(engines.get(key, row.figure), row.figure)
    failures = []
    for row in rows:
        found = _STAGE.match(row.name)
        if not found:
            continue
        stage, variant, direction, size = found.groups()
        base, times = engines.get((direction, size)), _TIMES_ENGINE
        if variant == "offload":  # no crypto in it
            software = rows.get(f"esp_bench:{stage}/software/{direction}/{size}")
            base, times = (software.figure if software else None), _TIMES_SOFTWARE
        if base and row.figure > times * base:
            failures.append(f"{row.name}: {row.figure:.0f} cycles a packet, {row.figure / base:.0f} "
                            f"times the stage it builds on ({base:.0f})")
    return failures


def allocation_failures(rows):
    return [f"{row.name}: {row.figure:g}" for row in rows
            if row.name.endswith(":allocations") and max(row.best) > 0]


def programs(build):
    """Runs every row of every program briefly."""
    rows, failures = Rows(), []
    runs = (("esp_bench", None, []), ("engine_bench", "/(gcm128|gcm256)/", []),
            ("scale_bench", None, ["--smoke"]))
    for name, pattern, options in runs:
        program = Program(build, name, None)
        if not program.there:
            print(f"{name}: not built, skipped")
            continue
        program.run(rows, name, pattern, 0.001, options)
        failures += program.errors
    print(f"{len(rows)} rows")
    if len(rows) == 0:
        failures.append("no rows")
    return failures + stage_failures(rows) + allocation_failures(rows)


def wire(build):
    """Cygnet's own daemons and pktgen: 1000 packets per second are very few; at least half must arrive."""
    import tempfile

    import e2e_steps  # sets the paths to labkit
    workdir = tempfile.mkdtemp(prefix="cygnet-smoke-")
    found, _ = e2e_steps.available(build, workdir, peers=False, variants=False)
    return carried(found, workdir, e2e_steps.traffic.Generator(build), 0.5)


def chain(build):
    """The same through two gateways between two hosts, by each of Cygnet's ways and the kernel's."""
    import tempfile

    import chain_steps
    workdir = tempfile.mkdtemp(prefix="cygnet-smoke-")
    found, notes = chain_steps.available(build, workdir, peers=False)
    for note in notes:
        print(f"note: {note}")
    return carried(found, workdir, chain_steps.traffic.Generator(build), 0.2)


def carried(found, workdir, generator, seconds):
    """Failures of the systems; closes them."""
    import shutil
    failures = []
    try:
        for system in found:
            system.start()
            system.check()
            result = generator.send(system, "imix", 1000, seconds)
            print(f"{system.name}: {result}")
            if result["received"] < result["sent"] / 2:
                failures.append(f"{system.name}: {result['received']} of {result['sent']} arrived")
            if result["twice"]:
                failures.append(f"{system.name}: {result['twice']} packets arrived twice")
    finally:
        for system in found:
            system.close()
        shutil.rmtree(workdir, ignore_errors=True)
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("part", choices=("programs", "wire", "chain"))
    args = parser.parse_args()
    if args.part != "programs":
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                                        "test", "interop"))
        import labkit
        try:
            labkit.reexec_in_user_namespace()
        except labkit.LabError as error:
            print(f"skipped: {error}")
            return SKIPPED
    failures = {"programs": programs, "wire": wire, "chain": chain}[args.part](args.build)
    for failure in failures:
        print(f"FAILED {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
