"""The machine and source that a figure depends on and is reported with."""

import datetime
import os
import platform
import subprocess

# Flags that decide which code the engines use.
_FLAGS = ("aes", "avx2", "vaes", "vpclmulqdq", "gfni", "avx512f", "avx512bw", "avx512vl", "sha_ni")


def _cpuinfo():
    fields = {}
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            key, _, value = line.partition(":")
            if not line.strip():
                break
            fields[key.strip()] = value.strip()
    return fields


def describe(tsc_hz=None):
    cpu = _cpuinfo()
    present = set(cpu.get("flags", "").split())
    return {
        "model": cpu.get("model name", "unknown"),
        "family": cpu.get("cpu family"),
        "model_number": cpu.get("model"),
        "stepping": cpu.get("stepping"),
        "flags": [flag for flag in _FLAGS if flag in present],
        "cpus": os.cpu_count(),
        "virtual": "hypervisor" in present,
        "tsc_hz": tsc_hz,
        "kernel": platform.release(),
    }


def _git(root, *args):
    """Empty also if git is not installed or the sources came as an archive."""
    try:
        result = subprocess.run(["git", "-C", root, *args], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def source(root):
    return {"commit": _git(root, "rev-parse", "--short=12", "HEAD") or "unknown",
            "changed": bool(_git(root, "status", "--porcelain", "--untracked-files=no")),
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")}


def microarchitecture(machine):
    """The common name of the microarchitecture if known; figures do not carry over to another one."""
    names = {("25", "1"): "Zen 3 (Milan)", ("25", "17"): "Zen 4", ("26", "2"): "Zen 5"}
    return names.get((machine.get("family"), machine.get("model_number")), "")


def title(machine):
    zen = microarchitecture(machine)
    tsc = f", TSC {machine['tsc_hz'] / 1e9:.3f} GHz" if machine.get("tsc_hz") else ""
    return (f"{machine['model']}{f' {zen}' if zen else ''} (family {machine['family']} model "
            f"{machine['model_number']}), {machine['cpus']} CPUs"
            f"{', virtual' if machine['virtual'] else ''}{tsc}, Linux {machine['kernel']}")
