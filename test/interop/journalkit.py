"""A journal of the test's own, in a /run that only the daemon of one host sees."""

import copy
import os
import select
import socket
import threading


class Journal:
    def __init__(self, host, workdir):
        """The daemon of `host`, which has not started yet, writes here."""
        path = os.path.join(workdir, f"{host.name}.journal")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.texts = []
        self.lock = threading.Lock()
        self.closed = threading.Event()
        script = os.path.join(workdir, f"{host.name}-cygnetd")
        with open(script, "w", encoding="ascii") as file:
            file.write(f"""#!/bin/sh
[ "$1" = inside ] || exec unshare --mount "$0" inside "$@"
shift
mount -t tmpfs none /run && mkdir -p /run/systemd/journal || exit 1
ln -s {path} /run/systemd/journal/socket || exit 1
exec {host.cygnet.daemon} "$@"
""")
        os.chmod(script, 0o700)
        host.cygnet = copy.copy(host.cygnet)
        host.cygnet.daemon = script
        self.thread = threading.Thread(target=self._read)  # the queue has room for a few datagrams only
        self.thread.start()

    def _read(self):
        while not self.closed.is_set():
            if select.select([self.socket], [], [], 0.1)[0]:
                self.records()

    def records(self):
        """All so far, each as its datagram."""
        with self.lock:
            try:
                while True:
                    self.texts.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return list(self.texts)

    def close(self):
        self.closed.set()
        self.thread.join()
        self.socket.close()
