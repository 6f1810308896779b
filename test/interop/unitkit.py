"""A host as its operator sees it, with its own file system, services and shell: an installation is made
there, and the commands of a how-to page are run unchanged.

Beside the network namespace it has a mount and a PID namespace. What is written below /etc, /usr/local
and /var stays in memory; everything that runs in it ends with it.
"""

import os
import re
import shutil
import subprocess

import labkit
import suite

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
# In the new namespaces: $1 is a folder for what is written, the rest are read-only layers over /.
_SET_UP = r"""
set -e
mount -t tmpfs tmpfs "$1"
layers=$2
for part in etc usr var; do
  mkdir -p "$1/$part/upper" "$1/$part/work"
  lower=/$part
  [ -z "$layers" ] || [ ! -d "$layers/$part" ] || lower=$layers/$part:/$part
  mount -t overlay overlay -o "lowerdir=$lower,upperdir=$1/$part/upper,workdir=$1/$part/work" "/$part"
done
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
exec sleep infinity
"""


def _layer_of(package, folder):
    """An unpacked package as a layer over a system whose /lib is /usr/lib."""
    shutil.copytree(package, folder, symlinks=True)
    if os.path.isdir(f"{folder}/lib"):
        shutil.copytree(f"{folder}/lib", f"{folder}/usr/lib", symlinks=True, dirs_exist_ok=True)
    return folder


def _units_of(layer):
    units = f"{layer}/usr/lib/systemd/system"
    return os.listdir(units) if os.path.isdir(units) else []


class ServiceHost:
    """`package`: folder of an unpacked Debian package that is laid over the file system."""

    def __init__(self, name, workdir, package=""):
        self.name = name
        self.ns = labkit.Namespace(name)
        folder = os.path.join(workdir, f"{name}-written")
        os.mkdir(folder)
        layer = _layer_of(package, os.path.join(workdir, f"{name}-package")) if package else ""
        self.holder = self.ns.popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "--propagation", "private", "--", "sh", "-c", _SET_UP, "sh", folder, layer],
            stderr=subprocess.PIPE)
        self.inside = labkit.wait_for(self._first_process, 10 * suite.SLOWNESS,
                                      f"{name}: mount and PID namespaces")
        stand_in = os.path.join(_ROOT, "test/interop/systemctl.py")
        self.shell(f"mkdir -p /usr/local/bin && cp {stand_in} /usr/local/bin/systemctl && "
                   "chmod 755 /usr/local/bin/systemctl")
        if package:  # this machine's own units may have these names as aliases
            self.shell("cd /usr/lib/systemd/system && for unit in "
                       f"{' '.join(_units_of(layer))}; do rm -f /etc/systemd/system/$unit; done")

    def _first_process(self):
        """Its PID out here, once the set-up has executed its last program."""
        if self.holder.poll() is not None:
            raise labkit.LabError(f"{self.name}: {self.holder.stderr.read().decode().strip()}")
        try:
            with open(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children",
                      encoding="ascii") as f:
                child = f.read().split()
            with open(f"/proc/{child[0]}/comm", encoding="ascii") as f:
                return child[0] if f.read().strip() == "sleep" else None
        except (OSError, IndexError):
            return None

    def enter(self):
        return ["nsenter", f"--target={self.inside}", "--net", "--mount", "--pid", "--"]

    def shell(self, text, variables=None, check=True, timeout=60):
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                       "HOME": "/root", "LANG": "C.UTF-8",
                       "CYGNET_SLOWNESS": str(suite.SLOWNESS), **(variables or {})}
        result = subprocess.run([*self.enter(), "sh", "-e", "-c", text], env=environment,
                                stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                check=False, timeout=timeout * suite.SLOWNESS)
        if check and result.returncode != 0:
            raise labkit.LabError(f"{self.name}: {text[-300:]}: exit {result.returncode}: "
                                  f"{result.stderr.strip() or result.stdout.strip()}\n{self.logs()}")
        return result.stdout

    def boot(self):
        """The machine restarts: no process is left, nothing in /run, no nftables rule and no interface
        that programs made."""
        self.shell("kill -9 -1; true")
        self.ns.ip("link del nic0", check=False)
        self.ns.run("nft flush ruleset")
        self.shell("rm -rf /run/*; mkdir -p /run/lock; systemctl boot")

    def networkd(self, interface):
        """Configures a new interface as the page's files for systemd-networkd say."""
        for path in self.shell("ls /etc/systemd/network/*.network").split():
            text = self.shell(f"cat {path}")
            value = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            if value["Name"] != interface:
                continue
            self.ns.ip(f"link set {interface} up")
            if "Address" in value:
                self.ns.ip(f"addr add {value['Address']} dev {interface}")
            if "Gateway" in value:
                self.ns.ip(f"route add {value['Destination']} via {value['Gateway']} dev {interface}")

    def logs(self):
        return subprocess.run([*self.enter(), "sh", "-c", "tail -n 25 /run/*.log"], text=True,
                              capture_output=True, check=False).stdout

    def close(self):
        labkit.end(self.holder)
        self.holder.stderr.close()
        self.ns.close()


def why_not():
    """Why no such host can be made here; "" if it can."""
    probe = ("mount -t tmpfs tmpfs /run && mkdir /run/a /run/b && "
             "mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/a,workdir=/run/b /etc")
    result = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-e", "-c", probe],
                            capture_output=True, text=True, check=False)
    return "" if result.returncode == 0 else f"no overlay file system: {result.stderr.strip()}"


def commands_of(page):
    """The blocks of a page of doc/ that are marked to be run."""
    with open(os.path.join(_ROOT, "doc", page), encoding="utf-8") as f:
        text = f.read()
    return re.findall(r"^<!-- run -->\n```\n(.*?)^```$", text, re.M | re.S)


def follow(host, page, variables, build):
    """Runs them unchanged, except for the path of the build."""
    for block in commands_of(page):
        host.shell(block.replace("build/release", os.path.abspath(build)), variables)
