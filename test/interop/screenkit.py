"""A terminal for programs with a full screen: tmux, whose server is ours alone and ends with us."""

import os
import re
import subprocess
import tempfile

import labkit


class Screen:
    """One program in a terminal of `columns` by `rows`, in the namespace of a host."""

    def __init__(self, host, argv, columns=80, rows=24, env=None):
        self.host = host
        self.folder = tempfile.mkdtemp(prefix="cygnet-screen-")
        self.socket = os.path.join(self.folder, "tmux")
        clean = {k: v for k, v in os.environ.items() if k not in ("TMUX", "COLUMNS", "LINES", "NO_COLOR")}
        self.server = host.ns.popen(["tmux", "-S", self.socket, "-f", "/dev/null", "-D"],
                                    env={**clean, "LC_ALL": "C.UTF-8"}, stdout=-3, stderr=-3)
        labkit.wait_for(lambda: os.path.exists(self.socket), 10, "tmux")
        # A shell outlives the program: tmux 3.3a loses the last words or the status of one that ends at once.
        argv = ["sh", "-c", '"$@"; echo "[status $?]"; exec sleep 3600', "sh", *argv]
        self._tmux("set-option", "-g", "status", "off", ";", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                   *[word for k, v in (env or {}).items() for word in ("-e", f"{k}={v}")], *argv)

    def _tmux(self, *words):
        done = subprocess.run(["tmux", "-S", self.socket, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise labkit.LabError(f"tmux {words}: {done.stderr}")
        return done.stdout

    def text(self, *options):
        """What is on the screen; "-e": with its colours as escape sequences. Before a program that has ended, what
        tmux scrolled away when it wrote the end below it."""
        dead = self._tmux("display-message", "-p", "#{pane_dead}").strip() == "1"
        return self._tmux("capture-pane", "-p", *(("-S", "-") if dead else ()), *options)

    def lines(self):
        return self.text().rstrip("\n").split("\n")

    def press(self, *keys):
        """tmux's names: "Enter", "Escape", "Down", "Tab", "BSpace" or text."""
        self._tmux("send-keys", *keys)

    def resize(self, columns, rows):
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def pid(self):
        shell = int(self._tmux("display-message", "-p", "#{pane_pid}"))
        with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as f:
            return int(f.read())

    def status(self):
        """The exit status; None: it runs."""
        found = re.search(r"^\[status (\d+)\]$", self.text(), re.M)
        return int(found[1]) if found else None

    def in_alternate_screen(self):
        return self._tmux("display-message", "-p", "#{alternate_on}").strip() == "1"

    def wait(self, text, timeout=15):
        try:
            return labkit.wait_for(lambda: text in self.text() and self.text(), timeout, f"{text!r}")
        except labkit.LabError as error:
            raise AssertionError(f"{error} on the screen:\n{self.text()}") from None

    def close(self):
        labkit.end(self.server)
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        os.rmdir(self.folder)
