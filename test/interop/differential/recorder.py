"""One case: sockets to NETLINK_XFRM, whoever serves it, and a transcript of the answers."""

import socket
import struct
import time

import xfrmwire as nl
from render import Renderer, error_name

ALL_GROUPS = nl.group_mask(*nl.GROUPS)
_LARGEST = 1 << 17


class Endpoint:
    """A socket and how its answers are shown."""

    def __init__(self, groups=0, extended=True, capped=False, pid=0):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, nl.NETLINK_XFRM)
        self.socket.bind((pid, groups))
        if extended:
            self.socket.setsockopt(nl.SOL_NETLINK, nl.NETLINK_EXT_ACK, 1)
        if capped:
            self.socket.setsockopt(nl.SOL_NETLINK, nl.NETLINK_CAP_ACK, 1)
        self.port = self.socket.getsockname()[0]

    def receive(self, wait=0.0):
        """The (datagram, sender) pairs that have arrived, after waiting for the first; for an error its number."""
        found = []
        self.socket.settimeout(wait)
        while True:
            try:
                found.append(self.socket.recvfrom(_LARGEST))
            except (BlockingIOError, TimeoutError):
                return found
            except OSError as error:
                found.append((error.errno, None))
            self.socket.settimeout(0.0)

    def close(self):
        self.socket.close()


class Recorder:
    """The argument of a case. `main` sends requests; `listener` listens to all groups unless the case declines."""

    def __init__(self, environment, listener=True):
        self.environment = environment  # from run.py: the interface, waits
        self.lines = []
        self._opened = []
        self._sequence = 0
        self.renderer = Renderer(index_base=environment.index_base,
                                 interfaces=environment.interfaces)
        self.listener = self.endpoint(groups=ALL_GROUPS) if listener else None
        self.main = self.endpoint()

    # --- Sockets ---

    def endpoint(self, **kwargs):
        self._opened.append(Endpoint(**kwargs))
        return self._opened[-1]

    def close(self):
        for endpoint in self._opened:
            endpoint.close()

    # --- Requests ---

    def note(self, *lines):
        self.lines += lines

    def ask(self, kind, body=b"", flags=nl.REQUEST | nl.ACK, by=None, pid=0, length=None):
        """Sends one request; records the answers and the listener's events."""
        self._sequence += 1
        return self.raw(nl.message(kind, body, flags, self._sequence, length, pid), by,
                        f"{kind} flags {flags:#x}")

    def dump(self, kind, body=b"", flags=nl.REQUEST | nl.DUMP, by=None):
        """A dump, to its end."""
        by = by or self.main
        self._sequence += 1
        self._send(nl.message(kind, body, flags, self._sequence), by, f"{kind} dump {flags:#x}")
        messages, last_alone = [], None
        while not messages or messages[-1][4:6] not in (struct.pack("=H", nl.DONE),
                                                        struct.pack("=H", nl.ERROR)):
            found = by.receive(self.environment.patience)
            if not found:
                break
            for datagram, _ in found:
                parts = self.split(datagram)
                messages += parts
                last_alone = len(parts) == 1
        for message in messages:
            self._show("<", message, reader=by)
        if not messages:
            self.note("< nothing")
        elif not last_alone:
            self.note("< the last one is not alone in its datagram")
        self._events()
        return messages

    def raw(self, datagram, by=None, title=None):
        by = by or self.main
        self._send(datagram, by, title or f"{len(datagram)} bytes")
        replies = self._replies(by, datagram)
        self._events()
        return replies

    def read(self, by, wait=0.0, mark="<"):
        """Records what a socket has received meanwhile."""
        return self._replies(by, b"", wait, mark)

    def wait_event(self, seconds=5.0):
        """Waits until the listener receives something; records all of it."""
        found = self.listener.receive(seconds * self.environment.slowness)
        if not found:
            self.note("* nothing came")
        self._show_events(found)
        return found

    def silence(self, seconds):
        """Checks that nothing arrives for that time."""
        time.sleep(seconds)
        self._events()

    # --- Shortcuts ---

    def allocate(self, low=0x100, high=0x1ff, extra=b"", flags=nl.REQUEST, **kwargs):
        """ALLOCSPI; the SPI."""
        self._sequence += 1
        datagram = nl.message("ALLOCSPI", nl.spi_info(low, high, **kwargs) + extra, flags,
                              self._sequence)
        self._send(datagram, self.main, f"ALLOCSPI {low:#x} {high:#x}")
        found, spi = self.main.receive(), 0
        for data, _ in found:
            for message in self.split(data):
                if message[4:6] == struct.pack("=H", nl.TYPES["NEWSA"]):
                    spi, = struct.unpack("!I", message[16 + 72:16 + 76])
                    if low < high:
                        self.renderer.learn_spi(spi)
                        self.note(f"in range: {low <= spi <= high}")
        self._show_replies(found, datagram, self.main)
        self._events()
        return spi

    def policy(self, extra=b"", kind="NEWPOLICY", **kwargs):
        if kwargs.get("index"):
            self.renderer.given_indexes.add(kwargs["index"])
        return self.ask(kind, nl.policy_info(**kwargs) + extra)

    # --- Output ---

    def _send(self, datagram, by, title):
        self.note(f"> {title}")
        try:
            by.socket.send(datagram)
        except OSError as error:
            self.note(f"send: {error_name(error.errno)}")

    @staticmethod
    def split(datagram):
        """Splits a datagram into messages; a rest that is not a message counts as one."""
        found = []
        while len(datagram) >= 16:
            size, = struct.unpack("=I", datagram[:4])
            if size < 16 or size > len(datagram):
                break
            found.append(datagram[:size])
            datagram = datagram[(size + 3) & ~3:]
        return found + [datagram] if datagram else found

    def _show(self, mark, message, request=b"", reader=None):
        if len(message) < 16:
            self.note(f"{mark} {len(message)} bytes: {message.hex()}")
            return
        self.renderer.port = (reader or self.main).port
        self.lines += [f"{mark} {line}" for line in self.renderer.message(message, request)]

    def _replies(self, by, request, wait=0.0, mark="<"):
        found = by.receive(wait)
        self._show_replies(found, request, by, mark)
        return found

    def _show_replies(self, found, request, by, mark="<"):
        requests = {m[8:12]: m for m in self.split(request) if len(m) >= 16}
        for datagram, sender in found:
            if sender is None:
                self.note(f"{mark} receive: {error_name(datagram)}")
                continue
            if sender != (0, 0):
                self.note(f"{mark} from {sender}")
            parts = self.split(datagram)
            if len(parts) > 1:
                self.note(f"{mark} a datagram of {len(parts)} messages:")
            for part in parts:
                self._show(mark, part, requests.get(part[8:12], b""), by)
        if not found:
            self.note(f"{mark} nothing")

    def _events(self):
        if self.listener is not None:
            self._show_events(self.listener.receive())

    def _show_events(self, found):
        for datagram, sender in found:
            if sender is None:
                self.note(f"* receive: {error_name(datagram)}")
                continue
            self.note(f"* to groups {sender[1]:#x}" + (f" from {sender[0]}" if sender[0] else ""))
            for part in self.split(datagram):
                self._show("*", part, reader=self.listener)
