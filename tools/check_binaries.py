#!/usr/bin/env python3
"""Checks the built programs: position independent, relocations read-only and resolved at the start,
no executable stack, control-flow protection, stack probes, and the library's assertions on.

    tools/check_binaries.py BUILD_FOLDER
"""

import re
import subprocess
import sys

PROGRAMS = ("src/daemon/cygnetd/cygnetd", "src/cli/cygnet", "src/web/cygnet-web")
# Without the C++ library, whose assertions they therefore lack.
SHIM = "src/shim/libcygnet_xfrm.so"
PLUGIN_HOST = "src/plugin/isolation/child/cygnet-plugin-host"
# The engines are built without the library's assertions: external data is never an index there, and
# they process each byte of each packet.
ENGINES = "src/crypto/engines/libcygnet_engines.a"
ASSERTION = "__glibcxx_assert_fail"


def output(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def faults_of(path, program):
    dynamic = output("readelf", "-dW", path)
    segments = output("readelf", "-lW", path)
    header = output("readelf", "-hW", path)
    if not re.search(r"Type:\s+DYN", header):
        yield "not position independent"
    if program and not re.search(r"FLAGS_1.*\bPIE\b", dynamic):
        yield "not a PIE"
    if "GNU_RELRO" not in segments or not re.search(r"FLAGS_1.*\bNOW\b", dynamic):
        yield "no full RELRO"
    if not re.search(r"GNU_STACK.* RW ", segments):
        yield "executable stack"
    if re.search(r"LOAD.* RWE ", segments):
        yield "a segment is writable and executable"
    if "TEXTREL" in dynamic or re.search(r"\b(RPATH|RUNPATH)\b", dynamic):
        yield "text relocations, or its own library path"


def code_faults(path):
    """Checks effects of compiler flags. Symbols exist in every build type."""
    notes = output("readelf", "-nW", path)
    if "SHSTK" not in notes:
        yield "no shadow stack (-fcf-protection)"
    code = output("objdump", "-d", "--no-show-raw-insn", path)
    entries = re.findall(r"^[0-9a-f]+ <([^>]+)>:\n\s*[0-9a-f]+:\s+(\S+)", code, re.M)
    # The cold part of a function is entered by direct jumps.
    own = [first for name, first in entries
           if ("cygnet" in name or name == "main") and not re.search(r"\.(cold|part\.\d+)$", name)]
    guarded = sum(first == "endbr64" for first in own)
    # Functions that are only reached by direct calls need no endbr64.
    if not own or guarded * 2 < len(own):
        yield f"{guarded} of {len(own)} functions begin with endbr64 (-fcf-protection)"
    # A large frame is grown page by page: sub $0x1000, touch.
    if "$0x1000,%rsp" not in code:
        yield "no stack probes (-fstack-clash-protection)"


def main(build):
    faults = []
    for name in (*PROGRAMS, SHIM, PLUGIN_HOST):
        path = f"{build}/{name}"
        faults += [f"{name}: {fault}" for fault in faults_of(path, name != SHIM)]
    for name in PROGRAMS:
        path = f"{build}/{name}"
        faults += [f"{name}: {fault}" for fault in code_faults(path)]
        if ASSERTION not in output("nm", "-D", "--undefined-only", path):
            faults.append(f"{name}: the library's assertions are off (_GLIBCXX_ASSERTIONS)")
    if ASSERTION in output("nm", "--undefined-only", f"{build}/{ENGINES}"):
        faults.append(f"{ENGINES}: the library's assertions are on in an engine")
    print("\n".join(faults) or "binaries: fine")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
