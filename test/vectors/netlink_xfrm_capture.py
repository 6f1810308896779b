#!/usr/bin/env python3
"""Writes netlink_xfrm.txt: what a real kernel answers to XFRM requests.

Run as root on a kernel with XFRM_USER (6.18 when last run; no ESP, AH or IPComp in it):
    unshare -n python3 netlink_xfrm_capture.py > netlink_xfrm.txt
Only requests that Cygnet answers byte for byte are here (what it refuses on purpose is in
support_table_test.cc); the port id is written as 0x1234 and
times of creation as 0.
"""
import socket, struct, time

REQUEST, ACK, ROOT, MATCH, DUMP = 1, 4, 0x100, 0x200, 0x300
PORT = 0x1234
TYPES = {n: i + 0x10 for i, n in enumerate(
    "NEWSA DELSA GETSA NEWPOLICY DELPOLICY GETPOLICY ALLOCSPI ACQUIRE EXPIRE UPDPOLICY UPDSA "
    "POLEXPIRE FLUSHSA FLUSHPOLICY NEWAE GETAE REPORT MIGRATE NEWSADINFO GETSADINFO NEWSPDINFO "
    "GETSPDINFO MAPPING SETDEFAULT GETDEFAULT".split())}
(ALG_AUTH, ALG_CRYPT, ALG_COMP, ENCAP, TMPL, SEC_CTX, REPLAY_VAL, SRCADDR, COADDR) = (
    1, 2, 3, 4, 5, 8, 10, 13, 14)
(POLICY_TYPE, AEAD, AUTH_TRUNC, MARK, TFCPAD, ESN_VAL, XFLAGS, PROTO, FILTER) = (
    16, 18, 20, 21, 22, 23, 24, 25, 26)
OFFLOAD, IF_ID, MTIMER, DIR, KEEPALIVE, PCPU = 28, 31, 32, 33, 34, 35
INF = 2**64 - 1


def ip(text):
    family = socket.AF_INET6 if ':' in text else socket.AF_INET
    return socket.inet_pton(family, text).ljust(16, b'\0')


def u32(value):
    return struct.pack('=I', value)


def selector(src='10.1.0.0', dst='10.2.0.0', sp=24, dp=24, family=2):
    return ip(dst) + ip(src) + bytes(8) + struct.pack('=HBBB3xiI', family, dp, sp, 0, 0, 0)


ANY = selector('0.0.0.0', '0.0.0.0', 0, 0, 0)
LIMITS = struct.pack('=8Q', INF, INF, INF, INF, 0, 0, 0, 0)


def sa(src='10.0.0.1', dst='10.0.0.2', spi=0x100, proto=50, sel=ANY, seq=0, reqid=0, family=2,
       mode=0, window=0, flags=0, limits=LIMITS):
    return (sel + ip(dst) + struct.pack('!IB3x', spi, proto) + ip(src) + limits + bytes(44) +
            struct.pack('=IIHBBB7x', seq, reqid, family, mode, window, flags))


def sa_id(dst='10.0.0.2', spi=0x100, proto=50, family=2):
    return ip(dst) + struct.pack('!I', spi) + struct.pack('=HBx', family, proto)


def policy(sel=None, prio=0, index=0, dir=1, action=0, flags=0, share=0):
    return ((sel or selector()) + LIMITS + bytes(32) +
            struct.pack('=IIBBBB4x', prio, index, dir, action, flags, share))


def policy_id(sel=None, index=0, dir=1):
    return (sel or selector()) + struct.pack('=IB3x', index, dir)


def template(proto=50, family=2, mode=1, optional=0, reqid=1, share=0):
    return (ip('10.0.0.2') + bytes(4) + struct.pack('=B3xH2x', proto, family) + ip('10.0.0.1') +
            struct.pack('=IBBBxIII', reqid, mode, share, optional, *[2**32 - 1] * 3))


def aead(name='rfc4106(gcm(aes))', key=b'k' * 20, icv=128, bits=None):
    return name.encode().ljust(64, b'\0') + u32(len(key) * 8 if bits is None else bits) + u32(icv) + key


def alg(name, key=b'', bits=None):
    return name.encode().ljust(64, b'\0') + u32(len(key) * 8 if bits is None else bits) + key


def trunc(name, key, length, bits=None):
    return name.encode().ljust(64, b'\0') + u32(len(key) * 8 if bits is None else bits) + u32(length) + key


def esn(words=1, window=32, seq=0, oseq=0, oseq_hi=0, seq_hi=0):
    return struct.pack('=6I', words, oseq, seq, oseq_hi, seq_hi, window) + bytes(4 * words)


def attr(kind, payload):
    return struct.pack('=HH', 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def policy_type(value):
    return attr(POLICY_TYPE, struct.pack('=B5x', value))


def context(length, ctx_len, extra=b''):
    return attr(SEC_CTX, struct.pack('=HHBBH', length, 4, 1, 1, ctx_len) + extra)


def message(kind, body=b'', flags=REQUEST | ACK, seq=1, pid=0, length=None):
    return struct.pack('=IHHII', length or 16 + len(body), TYPES.get(kind, kind), flags, seq,
                       pid) + body


class Capture:
    def __init__(self):
        self.client = self.open(0)
        self.listener = self.open(0xff)
        self.port = self.client.getsockname()[0]
        self.seq = 1000
        self.options = set()
        self.option('ext_ack')
        print('# Made by netlink_xfrm_capture.py. send: a datagram to the kernel. recv: datagrams that')
        print('# came back, in order. event N: a notification to group N. option: a socket option set.')

    @staticmethod
    def open(groups):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6)
        s.bind((0, groups))
        return s

    def option(self, name, value=1):
        self.client.setsockopt(270, {'ext_ack': 11, 'cap_ack': 10}[name], value)
        print(f'\noption {name} {value}')

    def normal(self, data, unicast):
        out = bytearray(data)
        at = 0
        while unicast and at + 16 <= len(out):
            length, = struct.unpack_from('=I', out, at)
            if struct.unpack_from('=I', out, at + 12)[0] == self.port:
                struct.pack_into('=I', out, at + 12, PORT)
            at += (length + 3) & ~3
        now = int(time.time())
        for t in range(now - 5, now + 2):
            out = out.replace(struct.pack('=Q', t), bytes(8))
        return bytes(out)

    @staticmethod
    def drain(s):
        s.settimeout(0.03)
        out = []
        try:
            while True:
                # The kernel sizes the later parts of dumps by the buffers it has seen.
                out.append(s.recvfrom(4096))
        except TimeoutError:
            return out

    def raw(self, name, datagram):
        print(f'\n[{name}]\nsend {datagram.hex()}')
        self.client.send(datagram)
        for data, _ in self.drain(self.client):
            print('recv', self.normal(data, True).hex())
        for data, (_, groups) in self.drain(self.listener):
            print('event', groups.bit_length(), self.normal(data, False).hex())

    def __call__(self, name, kind, body=b'', flags=REQUEST | ACK, pid=0):
        self.seq += 1
        self.raw(name, message(kind, body, flags, self.seq, pid))


def verify_rows(t):
    gcm = attr(AEAD, aead())
    out, inn = attr(DIR, b'\2'), attr(DIR, b'\1')
    null = attr(ALG_CRYPT, alg('ecb(cipher_null)'))

    def n(name, body):
        t('NEWSA ' + name, 'NEWSA', body)

    n('no algorithm', sa())
    n('short header', sa()[:200])
    n('family 0', sa(family=0))
    n('proto 17', sa(proto=17) + gcm)
    n('unknown aead', sa() + attr(AEAD, aead('foo')))
    n('aead icv not listed', sa() + attr(AEAD, aead(icv=100)))
    n('aead attribute short', sa() + attr(AEAD, bytes(40)))
    n('aead key length too long', sa() + attr(AEAD, aead(bits=1000)))
    n('aead and crypt', sa() + gcm + attr(ALG_CRYPT, alg('cbc(aes)', b'k' * 16)))
    n('crypt unknown', sa() + attr(ALG_CRYPT, alg('nope', b'k' * 16)))
    n('auth unknown', sa() + attr(ALG_AUTH, alg('nope', b'k' * 16)))
    n('trunc unknown', sa() + attr(AUTH_TRUNC, trunc('nope', b'k' * 16, 96)))
    n('auth short', sa() + attr(ALG_AUTH, alg('hmac(sha1)', b'\0', 9)))
    n('crypt short', sa() + attr(ALG_CRYPT, alg('cbc(aes)', b'\0', 9)))
    n('trunc short', sa() + attr(AUTH_TRUNC, trunc('hmac(sha1)', b'\0', 96, 9)))
    n('mode 9', sa(mode=9) + gcm)
    n('mode 3', sa(mode=3) + gcm)
    n('mode 6', sa(mode=6) + gcm)
    n('mode 5 without direction', sa(mode=5) + gcm)
    n('tfcpad in transport mode', sa() + gcm + attr(TFCPAD, u32(100)))
    n('esn flag without attribute', sa(flags=128) + gcm)
    n('esn bitmap of 129 words', sa(flags=128) + gcm + attr(ESN_VAL, esn(129)))
    n('esn bitmap short', sa(flags=128) + gcm + attr(ESN_VAL, esn(4)[:32]))
    n('esn and legacy window', sa(flags=128, window=32) + gcm + attr(ESN_VAL, esn()))
    n('selector prefix 33', sa(sel=selector(sp=33)) + gcm)
    n('selector prefix 33, family 0', sa(sel=selector(sp=33, family=0)) + gcm)
    n('selector prefix 129', sa(family=10, sel=selector('::', '::', 129, 0, 10)) + gcm)
    n('selector family 9', sa(sel=selector(family=9)) + gcm)
    n('direction 3', sa() + gcm + attr(DIR, b'\3'))
    n('direction as u32', sa() + gcm + attr(DIR, u32(1)))
    n('direction nested', sa() + gcm + attr(DIR | 0x8000, b'\1'))
    n('out with window', sa(window=32) + gcm + out)
    n('out with decap_dscp', sa(flags=2) + gcm + out)
    n('out with icmp', sa(flags=16) + gcm + out)
    n('out with wildrecv', sa(flags=8) + gcm + out)
    n('out with replay seq', sa() + gcm + attr(REPLAY_VAL, struct.pack('=III', 0, 1, 0)) + out)
    n('out with replay bitmap', sa() + gcm + attr(REPLAY_VAL, struct.pack('=III', 0, 0, 1)) + out)
    n('out with esn window', sa() + gcm + attr(ESN_VAL, esn()) + out)
    n('out with esn seq', sa() + gcm + attr(ESN_VAL, esn(1, 0, 1)) + out)
    n('out with esn bitmap', sa() + gcm + attr(ESN_VAL, esn(1, 0)) + out)
    n('in with esn oseq', sa() + gcm + attr(ESN_VAL, esn(oseq=1)) + inn)
    n('in with esn oseq_hi', sa() + gcm + attr(ESN_VAL, esn(oseq_hi=1)) + inn)
    n('in with nopmtudisc', sa(flags=4) + gcm + inn)
    n('in with extra flag 1', sa() + gcm + inn + attr(XFLAGS, u32(1)))
    n('in with extra flag 2', sa() + gcm + inn + attr(XFLAGS, u32(2)))
    n('pcpu without direction', sa() + gcm + attr(PCPU, u32(0)))
    n('mtimer without encap', sa() + gcm + attr(MTIMER, u32(5)))
    n('mtimer out', sa() + gcm + attr(ENCAP, struct.pack('=H22x', 2)) + attr(MTIMER, u32(5)) + out)
    for kind, size in ((36, 4), (37, 2), (38, 0), (39, 4), (40, 4), (41, 4)):
        n(f'iptfs attribute {kind} in transport mode', sa() + gcm + attr(kind, bytes(size)))
    for kind, size, way in ((36, 4, out), (37, 2, out), (38, 0, inn), (39, 4, inn), (40, 4, inn),
                            (41, 4, inn)):
        n(f'iptfs attribute {kind} in the wrong direction',
          sa(mode=5) + null + attr(kind, bytes(size)) + way)
    n('offload attribute short', sa() + gcm + attr(OFFLOAD, bytes(4)))
    n('esp with comp', sa() + attr(ALG_COMP, alg('deflate')))
    n('security context length', sa() + gcm + context(9, 0))
    n('security context longer than attribute', sa() + gcm + context(12, 4))
    sha1 = attr(ALG_AUTH, alg('hmac(sha1)', b'k' * 20))
    n('ah without algorithm', sa(proto=51))
    n('ah with crypt', sa(proto=51) + sha1 + attr(ALG_CRYPT, alg('cbc(aes)', b'k' * 16)))
    n('ah with comp', sa(proto=51) + sha1 + attr(ALG_COMP, alg('deflate')))
    n('ah in mode 5', sa(proto=51, mode=5) + sha1)
    deflate = attr(ALG_COMP, alg('deflate'))

    def comp(**k):
        return sa(**{**dict(proto=108, spi=0x1000), **k}) + deflate

    n('comp without algorithm', sa(proto=108))
    n('comp big spi', comp(spi=0x10000))
    n('comp', comp())
    n('comp unknown', sa(proto=108, spi=0x1000) + attr(ALG_COMP, alg('zzz')))
    n('comp with aead', comp() + gcm)
    n('comp with tfcpad', comp() + attr(TFCPAD, u32(3)))
    n('comp with esn', comp() + attr(ESN_VAL, esn()))
    n('comp key length', sa(proto=108, spi=0x1000) + attr(ALG_COMP, alg('deflate', b'\0', 9)))
    n('comp mode 2', comp(mode=2))
    n('comp mode 5', comp(mode=5))
    n('comp tunnel', comp(mode=1))
    n('comp family change', comp(sel=selector('::', '::', 0, 0, 10)))
    n('comp family change in tunnel mode', comp(mode=1, sel=selector('::', '::', 0, 0, 10)))
    n('comp pcpu 99999', comp() + inn + attr(PCPU, u32(99999)))
    n('comp with a leftover', comp() + b'\1\2\3')
    n('routing without coaddr', sa(proto=43, family=10))
    n('dstopts with aead', sa(proto=60) + gcm)
    n('dstopts with encap', sa(proto=60) + attr(ENCAP, bytes(24)))
    n('dstopts', sa(proto=60) + attr(COADDR, bytes(16)))


def attribute_rows(t):
    sizes = {1: 68, 2: 68, 3: 68, 4: 24, 5: 64, 6: 224, 7: 168, 8: 8, 9: 32, 10: 12, 11: 4, 12: 4,
             13: 16, 14: 16, 15: 8, 16: 6, 17: 76, 18: 72, 19: 40, 20: 72, 21: 8, 22: 4, 23: 24,
             24: 4, 25: 1, 26: 36, 28: 8, 29: 4, 30: 4, 31: 4, 32: 4, 33: 1, 34: 4, 35: 4, 36: 4,
             37: 2, 38: 0, 39: 4, 40: 4, 41: 4}
    for kind, size in sizes.items():
        for length in {max(size - 1, 0), size, size + 1}:
            t(f'attribute {kind} of {length} bytes', 'DELSA', sa_id() + attr(kind, bytes(length)))
    for kind in (0, 27, 42, 60, 0x3fff):
        t(f'attribute {kind}', 'DELSA', sa_id() + attr(kind, b'\0'))
    t('leftover', 'DELSA', sa_id() + bytes(4))
    for kind in sorted(TYPES, key=TYPES.get):
        if kind not in ('NEWSA', 'UPDSA', 'ALLOCSPI', 'ACQUIRE', 'NEWSPDINFO', 'NEWSADINFO'):
            size = {'GETSA': 24, 'DELSA': 24, 'FLUSHSA': 4, 'NEWPOLICY': 168, 'UPDPOLICY': 168,
                    'DELPOLICY': 64, 'GETPOLICY': 64, 'EXPIRE': 232, 'POLEXPIRE': 176,
                    'NEWAE': 48, 'GETAE': 48, 'MIGRATE': 64, 'FLUSHPOLICY': 0, 'SETDEFAULT': 4,
                    'GETDEFAULT': 4, 'GETSADINFO': 4, 'GETSPDINFO': 4, 'REPORT': 60,
                    'MAPPING': 64}[kind]
            t(f'{kind} with direction', kind, bytes(size) + attr(DIR, b'\1'))
            t(f'{kind} with pcpu', kind, bytes(size) + attr(PCPU, u32(0)))
        t(f'{kind} without a body', kind)


def dispatch_rows(t):
    t('type 42', 42)
    t('type 15', 15)
    t('type 3', 3)
    t('MAPPING', 'MAPPING', bytes(64))
    t('REPORT', 'REPORT', bytes(60))
    t('NEWSADINFO', 'NEWSADINFO', bytes(4))
    t('no request flag', 'GETSA', sa_id(), ACK)
    t('no request flag, no ack', 'GETSA', sa_id(), 0)
    info = lambda seq: message('GETSADINFO', u32(0), 5, seq)
    t.raw('two messages', info(1) + info(2))
    t.raw('three messages, the middle one wrong',
          info(1) + message('DELSA', sa_id(), 1, 2) + info(3))
    t.raw('odd length, then another', message('FLUSHSA', b'\0', 5, 1) + bytes(3) + info(2))
    t.raw('odd length at the end', info(1) + message('FLUSHSA', b'\0', 5, 2))
    t.raw('length beyond the datagram', info(1) + message('GETSADINFO', u32(0), 5, 2, length=40))
    t.raw('length 15', message('GETSADINFO', u32(0), 5, 2, length=15))
    t.raw('ten bytes', bytes(10))
    t('odd error echo', 'GETDEFAULT', b'\0')
    t('odd error echo 2', 'GETDEFAULT', b'\0\0')


def sa_rows(t):
    t('GETSADINFO', 'GETSADINFO', u32(0xffffffff), REQUEST)
    t('GETSADINFO with ack', 'GETSADINFO', u32(5))
    t('DELSA none', 'DELSA', sa_id())
    t('DELSA proto 0', 'DELSA', sa_id(proto=0))
    t('DELSA proto 43', 'DELSA', sa_id(proto=43))
    t('DELSA proto 43 with source', 'DELSA', sa_id(proto=43) + attr(SRCADDR, ip('10.0.0.1')))
    t('GETSA none', 'GETSA', sa_id())
    t('EXPIRE none', 'EXPIRE', sa() + bytes(8))
    t('FLUSHSA empty', 'FLUSHSA', b'\0')
    t('FLUSHSA proto 17', 'FLUSHSA', b'\x11')
    t('FLUSHSA dump flags', 'FLUSHSA', b'\0', REQUEST | ACK | DUMP)
    t('FLUSHSA leftover', 'FLUSHSA', bytes(8))
    t('dump empty', 'GETSA', b'', REQUEST | DUMP)
    t('dump empty with ack', 'GETSA', b'', REQUEST | DUMP | ACK)
    t('dump by one bit', 'GETSA', sa_id(), REQUEST | ROOT)
    t('dump by the other bit', 'GETSA', sa_id(), REQUEST | MATCH)
    t('dump leftover', 'GETSA', b'\1\2\3', REQUEST | DUMP)
    t('dump short filter', 'GETSA', attr(FILTER, bytes(10)), REQUEST | DUMP)
    t('dump filter prefix', 'GETSA', attr(FILTER, bytes(34) + b'\xc8\0'), REQUEST | DUMP)
    t('dump bad direction', 'GETSA', attr(DIR, b'\4'), REQUEST | DUMP)
    t('dump direction', 'GETSA', attr(DIR, b'\1'), REQUEST | DUMP)

    def spi(low, high, **k):
        return sa(**{**dict(spi=0, mode=1, limits=bytes(64)), **k}) + u32(low) + u32(high)

    for name, body in (
            ('fixed', spi(0x300, 0x300)), ('fixed again', spi(0x300, 0x300)),
            ('min above max', spi(0x400, 0x300)),
            ('proto 17', spi(0x400, 0x500, proto=17)),
            ('comp big', spi(0x100, 0x10000, proto=108)),
            ('no spi', spi(0, 0, dst='10.0.0.77')),
            ('family 0', spi(0x700, 0x700, family=0)),
            ('v6', spi(0x701, 0x701, family=10, src='::1', dst='::2')),
            ('reqid and seq', spi(0x702, 0x702, reqid=7)),
            ('direction', spi(0x703, 0x703) + attr(DIR, b'\1'))):
        t('ALLOCSPI ' + name, 'ALLOCSPI', body, REQUEST)
    t('ALLOCSPI with ack', 'ALLOCSPI', spi(0x705, 0x705))
    t('GETSA larval', 'GETSA', sa_id(spi=0x300), REQUEST)
    t('GETSA larval with ack', 'GETSA', sa_id(spi=0x300))
    t('GETSA mark', 'GETSA', sa_id(spi=0x704) + attr(MARK, struct.pack('=II', 3, 0xf)), REQUEST)
    t('GETSA mark missing', 'GETSA', sa_id(spi=0x704), REQUEST)
    t('EXPIRE larval', 'EXPIRE', sa(spi=0x300) + bytes(8))
    t('dump', 'GETSA', b'', REQUEST | DUMP)
    for proto in (51, 0, 255, 17):
        t(f'dump proto {proto}', 'GETSA', attr(PROTO, bytes([proto])), REQUEST | DUMP)

    def address_filter(src, dst, family, sp, dp):
        return attr(FILTER, ip(src) + ip(dst) + struct.pack('=HBB', family, sp, dp))

    t('dump dst 10.0.0.77', 'GETSA', address_filter('0.0.0.0', '10.0.0.77', 2, 0, 32),
      REQUEST | DUMP)
    t('dump src 10/8, any family', 'GETSA', address_filter('10.0.0.0', '0.0.0.0', 0, 8, 0),
      REQUEST | DUMP)
    t('dump family 6', 'GETSA', address_filter('0.0.0.0', '0.0.0.0', 10, 0, 0), REQUEST | DUMP)
    t('dump with an id', 'GETSA', sa_id(spi=0x300), REQUEST | DUMP)
    t('DELSA larval', 'DELSA', sa_id(spi=0x300))
    t('DELSA larval, source given', 'DELSA', sa_id(spi=0x702) +
      attr(SRCADDR, ip('10.0.0.1')))
    t('DELSA direction shown', 'DELSA', sa_id(spi=0x703))
    t('FLUSHSA comp', 'FLUSHSA', b'\x6c')
    t('FLUSHSA all', 'FLUSHSA', bytes(4), pid=4242)
    t('FLUSHSA nothing left', 'FLUSHSA', b'\0')


def policy_rows(t):
    def n(name, body):
        t('NEWPOLICY ' + name, 'NEWPOLICY', body)

    t('POLEXPIRE none', 'POLEXPIRE', policy() + b'\1' + bytes(7))
    t('POLEXPIRE direction', 'POLEXPIRE', policy(dir=5) + bytes(8))
    t('GETPOLICY none', 'GETPOLICY', policy_id())
    t('DELPOLICY none', 'DELPOLICY', policy_id())
    t('DELPOLICY direction', 'DELPOLICY', policy_id(dir=3))
    t('DELPOLICY type and direction', 'DELPOLICY', policy_id(dir=5) + policy_type(2))
    t('DELPOLICY index none', 'DELPOLICY', policy_id(index=9))
    t('DELPOLICY index of another direction', 'DELPOLICY', policy_id(index=9, dir=0))
    t('DELPOLICY context', 'DELPOLICY', policy_id() + context(9, 4, bytes(4)))
    t('DELPOLICY context with index', 'DELPOLICY', policy_id(index=9) + context(9, 4, bytes(4)))
    n('share', policy(share=9))
    n('action', policy(action=9))
    n('family 0', policy(selector(family=0)))
    n('prefix 33', policy(selector(sp=33)))
    n('prefix 129', policy(selector('::', '::', 129, 0, 10)))
    n('direction', policy(dir=3))
    n('index of another direction', policy(index=8))
    n('type 2', policy() + policy_type(2))
    n('context', policy() + context(9, 4, bytes(4)))
    n('context after direction', policy(dir=5) + context(9, 4, bytes(4)))
    n('7 templates', policy() + attr(TMPL, template() * 7))
    n('optional tunnel out', policy() + attr(TMPL, template(optional=1)))
    n('optional beet out', policy() + attr(TMPL, template(optional=1, mode=4)))
    n('optional iptfs out', policy() + attr(TMPL, template(optional=1, mode=5)))
    n('family change', policy() + attr(TMPL, template(family=10, mode=0)))
    n('template mode 9', policy() + attr(TMPL, template(mode=9)))
    n('template mode 3, other family', policy() + attr(TMPL, template(mode=3, family=10)))
    n('template family 9', policy() + attr(TMPL, template(family=9)))
    for proto in (0, 17, 255):
        n(f'template proto {proto}', policy() + attr(TMPL, template(proto=proto)))
    n('template short', policy() + attr(TMPL, template()[:63]))
    n('type before templates', policy() + policy_type(2) + attr(TMPL, template(proto=17)))
    t('FLUSHPOLICY nothing', 'FLUSHPOLICY')
    t('FLUSHPOLICY type 2', 'FLUSHPOLICY', policy_type(2))
    t('policy dump empty', 'GETPOLICY', b'', REQUEST | DUMP)
    t('policy dump ignores attributes', 'GETPOLICY', attr(FILTER, bytes(10)), REQUEST | DUMP)
    n('out', policy() + attr(TMPL, template()))
    n('in', policy(dir=0) + attr(TMPL, template()))
    n('forward', policy(dir=2) + attr(TMPL, template()))
    other = selector('10.3.0.0', '10.4.0.0')
    n('index chosen', policy(other, index=0x1001) + attr(TMPL, template()))
    n('again', policy() + attr(TMPL, template()))
    n('again, other priority', policy(prio=5))
    t('UPDPOLICY', 'UPDPOLICY', policy(prio=9) + attr(TMPL, template()))
    t('GETPOLICY', 'GETPOLICY', policy_id())
    t('GETPOLICY without ack', 'GETPOLICY', policy_id(), REQUEST)
    t('UPDPOLICY creates', 'UPDPOLICY', policy(selector('10.5.0.0', '10.6.0.0'), flags=3))
    n('mark', policy(action=1) + attr(MARK, struct.pack('=II', 0x13, 0xf)))
    n('if_id', policy(action=1) + attr(IF_ID, u32(5)))
    n('sub', policy() + policy_type(1))
    n('host bits', policy(selector('10.1.0.7', '10.2.0.9')))
    t('policy dump', 'GETPOLICY', b'', REQUEST | DUMP)
    n('share forgotten', policy(selector('10.9.0.0', '10.9.1.0'), share=3))
    n('six templates', policy(selector('10.9.2.0', '10.9.3.0')) + attr(TMPL, template() * 6))
    n('a template and a half', policy(selector('10.9.4.0', '10.9.5.0')) +
      attr(TMPL, template() + bytes(36)))
    n('template families filled in', policy(selector('10.9.6.0', '10.9.7.0')) +
      attr(TMPL, template(family=0) + template(family=0, mode=0, optional=1, share=2)))
    n('block', policy(selector('10.9.8.0', '10.9.9.0'), action=1))
    n('v6', policy(selector('2001:db8::', '::', 32, 0, 10)) + attr(TMPL, template(family=2)))
    t('NEWPOLICY pid 4242', 'NEWPOLICY', policy(selector('10.7.0.0', '10.8.0.0')), pid=4242)
    any_selector = selector('0.0.0.0', '0.0.0.0', 0, 0, 0)
    t('GETPOLICY by index', 'GETPOLICY', policy_id(any_selector, index=0x1001), REQUEST)
    t('DELPOLICY by index', 'DELPOLICY', policy_id(any_selector, index=0x1001))
    t('DELPOLICY by selector', 'DELPOLICY', policy_id())
    t('DELPOLICY again', 'DELPOLICY', policy_id())
    t('DELPOLICY mark', 'DELPOLICY', policy_id() + attr(MARK, struct.pack('=II', 3, 0xf)), pid=9)
    t('POLEXPIRE soft', 'POLEXPIRE', policy(selector('10.7.0.0', '10.8.0.0')) + bytes(8))
    t('POLEXPIRE hard', 'POLEXPIRE', policy(selector('10.7.0.0', '10.8.0.0')) + b'\7' + bytes(7))
    t('POLEXPIRE gone', 'POLEXPIRE', policy(selector('10.7.0.0', '10.8.0.0')) + b'\1' + bytes(7))
    t('FLUSHPOLICY', 'FLUSHPOLICY')
    t('FLUSHPOLICY sub', 'FLUSHPOLICY', policy_type(1))
    t('FLUSHPOLICY nothing left', 'FLUSHPOLICY')


def info_rows(t):
    t('GETDEFAULT', 'GETDEFAULT', bytes(3))
    t('GETDEFAULT with leftover', 'GETDEFAULT', bytes(4) + b'\1\2\3')
    t('SETDEFAULT', 'SETDEFAULT', b'\1\1\1')
    t('SETDEFAULT 1 2 9', 'SETDEFAULT', bytes([1, 2, 9]), pid=5)
    t('GETDEFAULT mixed', 'GETDEFAULT', bytes(3), REQUEST)
    t('SETDEFAULT 4 bytes', 'SETDEFAULT', b'\2\2\2\0')
    t('GETDEFAULT dump flags', 'GETDEFAULT', bytes(4), REQUEST | DUMP)
    t('GETSPDINFO', 'GETSPDINFO', u32(0xffffffff), REQUEST)
    t('NEWSPDINFO v4 33', 'NEWSPDINFO', u32(0) + attr(3, bytes([33, 0])))
    t('NEWSPDINFO v6 129', 'NEWSPDINFO', u32(0) + attr(4, bytes([128, 129])))
    t('NEWSPDINFO short', 'NEWSPDINFO', u32(0) + attr(3, b'\1'))
    t('NEWSPDINFO other attributes', 'NEWSPDINFO', u32(0) + attr(1, b'\1') + attr(DIR, b'\1'))
    t('NEWSPDINFO v4 24', 'NEWSPDINFO', u32(0) + attr(3, bytes([24, 16])))
    t('GETSPDINFO changed', 'GETSPDINFO', u32(7), REQUEST)
    t('NEWSPDINFO back', 'NEWSPDINFO', u32(0) + attr(3, bytes([32, 32])))


def option_rows(t):
    wrong = sa(proto=108, spi=0x1000) + attr(ALG_COMP, alg('deflate'))
    t.option('cap_ack')
    t('capped', 'NEWSA', wrong)
    t('capped with policy', 'NEWSA', wrong + attr(DIR, b'\4'))
    t('capped without text', 'DELSA', sa_id())
    t.option('ext_ack', 0)
    t('capped, not extended', 'NEWSA', wrong)
    t.option('cap_ack', 0)
    t('neither', 'NEWSA', wrong)
    t('leftover unsaid', 'FLUSHSA', bytes(8))
    t.option('ext_ack')


if __name__ == '__main__':
    capture = Capture()
    for rows in (verify_rows, attribute_rows, dispatch_rows, sa_rows, info_rows, policy_rows,
                 option_rows):
        rows(capture)
