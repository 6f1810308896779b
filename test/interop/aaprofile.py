"""An AppArmor profile as AppArmor's own parser understands it, and what a traced program did: whether the profile
allows it. The parser turns each rule into a regular expression (`-D rule-exprs`); this file only applies them.
"""

import os
import re
import subprocess

# What a file rule allows, as the kernel counts it: for files of the program's own user, and shifted, for others'.
EXECUTE, WRITE, READ, APPEND, LINK, LOCK, MAP = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40
LETTERS = {READ: "r", WRITE: "w", EXECUTE: "x", MAP: "m", LOCK: "k", LINK: "l"}
_OF_OTHERS = 14
_RULE = re.compile(r"^rule: ([/(].*?)  ->  .* \(0x([0-9a-f]+)/0\)<", re.M)
_FAMILIES = {"AF_INET": "inet", "AF_INET6": "inet6", "AF_UNIX": "unix", "AF_NETLINK": "netlink", "AF_PACKET": "packet",
             "AF_XDP": "xdp"}
_TYPES = {"SOCK_STREAM": "stream", "SOCK_DGRAM": "dgram", "SOCK_RAW": "raw", "SOCK_SEQPACKET": "seqpacket"}


class Profile:
    def __init__(self, path):
        self.rules = [(re.compile(text), int(bits, 16)) for text, bits in _RULE.findall(_parse("-D", "rule-exprs", path))]
        text = _parse("--preprocess", path)
        self.networks = set(re.findall(r"^\s*network\s+(\w+)\s+(\w+),", text, re.M))
        self.capabilities = set(re.findall(r"^\s*capability\s+(\w+),", text, re.M))

    def lacks(self, path, bits, own):
        """The bits that no rule grants on this path."""
        for rule, granted in self.rules:
            if rule.fullmatch(path):
                bits &= ~(granted if own else granted >> _OF_OTHERS)
        return bits

    def complaints(self, accesses, owned):
        """What of `accesses` it does not allow, as it would stand in the log."""
        found = set()
        for kind, what, how in accesses:
            if kind == "network":
                if (what, how) not in self.networks:
                    found.add(f"network {what} {how}")
            elif missing := self.lacks(what, how, any(what.startswith(folder) for folder in owned)):
                found.add(f"{what} {''.join(letter for bit, letter in LETTERS.items() if missing & bit)}")
        return sorted(found)


def _parse(*words):
    result = subprocess.run(["apparmor_parser", "--skip-kernel-load", "--skip-cache", *words], capture_output=True, text=True,
                            errors="replace", check=True)
    return result.stdout + result.stderr


# --- What a program did ---

_CALLS = ("open,openat,creat,execve,mmap,mkdir,mkdirat,mknod,mknodat,rmdir,unlink,unlinkat,rename,renameat,renameat2,"
          "symlink,symlinkat,link,linkat,chmod,fchmod,fchmodat,chown,fchown,fchownat,truncate,ftruncate,flock,fcntl,"
          "connect,bind,sendto,sendmsg,socket,socketpair,mount,umount2,pivot_root,ptrace")
_LINE = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|\?)(?:<(/[^>]*?)(?: \(deleted\))?>)?")
_AT = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"^\d+<(/[^>]*)>")
_SOCKET_PATH = re.compile(r'sun_path="(/[^"]+)"')
_CHANGES = {"mkdir", "mkdirat", "mknod", "mknodat", "rmdir", "unlink", "unlinkat", "symlink", "symlinkat", "chmod", "fchmodat",
            "chown", "fchownat", "truncate", "creat"}
# Memory that strace shows with a name.
_NO_FILES = ("/memfd:", "/SYSV", "/anon_hugepage")
# No part of a service's life; the profiles have no rule for them.
_NEVER = {"mount", "umount2", "pivot_root", "ptrace"}


def write_tracer(path, output, program, environment=None):
    """A program in place of `program`: the same, but what it does is written to OUTPUT.PID. Its PID and its end are
    the program's own."""
    with open(path, "w", encoding="utf-8") as f:
        words = " ".join(f"{name}='{value}'" for name, value in (environment or {}).items())
        f.write(f"#!/bin/sh\nexec env {words} strace -D -q -ff --seccomp-bpf -y -s 4096 -e trace={_CALLS} -e signal=none "
                f"-o '{output}' '{program}' \"$@\"\n")
    os.chmod(path, 0o755)


def accesses_of(folder, prefix, place):
    """{("file", path, bits) or ("network", family, type)} of all processes that wrote a trace; `place` tells where a
    path of the test is on an installed system."""
    found = set()
    for name in os.listdir(folder):
        if not name.startswith(prefix + "."):
            continue
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
            for line in f:
                if match := _LINE.match(line):
                    found |= {(kind, place(what), how) if kind == "file" else (kind, what, how)
                              for kind, what, how in _of_call(*match.groups())}
    return found


def _of_call(name, words, status, result):
    if name in ("connect", "bind", "sendto", "sendmsg"):  # also without success: who listens differs by host
        return {("file", os.path.realpath(path), WRITE) for path in _SOCKET_PATH.findall(words)}
    if status.startswith("-") or status == "?":
        return set()
    if name in _NEVER:
        return {("network", name, words)}
    if name in ("socket", "socketpair"):
        family, kind = words.split(", ")[:2]
        return {("network", _FAMILIES.get(family, family), _TYPES.get(kind.split("|")[0], kind))}
    if name in ("open", "openat"):
        return _of_open(words, result)
    if name in ("fchmod", "fchown", "ftruncate", "flock", "fcntl", "mmap"):
        return _of_descriptor(name, words)
    paths = [os.path.join(folder, path) for folder, path in _AT.findall(words)]
    if name == "execve":
        return {("file", os.path.realpath(paths[0]), EXECUTE)}
    if name.startswith("rename"):
        return {("file", paths[0], READ | WRITE), ("file", paths[1], WRITE)}
    if name.startswith("link"):
        return {("file", paths[1], LINK)}
    return {("file", paths[-1 if name.startswith("symlink") else 0], WRITE)} if name in _CHANGES else set()


def _of_open(words, path):
    if path is None or "O_PATH" in words:
        return set()  # no file system that AppArmor looks at (a namespace, a socket), or no access yet
    bits = READ | WRITE if "O_RDWR" in words else WRITE if "O_WRONLY" in words else READ
    return {("file", _as_in_rules(path), bits | (WRITE if "O_CREAT" in words else 0))}


def _of_descriptor(name, words):
    if name == "mmap":
        on = re.search(r"PROT_\S*EXEC.*, \d+<(/[^>]*)>", words)
        return {("file", on[1], MAP)} if on else set()
    on = _DESCRIPTOR.match(words)
    if not on or (name == "fcntl" and not re.search(r"F_(OFD_)?SETLK", words)):
        return set()
    path = on[1].removesuffix(" (deleted)")
    return set() if path.startswith(_NO_FILES) else {("file", _as_in_rules(path), LOCK if name in ("flock", "fcntl") else WRITE)}


def _as_in_rules(path):
    """A folder ends with a slash."""
    return path + "/" if os.path.isdir(path) else path
