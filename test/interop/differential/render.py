"""Renders a NETLINK_XFRM answer as lines of text: every field, attribute and length. Values that differ
between runs (times, random SPIs, port ids, numbers of ACQUIREs, policy indexes, interface numbers) are
replaced by their meaning.
"""

import errno
import socket
import struct
import time

import xfrmwire as nl

_LEASE = 3600  # seconds that a run may take: a time as near as that is "now"
_HEX = 48  # shown bytes of data that is not parsed


def error_name(number):
    return "0" if number == 0 else errno.errorcode.get(number, str(number))


class Renderer:
    """The renderer of one case: knows which numbers the other side chose."""

    def __init__(self, port=0, index_base=0, interfaces=None):
        self.port = port  # of the socket that reads
        self.index_base = index_base
        self.interfaces = interfaces or {}
        self.given_indexes = set()
        self._spis = {}
        self._acquires = {}

    # --- Numbers that the other side chose ---

    def learn_spi(self, spi):
        """Gives a random SPI a name."""
        self._spis.setdefault(spi, f"random{len(self._spis) + 1}")

    def spi(self, number):
        return self._spis.get(number, f"{number:#x}")

    def acquire(self, number):
        if number == 0:
            return "0"
        return self._acquires.setdefault(number, f"acquire{len(self._acquires) + 1}")

    def index(self, number):
        if number == 0 or number in self.given_indexes:
            return f"{number:#x}"
        return f"+{(number >> 3) - self.index_base}|{number & 7}"

    def interface(self, number):
        return self.interfaces.get(number, str(number))

    def pid(self, number):
        return "port" if number == self.port != 0 else str(number)

    @staticmethod
    def time(number):
        return "now" if abs(number - time.time()) < _LEASE else str(number)

    # --- Parts of messages ---

    @staticmethod
    def address(data, family):
        if family == socket.AF_INET:
            rest = data[4:].hex() if any(data[4:]) else ""
            return socket.inet_ntop(family, data[:4]) + rest
        return socket.inet_ntop(socket.AF_INET6, data) if any(data) else "-"

    @staticmethod
    def padding(data):
        return f" padding {data.hex()}" if any(data) else ""

    def selector(self, b):
        ports = struct.unpack("!4H", b[32:40])
        family, dst_bits, src_bits, proto, ifindex, user = struct.unpack("=HBBB3xiI", b[40:56])
        return (f"family {family} {self.address(b[16:32], family)}/{src_bits} "
                f"{self.address(b[:16], family)}/{dst_bits} ports {ports[2]}/{ports[3]:#x} "
                f"{ports[0]}/{ports[1]:#x} proto {proto} if {self.interface(ifindex)} user {user}"
                + self.padding(b[45:48]))

    @staticmethod
    def limits(b):
        return " ".join("inf" if v == nl.INF else str(v) for v in struct.unpack("=8Q", b))

    def usage(self, b):
        bytes_, packets, add, use = struct.unpack("=4Q", b[:32])
        return f"{bytes_} bytes {packets} packets add {self.time(add)} use {self.time(use)}"

    def sa_info(self, b):
        seq, reqid, family, mode, window, flags = struct.unpack("=IIHBBB", b[204:217])
        spi, proto = struct.unpack("!IB", b[72:77])
        return [f"sel {self.selector(b[:56])}",
                f"id {self.address(b[56:72], family)} spi {self.spi(spi)} proto {proto} "
                f"from {self.address(b[80:96], family)}" + self.padding(b[77:80]),
                f"limits {self.limits(b[96:160])}", f"used {self.usage(b[160:192])}",
                f"stats {struct.unpack('=3I', b[192:204])} seq {self.acquire(seq)} reqid {reqid} "
                f"family {family} mode {mode} window {window} flags {flags:#x}"
                + self.padding(b[217:224])]

    def sa_id(self, b):
        family, proto = struct.unpack("=HB", b[20:23])
        return [f"id {self.address(b[:16], family)} spi "
                f"{self.spi(struct.unpack('!I', b[16:20])[0])} proto {proto} family {family}"
                + self.padding(b[23:24])]

    def policy_info(self, b):
        priority, index, direction, action, flags, share = struct.unpack("=IIBBBB", b[152:164])
        return [f"sel {self.selector(b[:56])}", f"limits {self.limits(b[56:120])}",
                f"used {self.usage(b[120:152])}",
                f"priority {priority} index {self.index(index)} dir {direction} action {action} "
                f"flags {flags} share {share}" + self.padding(b[164:168])]

    def policy_id(self, b):
        index, direction = struct.unpack("=IB", b[56:61])
        return [f"sel {self.selector(b[:56])}", f"index {self.index(index)} dir {direction}"
                + self.padding(b[61:64])]

    def template(self, b):
        spi, proto = struct.unpack("!IB", b[16:21])
        family, = struct.unpack("=H", b[24:26])
        reqid, mode, share, optional, *masks = struct.unpack("=IBBBxIII", b[44:64])
        return (f"tmpl {self.address(b[28:44], family)} {self.address(b[:16], family)} "
                f"spi {self.spi(spi)} proto {proto} family {family} reqid {reqid} mode {mode} "
                f"share {share} optional {optional} algorithms {masks}"
                + self.padding(b[21:24] + b[26:28]))

    def aevent_id(self, b):
        family, = struct.unpack("=H", b[20:22])
        flags, reqid = struct.unpack("=II", b[40:48])
        return [*self.sa_id(b[:24]), f"from {self.address(b[24:40], family)} flags {flags:#x} "
                f"reqid {reqid}"]

    def acquire_info(self, b):
        spi, proto = struct.unpack("!IB", b[16:21])
        *masks, seq = struct.unpack("=4I", b[264:280])
        family = socket.AF_INET6 if any(b[4:16]) else socket.AF_INET
        return [f"wants {self.address(b[:16], family)} spi {spi} proto {proto} from "
                f"{self.address(b[24:40], family)}", f"flow {self.selector(b[40:96])}",
                *self.policy_info(b[96:264]), f"algorithms {masks} seq {self.acquire(seq)}"]

    def migrate(self, b):
        proto, mode, reserved, reqid, old, new = struct.unpack("=BBHIHH", b[64:76])
        return (f"migrate {self.address(b[16:32], old)} {self.address(b[:16], old)} to "
                f"{self.address(b[48:64], new)} {self.address(b[32:48], new)} proto {proto} "
                f"mode {mode} reqid {reqid} families {old} {new} reserved {reserved}")

    def migrate_state(self, b):
        old_mark = struct.unpack("=II", b[56:64])
        reqid, flags, family, reserved = struct.unpack("=IIHH", b[120:132])
        return [*self.sa_id(b[:24]), f"to {self.address(b[40:56], family)} "
                f"{self.address(b[24:40], family)} family {family} reqid {reqid} flags {flags:#x} "
                f"mark {old_mark} reserved {reserved}", f"sel {self.selector(b[64:120])}"]

    # --- Messages ---

    _FIXED = {"NEWSA": 224, "UPDSA": 224, "DELSA": 24, "NEWPOLICY": 168, "UPDPOLICY": 168,
              "DELPOLICY": 64, "EXPIRE": 232, "ACQUIRE": 280, "FLUSHSA": 4, "FLUSHPOLICY": 0,
              "NEWAE": 48, "GETDEFAULT": 4, "POLEXPIRE": 176, "MIGRATE": 64, "NEWSADINFO": 4,
              "MIGRATE_STATE": 132,
              "NEWSPDINFO": 4, "MAPPING": 64, "REPORT": 60}

    def fixed(self, kind, b):
        if kind in ("NEWSA", "UPDSA"):
            return self.sa_info(b)
        if kind in ("NEWPOLICY", "UPDPOLICY"):
            return self.policy_info(b)
        if kind == "EXPIRE":
            return [*self.sa_info(b[:224]), f"hard {b[224]}" + self.padding(b[225:])]
        if kind == "POLEXPIRE":
            return [*self.policy_info(b[:168]), f"hard {b[168]}" + self.padding(b[169:])]
        parts = {"DELSA": self.sa_id, "DELPOLICY": self.policy_id, "MIGRATE": self.policy_id,
                 "NEWAE": self.aevent_id, "ACQUIRE": self.acquire_info,
                 "MIGRATE_STATE": self.migrate_state}
        if kind in parts:
            return parts[kind](b)
        return [f"body {b.hex()}"] if b else []

    def attribute(self, kind, number, b):
        name = {v: k for k, v in nl.ATTR.items()}.get(number, str(number))
        if kind in ("NEWSADINFO", "NEWSPDINFO"):
            name = f"info{number}"
        head = f"{name} [{len(b)}]"
        if name == "info2" and len(b) == 8:  # tables grow as they are used, each side its own way
            return [f"{head} at most {struct.unpack('=II', b)[1]}"]
        if name == "TMPL" and len(b) % 64 == 0:
            return [head, *("  " + self.template(b[i:i + 64]) for i in range(0, len(b), 64))]
        if name == "MIGRATE" and len(b) % 76 == 0:
            return [head, *("  " + self.migrate(b[i:i + 76]) for i in range(0, len(b), 76))]
        if name == "SA" and len(b) == 224:
            return [head, *("  " + line for line in self.sa_info(b))]
        if name == "POLICY" and len(b) == 168:
            return [head, *("  " + line for line in self.policy_info(b))]
        if name == "LTIME_VAL" and len(b) == 32:
            return [f"{head} {self.usage(b)}"]
        if name == "LASTUSED" and len(b) == 8:
            return [f"{head} {self.time(struct.unpack('=Q', b)[0])}"]
        return [f"{head} {b[:_HEX].hex()}"]

    def message(self, data, request=b""):
        """One message; for an error, also how it echoes `request`."""
        size, number, flags, seq, pid = struct.unpack("=IHHII", data[:16])
        kind = nl.NAMES.get(number, f"type{number:#x}")
        lines = [f"{kind} flags {flags:#x} seq {seq} pid {self.pid(pid)}"]
        body = data[16:]
        if kind in ("ERROR", "DONE"):
            return self._error(lines, kind, flags, body, request)
        fixed = self._FIXED.get(kind)
        if fixed is None or len(body) < fixed:
            return [*lines, f"  body [{len(body)}] {body[:_HEX].hex()}"]
        lines += ["  " + line for line in self.fixed(kind, body[:fixed])]
        used = fixed
        for attribute, payload in nl.attributes(body[fixed:]):
            lines += ["  " + line for line in self.attribute(kind, attribute, payload)]
            used += (len(payload) + 4 + 3) & ~3
        if used != len(body) or size != len(data):
            lines.append(f"  lengths differ: {used} used of {len(body)}, header says {size}")
        return lines

    @staticmethod
    def _error(lines, kind, flags, body, request):
        number, = struct.unpack("=i", body[:4])
        lines[0] += f" {error_name(-number)}"
        rest = body[4:]
        if kind == "ERROR":
            echo = rest[:16] if flags & nl.CAPPED else rest[:len(request)]
            whole = request[:16] if flags & nl.CAPPED else request
            if echo != whole:
                lines.append(f"  echoes something else [{len(echo)}]")
            rest = rest[(len(echo) + 3) & ~3:]
        for tlv, payload in nl.attributes(rest):
            if tlv == 1:
                lines.append(f"  text {payload.rstrip(bytes(1)).decode()!r}")
            else:
                lines.append(f"  extack{tlv} {payload.hex()}")
        return lines
