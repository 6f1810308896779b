#!/usr/bin/env python3
"""Reads the programs that were built: position independent, relocations read-only and resolved at the
start, no executable stack, no path for libraries of their own.

    tools/check_binaries.py BUILD_FOLDER
"""

import re
import subprocess
import sys

PROGRAMS = ("src/daemon/cygnetd/cygnetd", "src/cli/cygnet")
SHIM = "src/shim/libcygnet_xfrm.so"


def output(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def faults_of(path, program):
    dynamic = output("readelf", "-dW", path)
    segments = output("readelf", "-lW", path)
    header = output("readelf", "-hW", path)
    if not re.search(r"Type:\s+DYN", header):
        yield "not position independent"
    if program and not re.search(r"FLAGS_1.*\bPIE\b", dynamic):
        yield "no PIE"
    if "GNU_RELRO" not in segments or not re.search(r"FLAGS_1.*\bNOW\b", dynamic):
        yield "no full RELRO"
    if not re.search(r"GNU_STACK.* RW ", segments):
        yield "an executable stack"
    if re.search(r"LOAD.* RWE ", segments):
        yield "a segment that is written and executed"
    if "TEXTREL" in dynamic or re.search(r"\b(RPATH|RUNPATH)\b", dynamic):
        yield "text relocations or a path for libraries of its own"


def main(build):
    faults = []
    for name in (*PROGRAMS, SHIM):
        path = f"{build}/{name}"
        faults += [f"{name}: {fault}" for fault in faults_of(path, name != SHIM)]
    print("\n".join(faults) or "binaries: fine")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
