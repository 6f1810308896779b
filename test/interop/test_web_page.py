#!/usr/bin/python3
"""The page of cygnet-web in Debian's Chromium, with traffic between two hosts and a fault of the device: what it shows
agrees with `cygnet -j`. CYGNET_PICTURES=FOLDER keeps pictures of it.
"""

import os
import sys
import time

import labkit
import suite
from webkit import Browser, Server

PLACES = {"crypto": "crypto offload", "software": "software", "packet": "packet offload", "blocked": "blocked"}
TUNNELS = range(1, 5)
HOSTS = {"west": ("192.0.2.1", 1), "east": ("192.0.2.2", 2)}


class Page(suite.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.west, cls.east = (cls.make_host(name) for name in HOSTS)
        labkit.connect(cls.west, cls.east)
        for host in (cls.west, cls.east):
            host.start([{"offload": "crypto", "sa_limit": 2}])
            cls.set_up(host)
        cls.web = cls.own(Server(cls.west))
        cls.browser = cls.own(Browser(cls.west))
        cls.browser.emulate(1280, 1500)

    @classmethod
    def set_up(cls, host):
        own, number = HOSTS[host.name]
        other, _ = HOSTS["east" if host.name == "west" else "west"]
        host.ns.ip(f"addr add {own}/24 dev nic0")
        for i in TUNNELS:
            host.ns.ip(f"addr add 10.{number}.{i}.1/32 dev lo")
        host.ns.ip(f"route add 10.{3 - number}.0.0/16 via {other} dev nic0 src 10.{number}.1.1")

    def install(self):
        """Of four tunnels two have a slot of the device; the third asks for none, the fourth finds the table full."""
        keys = {(i, way): os.urandom(20).hex() for i in TUNNELS for way in ("out", "in")}
        for host in (self.west, self.east):
            own, number = HOSTS[host.name]
            other, _ = HOSTS["east" if host.name == "west" else "west"]
            lines = []
            for i in TUNNELS:
                for way, src, dst in (("out", own, other), ("in", other, own)):
                    leaving = way if host is self.west else {"out": "in", "in": "out"}[way]
                    spi = (0x1000 if leaving == "out" else 0x2000) + i
                    offload = "" if i == 3 else f" offload dev nic0 dir {way}"
                    lines.append(f"state add src {src} dst {dst} proto esp spi {spi:#x} reqid {i} mode tunnel "
                                 f"replay-window 64 aead rfc4106(gcm(aes)) 0x{keys[i, leaving]} 128{offload}")
                    near, far = f"10.{number}.{i}.1/32", f"10.{3 - number}.{i}.1/32"
                    nets = (near, far) if way == "out" else (far, near)
                    lines.append(f"policy add src {nets[0]} dst {nets[1]} dir {way} tmpl src {src} dst {dst} proto esp "
                                 f"reqid {i} mode tunnel")
            suite.xfrm_batch(host, lines)

    def traffic(self):
        for i in TUNNELS:
            self.west.ns.popen(["ping", "-q", "-i", "0.01", "-s", str(300 * i), "-I", f"10.1.{i}.1", f"10.2.{i}.1"],
                               stdout=-3, stderr=-3)

    def load(self):
        """For pictures: as much as ping does not send."""
        for i, rate in zip(TUNNELS, ("150M", "60M", "20M", "5M")):
            self.east.ns.popen(["iperf3", "-s", "-B", f"10.2.{i}.1"], stdout=-3, stderr=-3)
            time.sleep(0.5)
            self.west.ns.popen(["iperf3", "-c", f"10.2.{i}.1", "-B", f"10.1.{i}.1", "-b", rate, "-t", "300"],
                               stdout=-3, stderr=-3)
        time.sleep(90)

    def picture(self, name):
        folder = os.environ.get("CYGNET_PICTURES")
        if folder:
            self.browser.picture(os.path.join(folder, f"web-{name}.png"))

    def tells(self, prefix):
        return self.browser.run("return Object.fromEntries([...document.querySelectorAll('[data-key]')]"
                                ".filter((n) => n.getAttribute('data-key').startsWith(arguments[0]))"
                                ".map((n) => [n.getAttribute('data-key'), n.getAttribute('data-tell')]))", prefix)

    def agrees(self):
        """True: each SA of `cygnet -j sa` is on the map, where the command says that it runs."""
        told = self.tells("SA ")
        reports = self.west.show("sa")
        shown = 0
        for sa in reports:
            for half in sa["placements"]:
                text = told.pop(f'SA {sa["src"]} {sa["dst"]} esp {sa["spi"]} {half["direction"]}', None)
                if text is None:
                    continue  # the half of an SA that is used the other way
                where = half["device"] or half["engine"]
                if f'Runs as {PLACES[half["effective"]]} on {where}' not in text or half["explanation"] not in text:
                    return False
                shown += 1
        return shown == len(reports) == 2 * len(TUNNELS) and not told

    def test_page(self):
        self.browser.open()
        self.browser.wait("return !document.getElementById('flows-empty').hidden", "the page of an empty daemon")
        self.assertIn("No SA exists", self.browser.run("return document.getElementById('flows-empty').textContent"))
        self.picture("empty")
        self.install()
        self.traffic()
        self.wait_for(self.agrees, "the SAs on the page", 20)
        places = self.browser.run("return document.querySelector('[data-key=\"tile places\"]').textContent")
        self.assertIn("4 crypto offload", places)
        self.browser.wait("return [...document.querySelectorAll('.tile .value')].slice(0, 2)"
                          ".every((n) => parseFloat(n.textContent) > 1)", "rates both ways")
        self.compare_numbers()
        if os.environ.get("CYGNET_PICTURES"):
            self.load()
        self.picture("load")
        self.fault()
        self.phone()
        self.away()
        self.assertEqual([c for c in self.browser.complaints() if "ERR_" not in c["message"]], [])

    def compare_numbers(self):
        """Sums that do not move: slots, and the keys that are held."""
        offload = self.west.show("dev")[0]["offload"]
        self.assertEqual((offload["outbound_used"], offload["inbound_used"]), (2, 2))
        tells = self.tells("slots ")
        self.assertTrue(tells["slots out"].startswith("out: 2 of 2 slots"), tells)
        held = [k for k in self.west.show("ledger", "current") if k["kind"] == "key"]
        keys = self.tells("key ")
        for key in held:
            name = f'key {key["holder"]} {key["spi"]} {key["direction"]} {key["from_ms"]}'
            self.assertIn("holds it now", keys.get(name, f"{name} is not on the page"))

    def fault(self):
        self.west.text("sim", "dev", "nic0", "reset", "8000")
        self.browser.wait("const text = document.getElementById('marks').textContent;"
                          "return text.includes('fault') && text.includes('move')", "the marks of the fault")
        self.wait_for(self.agrees, "the moved SAs on the page", 20)
        self.assertNotIn("crypto", {sa["placements"][0]["effective"] for sa in self.west.show("sa")})
        self.assertIn("resetting", self.browser.run("return document.getElementById('devices').textContent"))
        if os.environ.get("CYGNET_PICTURES"):
            self.picture("fault")
            self.browser.emulate(1280, 1500, "dark")
            time.sleep(1)
            self.picture("dark")
        self.browser.wait("return document.getElementById('marks').textContent.includes('over')", "the end of the fault")

    def phone(self):
        self.browser.emulate(380, 800)
        time.sleep(1.2)
        wide = self.browser.run("return [document.scrollingElement.scrollWidth, innerWidth]")
        self.assertLessEqual(wide[0], wide[1], "the page is wider than a phone")
        self.assertEqual(self.browser.run("return document.querySelectorAll('#flow-list .flow').length"), 8)
        self.picture("phone")
        self.browser.emulate(1280, 1500)

    def away(self):
        self.west.ended_by_test = True
        labkit.end(self.west.daemon)
        self.browser.wait("return !document.getElementById('away').hidden", "the page without a daemon")
        self.assertIn("cygnetd cannot be read", self.browser.run("return document.getElementById('away').textContent"))


if __name__ == "__main__":
    missing = labkit.have("chromium", "chromedriver")
    if missing:
        print(f"skipped: {', '.join(missing)} not installed (chromium, chromium-driver)", file=sys.stderr)
        sys.exit(suite.SKIPPED)
    suite.main()
