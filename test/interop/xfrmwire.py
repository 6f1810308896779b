"""Builds NETLINK_XFRM messages and parses the answers.

Structures are those of linux/xfrm.h; be: network byte order, the rest is the host's.
"""

import socket
import struct

NETLINK_XFRM = 6
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 10, 11
REQUEST, ACK, ECHO, DUMP, REPLACE, EXCL, CREATE, APPEND = 1, 4, 8, 0x300, 0x100, 0x200, 0x400, 0x800
CAPPED, ACK_TLVS = 0x100, 0x200
ERROR, DONE = 2, 3
TYPES = {name: 0x10 + i for i, name in enumerate(
    "NEWSA DELSA GETSA NEWPOLICY DELPOLICY GETPOLICY ALLOCSPI ACQUIRE EXPIRE UPDPOLICY UPDSA "
    "POLEXPIRE FLUSHSA FLUSHPOLICY NEWAE GETAE REPORT MIGRATE NEWSADINFO GETSADINFO NEWSPDINFO "
    "GETSPDINFO MAPPING SETDEFAULT GETDEFAULT MIGRATE_STATE".split())}
NAMES = {number: name for name, number in TYPES.items()} | {ERROR: "ERROR", DONE: "DONE"}
ATTR = {name: 1 + i for i, name in enumerate(
    "ALG_AUTH ALG_CRYPT ALG_COMP ENCAP TMPL SA POLICY SEC_CTX LTIME_VAL REPLAY_VAL REPLAY_THRESH "
    "ETIMER_THRESH SRCADDR COADDR LASTUSED POLICY_TYPE MIGRATE ALG_AEAD KMADDRESS ALG_AUTH_TRUNC "
    "MARK TFCPAD REPLAY_ESN_VAL SA_EXTRA_FLAGS PROTO ADDRESS_FILTER PAD OFFLOAD_DEV SET_MARK "
    "SET_MARK_MASK IF_ID MTIMER_THRESH SA_DIR NAT_KEEPALIVE SA_PCPU IPTFS_DROP_TIME "
    "IPTFS_REORDER_WINDOW IPTFS_DONT_FRAG IPTFS_INIT_DELAY IPTFS_MAX_QSIZE IPTFS_PKT_SIZE".split())}
GROUPS = {name: 1 + i for i, name in enumerate(
    "ACQUIRE EXPIRE SA POLICY AEVENTS REPORT MIGRATE MAPPING".split())}
INF = 2**64 - 1
IN, OUT, FWD = 0, 1, 2  # of policies
TRANSPORT, TUNNEL, ROUTE_OPTIMIZATION, IN_TRIGGER, BEET, IPTFS = range(6)
ESP, AH, COMP, ROUTING, DSTOPTS = 50, 51, 108, 43, 60


def group_mask(*names):
    return sum(1 << (GROUPS[name] - 1) for name in names)


def addr(text):
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return socket.inet_pton(family, text).ljust(16, b"\0")


def selector(src="0.0.0.0", dst="0.0.0.0", bits=0, family=2, proto=0, dst_bits=None, sport=0,
             sport_mask=0, dport=0, dport_mask=0, ifindex=0, user=0):
    return (addr(dst) + addr(src) + struct.pack("!4H", dport, dport_mask, sport, sport_mask)
            + struct.pack("=HBBB3xiI", family, bits if dst_bits is None else dst_bits, bits, proto,
                          ifindex, user))


def lifetime(hard_packets=INF, soft_bytes=INF, hard_bytes=INF, soft_packets=INF, soft_add=0,
             hard_add=0, soft_use=0, hard_use=0):
    return struct.pack("=8Q", soft_bytes, hard_bytes, soft_packets, hard_packets, soft_add, hard_add,
                       soft_use, hard_use)


def usage(bytes_=0, packets=0, add=0, use=0):
    return struct.pack("=4Q", bytes_, packets, add, use)


def sa_info(src="10.0.0.1", dst="10.0.0.2", spi=0x100, proto=50, mode=1, family=2, reqid=1,
            window=0, flags=0, seq=0, sel=None, limits=None):
    return (selector(family=0) if sel is None else sel) + addr(dst) + struct.pack(
        "!IB3x", spi, proto) + addr(src) + (limits or lifetime()) + bytes(32 + 12) + struct.pack(
            "=IIHBBB7x", seq, reqid, family, mode, window, flags)


def sa_id(dst="10.0.0.2", spi=0x100, proto=50, family=2):
    return addr(dst) + struct.pack("!I", spi) + struct.pack("=HBx", family, proto)


def spi_info(low=0x100, high=0x1ff, **kwargs):
    return sa_info(spi=0, **kwargs) + struct.pack("=II", low, high)


def sa_expire(hard=1, **kwargs):
    return sa_info(**kwargs) + struct.pack("=B7x", hard)


def aevent_id(src="10.0.0.1", flags=0, reqid=0, **kwargs):
    return sa_id(**kwargs) + addr(src) + struct.pack("=II", flags, reqid)


def policy_info(sel=None, direction=1, action=0, priority=0, index=0, share=0, flags=0, limits=None):
    sel = selector("10.1.0.0", "10.2.0.0", 16) if sel is None else sel
    return sel + (limits or lifetime()) + bytes(32) + struct.pack(
        "=IIBBBB4x", priority, index, direction, action, flags, share)


def policy_id(direction=1, index=0, sel=None):
    sel = selector("10.1.0.0", "10.2.0.0", 16) if sel is None else sel
    return sel + struct.pack("=IB3x", index, direction)


def policy_expire(hard=1, **kwargs):
    return policy_info(**kwargs) + struct.pack("=B7x", hard)


def template(src="10.0.0.1", dst="10.0.0.2", proto=50, mode=1, family=2, reqid=1, optional=0, spi=0,
             share=0, algorithms=(0xffffffff,) * 3):
    return (addr(dst) + struct.pack("!IB3x", spi, proto) + struct.pack("=H2x", family) + addr(src)
            + struct.pack("=IBBBxIII", reqid, mode, share, optional, *algorithms))


def acquire(policy, dst="10.0.0.2", src="10.0.0.1", proto=50, sel=None,
            algorithms=(0xffffffff,) * 3, seq=0):
    return (addr(dst) + struct.pack("!IB3x", 0, proto) + addr(src)
            + (selector(family=0) if sel is None else sel) + policy
            + struct.pack("=4I", *algorithms, seq))


def migrate(old=("10.0.0.1", "10.0.0.2"), new=("10.0.0.3", "10.0.0.4"), proto=50, mode=1, reqid=1,
            family=2, new_family=None):
    """One entry; `old` and `new`: source, destination."""
    return (addr(old[1]) + addr(old[0]) + addr(new[1]) + addr(new[0])
            + struct.pack("=BBHIHH", proto, mode, 0, reqid, family,
                          family if new_family is None else new_family))


def migrate_state(dst="10.0.0.2", spi=0x100, proto=50, family=2, new=("10.0.0.1", "10.0.0.2"),
                  new_family=None, reqid=1, flags=0, sel=None, old_mark=(0, 0), reserved=0):
    """`new`: source, destination."""
    return (sa_id(dst, spi, proto, family) + addr(new[1]) + addr(new[0]) + mark(*old_mark)
            + (selector(family=0) if sel is None else sel)
            + struct.pack("=IIHH", reqid, flags, family if new_family is None else new_family,
                          reserved))


def kmaddress(local="10.0.0.1", remote="10.0.0.2", family=2):
    return addr(local) + addr(remote) + struct.pack("=IH2x", 0, family)


def aead(key=b"k" * 20, icv_bits=128, name=b"rfc4106(gcm(aes))", key_bits=None):
    bits = len(key) * 8 if key_bits is None else key_bits
    return name.ljust(64, b"\0") + struct.pack("=II", bits, icv_bits) + key


def algorithm(name, key=b"k" * 16, key_bits=None):
    bits = len(key) * 8 if key_bits is None else key_bits
    return name.ljust(64, b"\0") + struct.pack("=I", bits) + key


def truncated(name, key=b"k" * 20, icv_bits=96):
    return name.ljust(64, b"\0") + struct.pack("=II", len(key) * 8, icv_bits) + key


def esn(window=32, words=1, given=None, oseq=0, seq=0, oseq_high=0, seq_high=0):
    return struct.pack("=6I", words, oseq, seq, oseq_high, seq_high, window) + bytes(
        4 * (words if given is None else given))


def replay(oseq=0, seq=0, bitmap=0):
    return struct.pack("=3I", oseq, seq, bitmap)


def encap(sport=4500, dport=4500, kind=2):
    return struct.pack("=H", kind) + struct.pack("!HH2x", sport, dport) + bytes(16)


def mark(value, mask):
    return struct.pack("=II", value, mask)


def policy_type(number):
    return struct.pack("=BxHBx", number, 0, 0)


def address_filter(src="0.0.0.0", dst="0.0.0.0", src_bits=0, dst_bits=0, family=2):
    return addr(src) + addr(dst) + struct.pack("=HBB", family, src_bits, dst_bits)


def offload(ifindex=1, flags=0):
    return struct.pack("=iB3x", ifindex, flags)


def security_context(context=b"", length=None, claimed=None):
    """`length`: of the whole; `claimed`: of the context, in the header."""
    size = 8 + len(context) if length is None else length
    return struct.pack("=HHBBH", size, 0, 1, 1,
                       len(context) if claimed is None else claimed) + context


def u32(value):
    return struct.pack("=I", value)


def attr(kind, payload, length=None):
    """`length`: what the header claims."""
    size = 4 + len(payload) if length is None else length
    return struct.pack("=HH", size, ATTR.get(kind, kind)) + payload + bytes(-len(payload) % 4)


def message(kind, body=b"", flags=REQUEST | ACK, seq=1, length=None, pid=0):
    size = 16 + len(body) if length is None else length
    return struct.pack("=IHHII", size, TYPES.get(kind, kind), flags, seq, pid) + body


def parse(datagram):
    """[(type, flags, seq, payload)]; of errors the payload is (errno, text, attribute offset)."""
    found = []
    while len(datagram) >= 16:
        size, kind, flags, seq, _ = struct.unpack("=IHHII", datagram[:16])
        if size < 16:
            break
        payload = datagram[16:size]
        if kind == ERROR:
            payload = _error(payload, flags)
        elif kind == DONE:
            payload = struct.unpack("=i", payload[:4])[0]
        found.append((NAMES.get(kind, kind), flags, seq, payload))
        datagram = datagram[(size + 3) & ~3:]
    return found


def _error(payload, flags):
    number, echoed = struct.unpack("=iI", payload[:8])
    text, offset = None, None
    if flags & ACK_TLVS:
        rest = payload[20 if flags & CAPPED else 4 + ((echoed + 3) & ~3):]
        for kind, data in attributes(rest):
            if kind == 1:
                text = data.rstrip(b"\0").decode()
            elif kind == 2:
                offset = struct.unpack("=I", data[:4])[0]
    return (-number, text, offset)


def attributes(data):
    """[(number, payload)], up to the first that is truncated."""
    found = []
    while len(data) >= 4:
        size, kind = struct.unpack("=HH", data[:4])
        if size < 4 or size > len(data):
            break
        found.append((kind & 0x3fff, data[4:size]))
        data = data[(size + 3) & ~3:]
    return found
