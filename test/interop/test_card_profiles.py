#!/usr/bin/python3
"""The software NIC as the cards of doc/card_profiles.md: errno and text reach the user, and the ledger
tells what a card claims and does not do."""

import errno
import os
import struct

import suite
import xfrmclient as nl
from rawwire import Peer
from espjudge import EspJudge
from test_packet_offload import Messages
from test_placement import HOST, PEER, Placement
from wirehost import SPI_IN, SPI_OUT, WireHost, udp

ESN = 128
BEET = 4
IN, PACKET = 2, 4
PROFILES = ["netdevsim", "ixgbe", "ixgbevf", "mlx5-crypto", "mlx5-packet", "mlx5-switchdev",
            "chelsio-t6", "nfp", "cn10k", "virtio-1.4", "bond", "generic"]


def gcm(key_bytes=20, icv_bits=128):
    return f"aead rfc4106(gcm(aes)) 0x{'6b' * key_bytes} {icv_bits}"


class Sample:
    """One request that a card refuses: for `ip` and as a message."""

    def __init__(self, profile, number, text, direction="out", mode="transport", aead=(20, 128), esn=False,
                 packet=False, encap=False, selector_proto=0):
        self.profile, self.number, self.text = profile, number, text
        self.direction, self.mode, self.aead, self.esn = direction, mode, aead, esn
        self.packet, self.encap, self.selector_proto = packet, encap, selector_proto

    def words(self):
        src, dst = (HOST, PEER) if self.direction == "out" else (PEER, HOST)
        text = f"state add src {src} dst {dst} proto esp spi 0x1001 reqid 1 mode {self.mode} "
        text += "replay-window 64 flag esn " if self.esn else "replay-window 32 "
        text += gcm(*self.aead)
        if self.encap:
            text += " encap espinudp 4500 4500 0.0.0.0"
        if self.selector_proto:
            text += f" sel src {src} dst {dst} proto {self.selector_proto}"
        return f"{text} offload dev nic{PROFILES.index(self.profile)} dir {self.direction}"

    def message(self, ifindex):
        src, dst = (HOST, PEER) if self.direction == "out" else (PEER, HOST)
        mode = {"transport": 0, "tunnel": 1, "beet": BEET}[self.mode]
        body = nl.sa_info(src=src, dst=dst, spi=0x1001, mode=mode, flags=ESN if self.esn else 0,
                          window=0 if self.esn else 32, sel=nl.selector(src=src, dst=dst, bits=32,
                                                     proto=self.selector_proto))
        body += nl.attr("ALG_AEAD", nl.aead(b"k" * self.aead[0], self.aead[1]))
        if self.esn:
            body += nl.attr("REPLAY_ESN_VAL", nl.esn(64, 2))
        if self.encap:
            body += nl.attr("ENCAP", nl.encap())
        flags = (IN if self.direction == "in" else 0) | (PACKET if self.packet else 0)
        return nl.message("NEWSA", body + nl.attr("OFFLOAD_DEV", struct.pack("=iB3x", ifindex, flags)))


CORE_ESN = "Device doesn't support offload with ESN"
SAMPLES = [
    Sample("netdevsim", errno.EINVAL, CORE_ESN, esn=True),
    Sample("netdevsim", errno.EINVAL, "netdevsim: Failed to get key data for SA table", aead=(20, 64)),
    Sample("netdevsim", errno.EINVAL, "netdevsim: Unsupported ipsec offload type", packet=True),
    Sample("ixgbe", errno.EINVAL, CORE_ESN, esn=True),
    Sample("ixgbe", errno.EINVAL, "ixgbe: Unsupported mode for ipsec offload", mode="tunnel"),
    Sample("ixgbe", errno.EINVAL, "ixgbe: Failed to get key data for Rx SA table", direction="in",
           aead=(36, 128)),
    Sample("ixgbe", errno.EINVAL, "ixgbe: Failed to get key data for Tx SA table", aead=(20, 96)),
    Sample("ixgbevf", errno.EINVAL, "ixgbevf: Unsupported mode for ipsec offload", mode="tunnel"),
    Sample("ixgbevf", errno.EINVAL, "ixgbevf: Unsupported ipsec offload type", direction="in", packet=True),
    Sample("mlx5-crypto", errno.EINVAL, "mlx5_core: Only AES-GCM-ICV16 xfrm state may be offloaded",
           aead=(20, 96)),
    Sample("mlx5-crypto", errno.EINVAL,
           "mlx5_core: Cannot offload xfrm states with AEAD key length other than 128/256 bit",
           aead=(28, 128)),
    Sample("mlx5-crypto", errno.EINVAL, "mlx5_core: Encapsulation is not supported", encap=True),
    Sample("mlx5-crypto", errno.EINVAL, "mlx5_core: Packet offload is not supported", packet=True),
    Sample("mlx5-packet", errno.EINVAL,
           "mlx5_core: Encapsulation is supported in packet offload mode only", encap=True),
    Sample("mlx5-packet", errno.EINVAL,
           "mlx5_core: Only transport and tunnel xfrm states may be offloaded", mode="beet"),
    Sample("mlx5-packet", errno.EINVAL,
           "mlx5_core: Device does not support upper protocol other than TCP/UDP", selector_proto=1),
    Sample("mlx5-switchdev", errno.EINVAL, "mlx5_core: Device failed to offload this state", mode="tunnel",
           packet=True),
    Sample("chelsio-t6", errno.EINVAL, "ch_ipsec: Encapsulated xfrm state not offloaded", encap=True),
    Sample("chelsio-t6", errno.EINVAL,
           "ch_ipsec: cannot offload xfrm states with AEAD key length other than 128/256 bit",
           aead=(28, 128)),
    Sample("chelsio-t6", errno.EINVAL, "ch_ipsec: Unsupported xfrm offload", packet=True),
    Sample("nfp", errno.EINVAL, CORE_ESN, esn=True),
    Sample("nfp", errno.EINVAL, "nfp: Unsupported mode for xfrm offload", mode="beet"),
    Sample("nfp", errno.EINVAL, "nfp: Unsupported encryption algorithm for offload", aead=(20, 64)),
    Sample("cn10k", errno.EINVAL, "rvu_nicpf: Encapsulated xfrm state may not be offloaded", encap=True),
    Sample("cn10k", errno.EINVAL, "rvu_nicpf: Cannot offload other than crypto-mode", packet=True),
    Sample("cn10k", errno.EOPNOTSUPP, "rvu_nicpf: xfrm inbound offload not supported", direction="in",
           packet=True),
    Sample("bond", errno.EINVAL, "ixgbe: Unsupported mode for ipsec offload", mode="tunnel"),
]


def statistics(host, interface="nic0"):
    """What a user sees: `ethtool -S` with the shim."""
    command = [host.cygnet.command, "exec", "--", "ethtool", "-S", interface]
    lines = host.ns.run(command).stdout.splitlines()
    return {name: int(value) for name, value in (line.strip().split(": ") for line in lines[1:])}


class Refusals(suite.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host = cls.make_host()
        for i in range(len(PROFILES)):
            cls.own(Peer(cls.host, i))
        cls.host.start([{"offload": "crypto", "profile": name, "sa_limit": 64} for name in PROFILES])
        cls.ifindex = {name: device["ifindex"] for name, device in zip(PROFILES, cls.host.show("dev"))}
        cls.client = cls.own(nl.Client(cls.host.ns, [cls.host.cygnet.command, "exec", "--"]))
        cls.socket = cls.client.open()

    def tearDown(self):
        self.host.xfrm("state flush")

    def test_errno_and_text_reach_the_client(self):
        for sample in SAMPLES:
            with self.subTest(profile=sample.profile, text=sample.text):
                reply = self.client.ask(self.socket, sample.message(self.ifindex[sample.profile]))
                self.assertEqual(tuple(reply[0][3][:2]), (sample.number, sample.text))
                self.assertEqual(self.host.show("sa"), [])

    def test_ip_prints_the_text(self):
        for sample in SAMPLES:
            if sample.packet:  # a message only: Debian's ip may not know the word
                continue
            with self.subTest(profile=sample.profile, text=sample.text):
                result = self.host.xfrm(sample.words(), check=False)
                self.assertEqual(result.returncode, 2)
                self.assertIn(f"Error: {sample.text}.", result.stderr)

    def test_what_a_card_takes_it_gets(self):
        for i, profile in enumerate(PROFILES):
            with self.subTest(profile=profile):
                direction = "in" if profile == "ixgbevf" else "out"
                self.host.xfrm(Sample(profile, 0, "", direction=direction).words())
                self.assertIn(f"dev nic{i} dir {direction}", self.host.xfrm("state").stdout)
                self.host.xfrm("state flush")

    def test_what_falls_back_is_in_software(self):
        for profile, direction, reason in (("ixgbevf", "out", "no-capability:outbound"),
                                           ("cn10k", "in", "no-capability:inbound")):
            with self.subTest(profile=profile):
                self.host.xfrm(Sample(profile, 0, "", direction=direction).words())
                self.assertNotIn("offload", self.host.xfrm("state").stdout)
                half = next(p for p in self.host.show("sa")[0]["placements"]
                            if p["direction"] == direction)
                self.assertEqual((half["effective"], half["reason"]), ("software", reason))
                self.host.xfrm("state flush")

    def test_ethtool_shows_the_driver_and_its_features(self):
        drivers = {"netdevsim": "netdevsim", "mlx5-packet": "mlx5_core", "chelsio-t6": "ch_ipsec",
                   "cn10k": "rvu_nicpf", "generic": "tun"}
        shim = [self.host.cygnet.command, "exec", "--", "ethtool"]
        for profile, driver in drivers.items():
            name = f"nic{PROFILES.index(profile)}"
            with self.subTest(profile=profile):
                self.assertIn(f"driver: {driver}\n", self.host.ns.run([*shim, "-i", name]).stdout)
                features = self.host.ns.run([*shim, "-k", name]).stdout
                self.assertIn("esp-hw-offload: on [fixed]", features)
                both = profile in ("netdevsim", "mlx5-packet")
                self.assertEqual("tx-esp-segmentation: on [fixed]" in features, both)

    def test_ethtool_shows_no_statistics_where_the_driver_has_none(self):
        for command, profile in (([self.host.cygnet.command, "exec", "--"], "chelsio-t6"), ([], "ixgbe")):
            name = f"nic{PROFILES.index(profile)}"
            result = self.host.ns.run([*command, "ethtool", "-S", name], check=False)
            self.assertEqual((result.returncode, result.stderr), (94, "no stats available\n"))
        self.assertNotIn("statistics", self.host.show("dev")[PROFILES.index("chelsio-t6")])

    def test_the_drivers_view(self):
        self.host.xfrm(Sample("netdevsim", 0, "").words())
        device = self.host.show("dev")[PROFILES.index("netdevsim")]
        self.assertEqual(device["driver_view"][:2],
                         ["SA count=1 tx=0", f"sa[0] tx ipaddr={PEER}"])
        self.assertNotIn("6b6b", str(device))
        self.assertNotIn("driver_view", self.host.show("dev")[PROFILES.index("generic")])


class Full(suite.Case):
    def test_the_34th_sa_of_netdevsim(self):
        host = self.make_host()
        self.own(Peer(host))
        host.start([{"offload": "crypto", "profile": "netdevsim", "rekey_reserve": 0}])
        for spi in range(33):
            host.xfrm(Sample("netdevsim", 0, "").words().replace("0x1001", hex(0x2000 + spi)))
        result = host.xfrm(Sample("netdevsim", 0, "").words(), check=False)
        self.assertIn("Error: netdevsim: No space for SA in Rx table!.", result.stderr)
        self.assertEqual(len(host.show("sa")), 33)


class Liar(Placement):
    """A card that claims more than it does. The client sees what it claims, the ledger what is true."""

    def truths(self, spi):
        return [entry["really"] for entry in self.host.show("ledger")
                if entry["kind"] == "placement" and int(entry["spi"], 16) == spi and "really" in entry]

    def truth(self, spi):
        self.wait_for(lambda: self.truths(spi), "the truth in the ledger")
        return self.truths(spi)[0]


class Chelsio(Liar):
    devices = [{"offload": "crypto", "profile": "chelsio-t6"}]

    def test_inbound_sas_are_claimed_and_opened_by_the_cpu(self):
        self.policies()
        into = self.add(0x2001, "in")
        self.assertIn("dev nic0 dir in", self.host.xfrm("state").stdout)
        self.assertRegex(self.truth(0x2001), "^not-used: .*the CPU opens")
        self.assertEqual(self.half(0x2001, "in"), ("crypto", "crypto", "requested"))
        self.comes_in(into)
        self.assertEqual(self.device()["opened"], 0)
        self.assertIn("really not-used", self.host.text("sa"))
        self.assertIn("really not-used", self.host.text("ledger"))


class Nfp(Liar):
    devices = [{"offload": "crypto", "profile": "nfp", "card_conditions": ["firmware-refuses"]}]

    def test_ok_and_then_nothing(self):
        self.policies()
        out, into = self.add(0x1001), self.add(0x2001, "in")
        for spi, direction in ((0x1001, "out"), (0x2001, "in")):
            self.assertRegex(self.truth(spi), "^not-held: the firmware refused")
            self.wait_for(lambda s=spi, d=direction: self.half(s, d)[1] == "software", "the move")
            self.assertEqual(self.half(spi, direction), ("crypto", "software", "device-refused"))
        self.assertEqual(self.held(), [])
        self.goes_out(out)
        self.comes_in(into)


class Bond(Liar):
    devices = [{"offload": "crypto", "profile": "bond", "bond_cards": ["mlx5-crypto", "ixgbe"]}]

    def test_the_other_card_refuses_and_only_the_log_has_it(self):
        self.policies()
        out = self.add(0x1001)
        self.assertEqual(self.half(0x1001), ("crypto", "crypto", "requested"))
        self.goes_out(out)
        self.host.text("sim", "dev", "nic0", "failover")
        self.assertRegex(self.truth(0x1001),
                         "^not-held: .*ixgbe refused it: ixgbe: Unsupported mode for ipsec offload")
        self.wait_for(lambda: self.half(0x1001)[1] == "software", "the move")
        self.assertIn("failed to add SA 0x00001001", self.host.log())
        self.goes_out(out)


class Counting(WireHost):
    """Statistics that a user sees with `ethtool -S`, before and after pings: two packets in, two out."""

    offload = True
    pings = 2
    frame = {"transport": 14 + 20 + 8 + 8 + 28 + 16, "tunnel": 14 + 20 + 8 + 8 + 48 + 16}

    def count(self, expected):
        before = statistics(self.host)
        for _ in range(self.pings):
            self.good()
        after = statistics(self.host)
        self.assertEqual({name: after[name] - before[name] for name in before if after[name] != before[name]},
                         expected)
        self.assertEqual(self.host.show("dev")[0]["statistics"], after)
        return list(after)


class Ixgbe(Counting, suite.Case):
    device_keys = {"offload": "crypto", "profile": "ixgbe"}

    def setUp(self):
        self.install("transport")

    def test_ethtool_counts_packets(self):
        names = self.count({"tx_ipsec": 2, "rx_ipsec": 2})
        self.assertEqual(names, ["tx_ipsec", "rx_ipsec"])
        shim = [self.host.cygnet.command, "exec", "--", "ethtool", "-i", "nic0"]
        self.assertIn("supports-statistics: yes", self.host.ns.run(shim).stdout)
        self.assertIn("\t\ttx_ipsec: ", self.host.text("dev", "nic0", "-s"))
        self.host.xfrm("state flush")  # software
        self.offload = False
        self.install("transport")
        self.count({})


class Mlx5(Messages, Counting, suite.Case):
    """Packet offload as this card does it."""

    device_keys = {"offload": "crypto", "profile": "mlx5-packet"}

    def counts(self, mode):
        size = self.pings * self.frame[mode]
        return {"ipsec_rx_pkts": 2, "ipsec_rx_bytes": size, "ipsec_tx_pkts": 2, "ipsec_tx_bytes": size}

    def test_ethtool_counts_crypto_offload(self):
        self.install("transport")
        names = self.count(self.counts("transport"))
        self.assertEqual((len(names), names[0], names[-1]), (15, "ipsec_rx_pkts", "ipsec_tx_drop_trailer"))

    def test_ethtool_counts_packet_offload_in_the_same_statistics(self):
        for direction in ("in", "out"):
            self.assertEqual(self.add_policy(direction), (0, None))
        self.mode, self.family = "tunnel", 4
        self.into, self.out = (EspJudge(spi, os.urandom(20), 16) for spi in (SPI_IN, SPI_OUT))
        self.assertEqual(self.add_sa(self.into, SPI_IN, inbound=True), (0, None))
        self.assertEqual(self.add_sa(self.out), (0, None))
        self.count(self.counts("tunnel"))

    def test_replays_pass_without_esn_and_counters_are_old(self):
        self.assertEqual(self.add_policy("in"), (0, None))
        self.into = EspJudge(SPI_IN, os.urandom(20), 16)
        self.assertEqual(self.add_sa(self.into, SPI_IN, inbound=True), (0, None))
        self.nic.drain()
        payload = os.urandom(40)
        packet = self.sealed(udp(payload))
        for _ in range(3):
            self.send(packet)
        frames = self.nic.frames(lambda frame: payload in frame, 3, 3 * suite.SLOWNESS)
        self.assertEqual(len(frames), 3, "the card checks replay only of SAs with ESN")
        self.assertRegex(self.host.text("sa"), "really no-replay-check: ")
        self.wait_for(lambda: self.sa_report()["usage"]["packets"] == 3, "the card's counters", 4)
        self.assertEqual(self.sa_report()["usage"]["bytes"], 3 * (len(packet) - 20),
                         "with the ESP overhead")
        self.wait_for(lambda: "counters 1 s old" in self.host.text("sa"), "the age", 4)


if __name__ == "__main__":
    suite.main()
