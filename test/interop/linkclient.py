"""A NETLINK_ROUTE client of its own making, for test_tunnel_links.py: runs under the shim and prints
what it was answered, as JSON."""

import json
import select
import socket
import struct
import sys
import threading

NEWLINK, DELLINK, GETLINK = 16, 17, 18
REQUEST, ACK, EXCL, CREATE, DUMP, ACK_TLVS, CAPPED = 1, 4, 0x200, 0x400, 0x300, 0x200, 0x100
IFNAME, LINKINFO, KIND, DATA, IF_ID = 3, 18, 1, 2, 2
SOL_NETLINK, EXT_ACK, CAP_ACK = 270, 11, 10


def attribute(kind, payload):
    size = 4 + len(payload)
    return struct.pack("=HH", size, kind) + payload + b"\0" * (-size % 4)


def message(kind, flags, seq, attributes=b"", ifindex=0):
    body = struct.pack("=BxHiII", 0, 0, ifindex, 0, 0) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, REQUEST | flags, seq, 0) + body


def name(text):
    return attribute(IFNAME, text.encode() + b"\0")


def add(text, if_id, seq, flags=ACK):
    info = attribute(KIND, b"xfrm") + attribute(DATA, attribute(IF_ID, struct.pack("=I", if_id)))
    return message(NEWLINK, CREATE | EXCL | flags, seq, name(text) + attribute(LINKINFO, info))


def delete(text, seq):
    return message(DELLINK, ACK, seq, name(text))


def attributes(data):
    found = {}
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        if size < 4 or size > len(data):
            raise ValueError(f"attribute of {size} bytes in {len(data)}")
        found[kind & 0x3fff] = data[4:size]
        data = data[(size + 3) & ~3:]
    return found


def messages(data):
    while len(data) >= 16:
        size, kind, flags, seq, _ = struct.unpack_from("=IHHII", data)
        yield kind, flags, seq, data[16:size]
        data = data[(size + 3) & ~3:]


def shown(kind, flags, seq, body):
    if kind != 2:
        return [seq, attributes(body[16:])[IFNAME].rstrip(b"\0").decode()]
    error, size = struct.unpack_from("=iI", body)
    rest = body[4 + (16 if flags & CAPPED else size):] if flags & ACK_TLVS else b""
    return [seq, error, attributes(rest).get(1, b"").rstrip(b"\0").decode()]


class Client:
    def __init__(self, *options):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        for option in options:
            self.socket.setsockopt(SOL_NETLINK, option, 1)
        self.socket.bind((0, 0))

    def answers(self, count):
        found = []
        waits = select.poll()
        waits.register(self.socket, select.POLLIN)
        while len(found) < count:
            if not waits.poll(20000):
                raise TimeoutError(f"after {found}")
            data, (port, _) = self.socket.recvfrom(65536)
            if port != 0:
                raise ValueError(f"from port {port}")
            found += [shown(*m) for m in messages(data)]
        return found


def batch():
    client = Client(EXT_ACK)
    whole = (add("t1", 1, 1) + message(GETLINK, 0, 2, name("lo")) + add("t1", 2, 3) + delete("t1", 4))
    sent = client.socket.sendmsg([whole[:10], whole[10:101], whole[101:]])
    if sent != len(whole):
        raise ValueError(f"{sent} of {len(whole)} bytes")
    return client.answers(4)


def peek(text):
    client = Client(EXT_ACK)
    client.socket.send(message(GETLINK, 0, 1, name(text)))
    size = client.socket.recv(0, socket.MSG_PEEK | socket.MSG_TRUNC)
    del size  # Python hides the size that MSG_TRUNC returns: a buffer larger than it tells
    seen = client.socket.recv(65536, socket.MSG_PEEK)
    pieces = [bytearray(33), bytearray(700), bytearray(65536)]
    received = client.socket.recvmsg_into(pieces)[0]
    data = b"".join(pieces)[:received]
    _, _, _, body = next(messages(data))
    info = attributes(attributes(body[16:])[LINKINFO])
    return {"size": len(seen), "received": received,
            "xfrm": seen == data and info[KIND] == b"xfrm\0"}


def refused(option):
    client = Client(*([CAP_ACK] if option == "capped" else []))
    client.socket.send(add("t1", 9, 7))
    seq, error, text = client.answers(1)[0]
    if text:
        raise ValueError(text)
    return [seq, error]


def threads():
    results = []

    def one(number):
        client = Client(EXT_ACK)
        client.socket.send(add(f"t{number}", number, 1))
        made = client.answers(1)
        client.socket.send(delete(f"t{number}", 2))
        results.append([number, made, client.answers(1)])

    running = [threading.Thread(target=one, args=(n,)) for n in range(1, 7)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sorted(results)


def odd():
    """{case: answer}"""
    number = struct.pack("=I", 3)

    def request(data, more=name("t3"), flags=CREATE | EXCL, ifindex=0):
        info = attribute(LINKINFO, attribute(KIND, b"xfrm") + attribute(DATA, data))
        return message(NEWLINK, flags | ACK, 5, more + info, ifindex)

    if_id = attribute(IF_ID, number)
    requests = {"no id": request(b""), "id 0": request(attribute(IF_ID, bytes(4))),
                "short id": request(attribute(IF_ID, b"\1")),
                "pattern": request(if_id, name("t%d")),
                "not shown": request(if_id, attribute(IFNAME, b"t\x1b[31m\xff\0")),
                "no such dev": request(attribute(1, struct.pack("=I", 54321)) + if_id),
                "index": request(if_id, ifindex=12345),
                "alias": request(if_id, name("t3") + attribute(20, b"mine\0")),
                "no create": request(if_id, flags=0)}
    client = Client(EXT_ACK)
    answers = {}
    for case, request in requests.items():
        client.socket.send(request)
        answers[case] = client.answers(1)[0]
    return answers


def many(count):
    """[how many were made, the last answer]"""
    client = Client(EXT_ACK)
    made, last = 0, None
    for number in range(1, int(count) + 1):
        client.socket.send(add(f"m{number}", 10000 + number, number))
        last = client.answers(1)[0]
        made += last[1] == 0
    return [made, last]


if __name__ == "__main__":
    call = {"many": many, "odd": odd, "batch": batch, "peek": peek, "refused": refused, "threads": threads}[sys.argv[1]]
    print(json.dumps(call(*sys.argv[2:])))
