"""A TCP proxy in a node's namespace, in front of etcd. It passes requests and may withhold answers: what
the store did is done, and nobody hears of it.
"""

import random
import selectors
import socket
import threading

from rawwire import inside


class Proxy:
    """Listens on 127.0.0.1:`port`. `loss`: share of the answers that are withheld, with their connection."""

    def __init__(self, namespace, target, port=2379):
        self.namespace, self.target = namespace, target
        self.loss = 0.0
        self.withheld = self.passed = 0
        with inside(namespace):
            self.listener = socket.create_server(("127.0.0.1", port))
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        self.listener.settimeout(0.2)
        while not self.done.is_set():
            try:
                near = self.listener.accept()[0]
            except TimeoutError:
                continue
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        try:
            with inside(self.namespace):
                far = socket.create_connection((self.target, 2379), 2)
        except OSError:
            near.close()
            return
        with near, far, selectors.DefaultSelector() as ready:
            near.setblocking(True)
            far.setblocking(True)
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            asked = 0
            while not self.done.is_set():
                for key, _ in ready.select(0.2):
                    try:
                        data = key.fileobj.recv(65536)
                        asked += key.fileobj is near
                        # The first two are of the handshake.
                        if not data or (key.fileobj is far and asked > 2 and self._withholds()):
                            return
                        key.data.sendall(data)
                    except OSError:
                        return

    def _withholds(self):
        lost = random.random() < self.loss
        self.withheld += lost
        self.passed += not lost
        return lost

    def close(self):
        self.done.set()
        self.thread.join()
        self.listener.close()
