#!/usr/bin/python3
"""A stand-in for systemctl where no systemd runs: it starts services as a unit file and its
drop-ins describe them, as far as the how-to pages need it: environment, order, readiness, capabilities.

  systemctl daemon-reload | start UNIT | restart UNIT | stop UNIT | enable [--now] UNIT | status UNIT
  systemctl boot    as when the machine starts: enabled units, in order, in the background; a failed one is
                    restarted if its unit says so

Services belong to the PID namespace that this program runs in, and end with it.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
           "/lib/systemd/system")
STATE = "/run/systemctl"
ENABLED = "/var/lib/systemctl/enabled"
PATIENCE = float(os.environ.get("CYGNET_SLOWNESS", "1")) * 20


def seconds_of(span):
    """Of systemd.time(7): a number of seconds, or of milliseconds with "ms"."""
    return float(span[:-2]) / 1000 if span.endswith("ms") else float(span)


class Unit:
    """The settings of a service: section and key, each with its values in their order."""

    def __init__(self, name):
        self.name = name.removesuffix(".service")
        self.values = {}
        self.booting = False
        files = [f"{folder}/{self.name}.service" for folder in FOLDERS]
        path = next((f for f in files if os.path.exists(f)), None)
        if path is None:
            sys.exit(f"Unit {self.name}.service not found.")
        self._read(path)
        for folder in reversed(FOLDERS):
            drop_ins = f"{folder}/{self.name}.service.d"
            for entry in sorted(os.listdir(drop_ins)) if os.path.isdir(drop_ins) else ():
                if entry.endswith(".conf"):
                    self._read(f"{drop_ins}/{entry}")

    def _read(self, path):
        with open(path, encoding="utf-8") as f:
            text = f.read().replace("\\\n", " ")
        section = ""
        for line in text.splitlines():
            line = line.strip()
            if line.startswith("["):
                section = line.strip("[]")
            elif line and line[0] not in "#;":
                key, _, value = line.partition("=")
                values = self.values.setdefault((section, key.strip()), [])
                if value.strip():
                    values.append(value.strip())
                else:
                    values.clear()  # an empty assignment clears earlier values

    def all(self, key, section="Service"):
        return self.values.get((section, key), [])

    def one(self, key, default="", section="Service"):
        return (self.all(key, section) or [default])[-1]

    # --- environment ---

    def environment(self):
        found = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        for line in self.all("Environment"):
            found.update(word.partition("=")[::2] for word in shlex.split(line))
        for path in self.all("EnvironmentFile"):
            if not os.path.exists(path.lstrip("-")):
                continue
            with open(path.lstrip("-"), encoding="utf-8") as f:
                for line in f:
                    if "=" in line and not line.startswith("#"):
                        key, _, value = line.strip().partition("=")
                        found[key] = value.strip("\"'")
        for kind, folder in (("State", "/var/lib"), ("Runtime", "/run")):
            for name in self.one(f"{kind}Directory").split():
                os.makedirs(f"{folder}/{name}", mode=int(self.one(f"{kind}DirectoryMode", "0755"), 8),
                            exist_ok=True)
                if self.user_options():
                    shutil.chown(f"{folder}/{name}", self.one("User"), self.one("User"))
                found[f"{kind.upper()}_DIRECTORY"] = f"{folder}/{name}"
        return found

    def confinement(self):
        """The part of it that a program can get without systemd."""
        argv = ["setpriv", *self.user_options()]
        bounding = " ".join(self.all("CapabilityBoundingSet")).split()
        if bounding and not bounding[0].startswith("~"):
            kept = ",".join("+" + name.lower().removeprefix("cap_") for name in bounding)
            argv.append(f"--bounding-set=-all,{kept}")
        if self.one("NoNewPrivileges") in ("yes", "true"):
            argv.append("--no-new-privs")
        return argv if len(argv) > 1 else []

    def user_options(self):
        """None if there is only one user, or if TAP devices belong to root (no udev)."""
        with open("/proc/self/uid_map", encoding="ascii") as f:
            all_users = f.read().split()[1:] == ["0", "4294967295"]
        if not self.one("User") or not all_users or os.stat("/dev/net/tun").st_mode & 0o006 != 6:
            return []
        kept = ",".join("+" + name.lower().removeprefix("cap_")
                        for name in " ".join(self.all("AmbientCapabilities")).split())
        user = self.one("User")
        return [f"--reuid={user}", f"--regid={user}", "--init-groups", f"--inh-caps=-all,{kept}",
                f"--ambient-caps=-all,{kept}"]

    def command(self, line, environment):
        words = []
        for word in shlex.split(line.lstrip("-@+!:")):
            if word.startswith("$"):
                words += environment.get(word.strip("${}"), "").split()
            else:
                words.append(re.sub(r"\$\{(\w+)\}", lambda m: environment.get(m[1], ""), word))
        return [*self.confinement(), *words]

    # --- operations ---

    def start(self):
        if self.pid():
            return
        for other in self.all("Wants", "Unit") + self.all("Requires", "Unit"):
            for name in other.split():
                if name.endswith(".service") and any(
                        os.path.exists(f"{folder}/{name}") for folder in FOLDERS):
                    other_unit = Unit(name)
                    other_unit.booting = self.booting
                    other_unit.start()
        environment = self.environment()
        for line in self.all("ExecStartPre"):
            self._run(line, environment)
        if self.one("Type") == "oneshot":
            for line in self.all("ExecStart"):
                self._run(line, environment)
            return
        if self.one("Type") == "notify":
            process = self._start_and_wait(environment)
        else:
            process = self._spawn(environment)
        os.makedirs(STATE, exist_ok=True)
        with open(f"{STATE}/{self.name}", "w", encoding="ascii") as f:
            f.write(str(process.pid))
        environment["MAINPID"] = str(process.pid)
        for line in self.all("ExecStartPost"):
            try:
                self._run(line, environment)
            except SystemExit:
                self.stop()
                raise

    def _run(self, line, environment):
        result = subprocess.run(self.command(line, environment), env=environment, check=False)
        if result.returncode != 0 and not line.startswith("-"):
            sys.exit(f"{self.name}: {line}: exit {result.returncode}")

    def _spawn(self, environment):
        log = open(f"/run/{self.name}.log", "ab")
        return subprocess.Popen(self.command(self.one("ExecStart"), environment), env=environment,
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                start_new_session=True)

    def _start_and_wait(self, environment):
        """Like the service manager: a unit is ready when it says READY=1."""
        path = f"/run/{self.name}.notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            os.chmod(path, 0o777)  # as systemd's: the unit has a user of its own
            manager.settimeout(0.1)
            environment = {**environment, "NOTIFY_SOCKET": path}
            process = self._spawn(environment)
            forever = self.booting and self.one("TimeoutStartSec") == "infinity"
            deadline = time.monotonic() + PATIENCE
            while forever or time.monotonic() < deadline:
                if process.poll() is not None and self.booting and self.restarts():
                    time.sleep(seconds_of(self.one("RestartSec", "100ms")))
                    process = self._spawn(environment)
                if process.poll() is not None:
                    sys.exit(f"{self.name}: ended with {process.returncode}; see /run/{self.name}.log")
                try:
                    lines = manager.recv(4096).decode().splitlines()
                except TimeoutError:
                    continue
                if "READY=1" in lines:
                    status = [line for line in lines if line.startswith("STATUS=")]
                    with open(f"/run/{self.name}.status", "w", encoding="utf-8") as f:
                        f.write("\n".join(status))
                    os.unlink(path)
                    return process
        process.kill()
        sys.exit(f"{self.name}: not ready after {PATIENCE:g} s")

    def restarts(self):
        """Whether it is restarted however often it fails."""
        return (self.one("Restart") == "on-failure"
                and self.one("StartLimitIntervalSec", "10", "Unit") == "0")

    def one_of(self, section, key):
        return " ".join(self.all(key, section)).split()

    def enable(self):
        os.makedirs(ENABLED, exist_ok=True)
        for name in (self.name, *self.one_of("Install", "Also")):
            with open(f"{ENABLED}/{name.removesuffix('.service')}.service", "w", encoding="ascii"):
                pass

    def pid(self):
        """0: not running."""
        try:
            with open(f"{STATE}/{self.name}", encoding="ascii") as f:
                pid = int(f.read())
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                return 0 if f.read().rpartition(")")[2].split()[0] == "Z" else pid
        except (OSError, ValueError):
            return 0

    def stop(self):
        pid = self.pid()
        if not pid:
            return
        environment = {**self.environment(), "MAINPID": str(pid)}
        for line in self.all("ExecStop"):
            self._run("-" + line, environment)
        if self.pid():
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while self.pid() and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.pid():
            sys.exit(f"{self.name}: does not stop")
        for line in self.all("ExecStopPost"):
            self._run("-" + line, environment)


def boot():
    """Runs units ordered before the network first, to their end; the others wait for their dependencies."""
    units = [Unit(name) for name in sorted(os.listdir(ENABLED))]
    early = [unit for unit in units if unit.one("DefaultDependencies", "", "Unit") == "no"]
    for unit in early:
        unit.start()
    if os.fork() != 0:
        return
    os.setsid()
    log = os.open("/run/boot.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for fd in range(3):
        os.dup2(log, fd)
    for unit in units:
        if unit not in early:
            unit.booting = True
            unit.start()


def main(argv):
    now = "--now" in argv
    words = [word for word in argv if not word.startswith("-")]
    command, names = words[0], words[1:]
    if command == "daemon-reload":
        return
    if command == "boot":
        boot()
        return
    for name in names:
        unit = Unit(name)
        if command in ("stop", "restart"):
            unit.stop()
        if command == "enable":
            unit.enable()
        if command in ("start", "restart") or (command == "enable" and now):
            unit.start()
        if command == "status":
            print(f"{unit.name}: {'active' if unit.pid() else 'inactive'}")


if __name__ == "__main__":
    main(sys.argv[1:])
