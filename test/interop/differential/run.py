#!/usr/bin/python3
"""Runs every case against whatever NETLINK_XFRM is here, the kernel's or, behind the shim,
cygnetd's, and prints transcripts as JSON: {"features": […], "cases": {name: [line, …]}}.

  run.py [--interface NAME] [--slowness N] [--only PATTERN] [--features]
"""

import argparse
import contextlib
import fnmatch
import json
import os
import socket
import struct
import sys
import traceback
from errno import EINVAL, ENOENT, ENOPROTOOPT, ENOSYS, EPROTONOSUPPORT, ERANGE

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import xfrmwire as nl  # noqa: E402
from cases import CASES  # noqa: E402
from recorder import Endpoint, Recorder  # noqa: E402

import cases_netlink  # noqa: E402,F401
import cases_attributes  # noqa: E402,F401
import cases_info  # noqa: E402,F401
import cases_policy  # noqa: E402,F401
import cases_template  # noqa: E402,F401
import cases_spi  # noqa: E402,F401
import cases_sa  # noqa: E402,F401
import cases_dump  # noqa: E402,F401
import cases_migrate  # noqa: E402,F401
import cases_events  # noqa: E402,F401
import cases_sockets  # noqa: E402,F401
import cases_socket_policy  # noqa: E402,F401
import cases_traffic  # noqa: E402,F401


class Environment:
    def __init__(self, interface, slowness):
        self.interface = interface
        self.slowness = slowness
        self.patience = 1.0 * slowness  # for the rest of a dump, which arrives as it is read
        self.interfaces = {number: name for number, name in socket.if_nameindex()}
        self.index_base = 0

    def ifindex(self):
        return socket.if_nametoindex(self.interface)

    @staticmethod
    @contextlib.contextmanager
    def sysctl(name, value):
        """A setting of the network namespace, changed for a while."""
        path = os.path.join("/proc/sys", name)
        with open(path, encoding="ascii") as f:
            before = f.read()
        with open(path, "w", encoding="ascii") as f:
            f.write(str(value))
        try:
            yield
        finally:
            with open(path, "w", encoding="ascii") as f:
                f.write(before)


def ask(endpoint, kind, body, flags=nl.REQUEST | nl.ACK):
    """Parsed answers, with their raw payloads."""
    endpoint.socket.send(nl.message(kind, body, flags))
    return [(data[4:6], data) for data, sender in endpoint.receive() if sender]


def errno_of(answers):
    for kind, data in answers:
        if kind == struct.pack("=H", nl.ERROR):
            return -struct.unpack("=i", data[16:20])[0]
    return None


def clean(environment):
    """Removes everything of the previous case, and notes the index that the next policy gets."""
    endpoint = Endpoint()
    for kind, body in (("FLUSHSA", b"\0"), ("FLUSHPOLICY", b""),
                       ("FLUSHPOLICY", nl.attr("POLICY_TYPE", nl.policy_type(1))),
                       ("SETDEFAULT", bytes([2, 2, 2])),
                       ("NEWSPDINFO", nl.u32(0) + nl.attr(3, bytes([32, 32]))
                        + nl.attr(4, bytes([128, 128])))):
        ask(endpoint, kind, body)
    probe = nl.selector("203.0.113.1", "203.0.113.2", 32)
    ask(endpoint, "NEWPOLICY", nl.policy_info(probe))
    for kind, data in ask(endpoint, "GETPOLICY", nl.policy_id(sel=probe), nl.REQUEST):
        if kind == struct.pack("=H", nl.TYPES["NEWPOLICY"]):
            environment.index_base = (struct.unpack("=I", data[16 + 156:16 + 160])[0] >> 3) + 1
    ask(endpoint, "DELPOLICY", nl.policy_id(sel=probe))
    endpoint.close()


def probe_features():
    """The kernel's features beyond the required ones."""
    endpoint = Endpoint()
    body = nl.sa_info() + nl.attr("ALG_AEAD", nl.aead())
    found = []

    def has(name, kind, request, missing):
        if errno_of(ask(endpoint, kind, request)) not in missing:
            found.append(name)

    has("crypto", "NEWSA", body, (ENOSYS,))
    has("esp", "NEWSA", body, (ENOSYS, EPROTONOSUPPORT))
    ask(endpoint, "DELSA", nl.sa_id())
    # Not a valid direction: kernels that know the attribute refuse it with ERANGE.
    if errno_of(ask(endpoint, "NEWSA", nl.sa_info() + nl.attr("SA_DIR", b"\3"))) == ERANGE:
        found.append("sa_dir")
    if errno_of(ask(endpoint, "NEWSA", nl.sa_info() + nl.attr("SA_PCPU", b"\3"))) == EINVAL \
            and errno_of(ask(endpoint, "DELSA", nl.sa_id() + nl.attr("SA_PCPU", nl.u32(0)))) == EINVAL:
        found.append("sa_pcpu")
    sub = nl.attr("POLICY_TYPE", nl.policy_type(1))
    has("sub_policy", "FLUSHPOLICY", sub, (EINVAL,))
    has("migrate", "MIGRATE", nl.policy_id(), (ENOPROTOOPT,))
    has("migrate_state", "MIGRATE_STATE", nl.migrate_state(spi=0xdead), (EINVAL, ENOPROTOOPT))
    has("default", "GETDEFAULT", bytes(3), (EINVAL,))
    has("offload", "NEWPOLICY", nl.policy_info()
        + nl.attr("OFFLOAD_DEV", nl.offload(0, 1)), (0,))
    ask(endpoint, "DELPOLICY", nl.policy_id())
    ask(endpoint, "ALLOCSPI", nl.spi_info(0x300, 0x300))
    if errno_of(ask(endpoint, "ALLOCSPI", nl.spi_info(0x300, 0x300, dst="10.0.0.9"))) == ENOENT:
        found.append("spi_per_proto")
    ask(endpoint, "FLUSHSA", b"\0")
    endpoint.close()
    return found


def run_case(case, environment):
    recorder = Recorder(environment, case.listener)
    try:
        case.run(recorder)
    except Exception:  # a failed case is an answer, too, and does not end the others
        recorder.note("broken: " + traceback.format_exc(limit=-2).strip().splitlines()[-1])
        print(f"{case.name}: {traceback.format_exc()}", file=sys.stderr)
    finally:
        recorder.close()
    return recorder.lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--interface", default="nic0")
    parser.add_argument("--slowness", type=float, default=1)
    parser.add_argument("--only", default="*")
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--lacking", default="", help="features that the other side lacks")
    args = parser.parse_args()
    if args.features:
        print(json.dumps(probe_features()))
        return
    environment = Environment(args.interface, args.slowness)
    lacking = set(args.lacking.split(","))
    found = {}
    for case in CASES.values():
        if lacking & set(case.needs) or not fnmatch.fnmatch(case.name, args.only):
            continue
        if not case.name.startswith("fresh."):  # those need an unused namespace
            clean(environment)
        found[case.name] = run_case(case, environment)
    clean(environment)
    print(json.dumps({"cases": found, "needs": {c.name: c.needs for c in CASES.values()}}))


if __name__ == "__main__":
    main()
