#!/usr/bin/env python3
"""Holds the includes of src/ to the layers of ARCHITECTURE.md: they may only point down.

Also: ProcessingPath is named only where paths are chosen, and XFRM_* constants only in xfrm/, none newer than 6.1.
Prints each violation as file:line and exits 1 if there is one.
"""

import pathlib
import re
import sys

# What a folder may include, besides itself.
MAY_INCLUDE = {
    "base": set(),
    "net": {"base"},
    "packet": {"base"},
    "crypto": {"base"},
    "crypto/engines": {"base", "crypto"},
    "netlink": {"base"},
    "policy": {"base", "net"},
    "sa": {"base", "net", "packet", "crypto"},
    "esp": {"base", "net", "packet", "crypto", "sa"},
    "device": {"base", "net", "packet", "crypto", "sa", "policy"},
    "device/drivers": {"base", "net", "packet", "device"},
    "xfrm": {"base", "net", "crypto", "netlink", "sa", "policy", "control/headers"},
    "datapath": {"base", "net", "packet", "crypto", "sa", "policy", "esp", "device"},
    "control": {"base", "net", "packet", "crypto", "sa", "policy", "esp", "device", "datapath",
                "netlink"},
    "shim": {"base", "netlink"},
    "cli": {"base", "netlink"},
}
MAY_INCLUDE["daemon"] = set(MAY_INCLUDE) - {"shim", "cli"}
# The software NIC alone does ESP itself.
EXTRA = {"device/drivers/sim_nic": {"esp", "crypto", "sa"}}
# Values that the protocol code turns into messages.
CONTROL_VALUES = {"control/control_event.h", "control/xfrm_control.h"}

PATH_NAMES = re.compile(r"ProcessingPath::")
PATH_FILES = {"datapath/path_select.cc", "datapath/path_ops.cc", "datapath/sa_binding.h"}
XFRM_NAMES = re.compile(r"\bXFRM(A|_MSG|_MODE|_POLICY|_STATE|_OFFLOAD|_SHARE|NLGRP)_[A-Z0-9_]+\b")
# Of kernels after 6.1, whose headers Debian 12's main archive has: xfrm/protocol.h has names of our own.
NEWER_NAMES = re.compile(r"\bXFRM(_OFFLOAD_PACKET|A_SA_DIR|A_NAT_KEEPALIVE_INTERVAL|A_SA_PCPU|A_IPTFS_\w+|"
                         r"_MODE_IPTFS|_SA_DIR_\w+|_POLICY_CPU_ACQUIRE)\b")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def folder_of(path):
    """The layer a file or include belongs to: the longest known folder that begins its path."""
    parts = path.split("/")
    for n in range(len(parts) - 1, 0, -1):
        name = "/".join(parts[:n])
        if name in MAY_INCLUDE:
            return name
    return parts[0]


def allowed_for(file):
    allowed = set(MAY_INCLUDE[folder_of(file)])
    for prefix, more in EXTRA.items():
        if file.startswith(prefix):
            allowed |= more
    return allowed


def check_file(src, path):
    file = path.relative_to(src).as_posix()
    test = file.endswith("_test.cc")
    layer = folder_of(file)
    problems = []
    in_comment_free = re.compile(r"//.*$")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        code = in_comment_free.sub("", line)
        found = INCLUDE.match(line)
        if found and not test:
            target = found.group(1)
            if not (src / target).exists():
                continue
            other = folder_of(target)
            value = target in CONTROL_VALUES and "control/headers" in allowed_for(file)
            if other != layer and other not in allowed_for(file) and not value:
                problems.append(f"{file}:{number}: {layer} may not include {target}")
        if PATH_NAMES.search(code) and not test and file not in PATH_FILES:
            problems.append(f"{file}:{number}: ProcessingPath is for path_select and path_ops")
        if NEWER_NAMES.search(STRING.sub('""', code)):
            problems.append(f"{file}:{number}: not in Linux 6.1's headers; see xfrm/protocol.h")
        if XFRM_NAMES.search(code) and layer not in ("xfrm", "shim") and not test:
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
