#!/usr/bin/env python3
"""Checks the includes of src/ against the layers of ARCHITECTURE.md: they may only point down.

Also: only the code that chooses paths names ProcessingPath, and only xfrm/ names XFRM_* constants, none newer than 6.1.
Prints each violation as file:line and exits with 1 if there is one.
"""

import pathlib
import re
import sys

# The folders that a folder may include, besides itself.
MAY_INCLUDE = {
    "base": set(),
    "settings": {"base"},
    "chain": {"base"},
    "net": {"base"},
    "packet": {"base"},
    "crypto": {"base"},
    "crypto/engines": {"base", "crypto"},
    "netlink": {"base"},
    "policy": {"base", "net"},
    "sa": {"base", "net", "packet", "crypto"},
    "esp": {"base", "net", "packet", "crypto", "sa"},
    "device": {"base", "settings", "net", "packet", "crypto", "sa", "policy"},
    "device/host": {"base", "net", "packet", "device"},
    "device/inside": {"base", "net", "packet", "device", "device/host", "device/wires"},
    "device/wires": {"base", "settings", "net", "packet", "device", "device/host"},
    # Only the software NIC does ESP itself.
    "device/sim_nic": {"base", "settings", "net", "packet", "device", "device/wires", "esp", "crypto", "sa", "policy"},
    "plugin": {"base", "settings", "net", "packet", "crypto", "sa", "policy", "device", "device/wires",
               "plugin/isolation"},
    # A program of its own; cli only runs it.
    "conformance": {"base", "net", "packet", "crypto", "sa", "esp", "device", "plugin", "plugin/isolation"},
    # Plug-ins in a process of their own: the child is linked to nothing of the stack.
    "plugin/isolation": {"base"},
    "requests": {"base", "net", "crypto", "sa", "policy"},
    # What the operator's command reads of the kernel, too.
    "xfrm/kernel": {"base", "netlink"},
    "xfrm": {"base", "net", "crypto", "netlink", "sa", "policy", "requests", "xfrm/kernel"},
    "datapath": {"base", "net", "packet", "crypto", "sa", "policy", "esp", "device"},
    "control": {"base", "net", "packet", "crypto", "sa", "policy", "esp", "device", "device/inside",
                "device/wires", "datapath", "netlink", "requests"},
    "shim": {"base", "netlink"},
    "client": {"base", "netlink"},
    "cli": {"base", "chain", "netlink", "client", "xfrm/kernel"},
    # A program of its own, for browsers and Prometheus; it reads what the operator's command reads.
    "web": {"base", "netlink", "client"},
}
# The daemon's folders, the lowest first; each may include those before it and what is below the daemon.
BELOW_THE_DAEMON = set(MAY_INCLUDE) - {"shim", "client", "cli", "web"}
DAEMON = ("system", "audit", "store", "config", "cluster", "xfrm_server", "operator",
          "fence", "cygnetd")
for place, name in enumerate(DAEMON):
    MAY_INCLUDE[f"daemon/{name}"] = BELOW_THE_DAEMON | {f"daemon/{n}" for n in DAEMON[:place]}

# Fakes, fixtures and client programs are in test/: src/ holds the product and its *_test.cc.
TEST_NAME = re.compile(r"(^|_)(fake|testing|fixture|mock|stub|scripted|test_support)(_|\.|$)")

PATH_NAMES = re.compile(r"ProcessingPath::")
PATH_FILES = {"datapath/bind_half.cc", "datapath/path_ops.cc", "datapath/sa_binding.h",
              "datapath/sa_binding.cc"}
XFRM_NAMES = re.compile(r"\bXFRM(A|_MSG|_MODE|_POLICY|_STATE|_OFFLOAD|_SHARE|NLGRP)_[A-Z0-9_]+\b")
# Of kernels after 6.1, whose headers Debian 12's main archive has: xfrm/protocol.h has names of our own.
NEWER_NAMES = re.compile(r"\bXFRM(_OFFLOAD_PACKET|A_SA_DIR|A_NAT_KEEPALIVE_INTERVAL|A_SA_PCPU|A_IPTFS_\w+|"
                         r"_MODE_IPTFS|_SA_DIR_\w+|_POLICY_CPU_ACQUIRE|_MSG_MIGRATE_STATE|"
                         r"_MIGRATE_STATE_\w+)\b")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def folder_of(path):
    """The layer of a file or include: the longest known folder at the start of its path."""
    parts = path.split("/")
    for n in range(len(parts) - 1, 0, -1):
        name = "/".join(parts[:n])
        if name in MAY_INCLUDE:
            return name
    return parts[0]



def check_file(src, path):
    file = path.relative_to(src).as_posix()
    test = file.endswith("_test.cc")
    layer = folder_of(file)
    problems = []
    if TEST_NAME.search(path.name):
        problems.append(f"{file}:1: code that only tests use belongs in test/")
    in_comment_free = re.compile(r"//.*$")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        code = in_comment_free.sub("", line)
        found = INCLUDE.match(line)
        if found and not test:
            target = found.group(1)
            if not (src / target).exists():
                if target.startswith("support/"):
                    problems.append(f"{file}:{number}: only tests may include {target}")
                continue
            other = folder_of(target)
            if other != layer and other not in MAY_INCLUDE[layer]:
                problems.append(f"{file}:{number}: {layer} may not include {target}")
        if PATH_NAMES.search(code) and not test and file not in PATH_FILES:
            problems.append(f"{file}:{number}: ProcessingPath is for bind_half and path_ops")
        if NEWER_NAMES.search(STRING.sub('""', code)):
            problems.append(f"{file}:{number}: not in Linux 6.1's headers; see xfrm/protocol.h")
        if XFRM_NAMES.search(code) and layer not in ("xfrm", "xfrm/kernel", "shim") and not test:
            problems.append(f"{file}:{number}: XFRM constants are for xfrm/")
    return problems


def main():
    src = pathlib.Path(__file__).resolve().parent.parent / "src"
    problems = []
    files = sorted(p for p in src.rglob("*") if p.suffix in (".h", ".cc"))
    for path in files:
        problems += check_file(src, path)
    for problem in problems:
        print(problem)
    print(f"{len(files)} files, {len(problems)} violations")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
