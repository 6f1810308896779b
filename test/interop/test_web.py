#!/usr/bin/python3
"""cygnet-web over HTTP, with traffic: what it serves agrees with `cygnet -j`, what it refuses, and who it is."""

import base64
import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import unittest

import labkit
import suite
import webkit
from rawwire import inside
from webkit import PORT, Server
from wirehost import INNER_PEER, SPI_OUT, WireHost

UNPACKED = os.path.join(os.path.dirname(__file__), "../../build/packages/prometheus/usr/bin/promtool")
PROMTOOL = shutil.which("promtool") or (UNPACKED if os.access(UNPACKED, os.X_OK) else None)
CAP_NET_ADMIN = 1 << 12


def capabilities(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        fields = dict(line.split(":", 1) for line in f)
    return {name: int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}, fields


class Web(WireHost, suite.Case):
    offload = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.web = cls.own(Server(cls.host))

    def send_out(self, count):
        for _ in range(count):
            self.udp.sendto(b"x" * 100, (INNER_PEER, 9))
        self.wait_for(lambda: self.sa_report(SPI_OUT)["usage"]["packets"] >= count, "the packets")

    def plain(self, data, timeout=10):
        """What comes back for these bytes, until the server closes."""
        with inside(self.host.ns):
            peer = socket.create_connection(("127.0.0.1", PORT), timeout=timeout)
        with peer:
            peer.sendall(data)
            got = b""
            while piece := peer.recv(65536):
                got += piece
            return got

    def test_numbers_agree_with_the_command(self):
        self.send_out(50)
        sa = self.sa_report(SPI_OUT)
        time.sleep(1.1)  # a look may be one second old
        text = self.web.text("/metrics")
        self.assertRegex(text, rf'cygnet_sa_packets_total{{[^}}]*spi="{sa["spi"]}"}} {sa["usage"]["packets"]}\n')
        self.assertIn("cygnet_daemon_up 1\n", text)
        self.assertIn("node_xfrm_in_no_states_packets_total ", text)
        command = self.host.text("metrics")

        def family(name):
            return sorted(line for line in text.splitlines() if line.startswith(name))
        for name in ("cygnet_sas{", "cygnet_sa_halves{", "cygnet_device_sa_slots_used", "cygnet_packets_sealed_total",
                     "cygnet_key_holders", "cygnet_drops_total"):
            self.assertTrue(family(name), name)
            self.assertEqual(family(name), sorted(line for line in command.splitlines() if line.startswith(name)))
        look = self.web.look()
        (flow,) = [f for f in look["flows"] if f["spi"] == sa["spi"]]
        for field in ("usage", "src", "dst", "mode", "reqid"):
            self.assertEqual(flow[field], sa[field])
        for field in ("effective", "device", "reason", "explanation"):
            self.assertEqual(flow[field], sa["placements"][0][field])
        self.assertEqual(len(flow["policies"]), 1)

    @unittest.skipUnless(PROMTOOL, "promtool is not there")
    def test_promtool_finds_nothing(self):
        self.send_out(5)
        for text in (self.web.text("/metrics"), self.host.text("metrics")):
            done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_headers_of_the_page(self):
        status, headers, body = self.web.ask("/")
        self.assertEqual(status, 200)
        policy = headers["Content-Security-Policy"]
        self.assertTrue(policy.startswith("default-src 'none'; script-src 'self';"), policy)
        self.assertNotIn("unsafe", policy)
        for name in ("Access-Control-Allow-Origin", "Server", "Set-Cookie"):
            self.assertNotIn(name, headers)
        page = body.decode()
        self.assertNotRegex(page, r"<script(?![^>]*src=)|\son\w+=|style=")
        for path in re.findall(r'(?:src|href)="([^"]+)"', page):
            self.assertEqual(self.web.ask(path)[0], 200, path)
        self.assertEqual(self.web.ask("/etc/passwd")[0], 404)
        self.assertEqual(self.web.ask("/../../etc/passwd")[0], 404)

    def test_refusals(self):
        self.assertEqual(self.web.ask("/metrics", headers={"Host": "evil.example.net"})[0], 421)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            self.assertEqual(self.web.ask("/api/look", method)[0], 405, method)
        self.assertEqual(self.web.ask("/events", headers={"Sec-Fetch-Site": "cross-site"})[0], 403)
        self.assertEqual(self.web.ask("/api/history?hours=x")[0], 400)
        self.assertEqual(self.web.ask("/api/history?hours=100000")[0], 400)
        self.assertEqual(self.web.ask("/api/history?hours=744")[0], 200)
        # Too long, not HTTP, a body that nobody asked for.
        long = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(3000)) + b"\r\n"
        for data in (long, b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\0\r\n\r\n",
                     b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"):
            try:
                self.assertNotIn(b"200 OK", self.plain(data))
            except ConnectionError:
                pass
        # Parts of a page many times over.
        many = self.plain(b"GET /charts.js HTTP/1.1\r\nHost: localhost\r\nRange: bytes=" + b"0-," * 2000 + b"0-\r\n\r\n")
        self.assertLess(len(many), 50_000)
        self.assertEqual(self.web.ask("/")[0], 200)

    def test_slow_clients_and_open_pages_leave_room(self):
        slow = []
        with inside(self.host.ns):
            for _ in range(26):
                slow.append(socket.create_connection(("127.0.0.1", PORT), timeout=10))
        for peer in slow:
            peer.sendall(b"GET / HTTP/1.1\r\nHost:")
        begin = time.monotonic()
        self.assertEqual(self.web.ask("/", timeout=40)[0], 200)
        took = time.monotonic() - begin
        for peer in slow:
            peer.close()
        self.assertLess(took, 25 * suite.SLOWNESS)
        pages = []
        with inside(self.host.ns):
            for _ in range(14):
                pages.append(socket.create_connection(("127.0.0.1", PORT), timeout=10))
        answers = []
        for peer in pages:
            peer.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answers.append(peer.recv(12))
        self.assertEqual((answers.count(b"HTTP/1.1 200"), answers.count(b"HTTP/1.1 503")), (12, 2))
        self.assertEqual(self.web.ask("/")[0], 200)
        for peer in pages:
            peer.close()

        def page_again():
            with inside(self.host.ns):
                peer = socket.create_connection(("127.0.0.1", PORT), timeout=10)
            with peer:
                peer.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return b"200 OK" in peer.recv(100)
        self.wait_for(page_again, "room after pages were closed", 15)

    def test_who_it_is(self):
        with open(f"/proc/{self.web.process.pid}/task/{self.web.process.pid}/children", encoding="ascii") as f:
            (reader,) = f.read().split()
        server, fields = capabilities(self.web.process.pid)
        self.assertEqual(set(server.values()), {0})
        self.assertEqual(fields["NoNewPrivs"].strip(), "1")
        self.assertEqual(capabilities(reader)[0],
                         {"CapEff": CAP_NET_ADMIN, "CapPrm": CAP_NET_ADMIN, "CapInh": 0, "CapAmb": 0})
        if self.web.user != "root":
            for pid in (self.web.process.pid, reader):
                with open(f"/proc/{pid}/status", encoding="ascii") as f:
                    self.assertNotIn("Uid:\t0", f.read())

    def test_a_fault_is_a_mark_and_a_move(self):
        self.web.look()
        self.host.text("sim", "dev", "nic0", "reset", "400")

        def kinds():
            return {mark["kind"] for mark in self.web.look()["marks"]}
        self.wait_for(lambda: {"move"} <= kinds(), "the marks")
        self.host.text("sim", "dev", "nic0", "clear")


class Alone(suite.Case):
    """Starts and ends."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host = cls.make_host()
        cls.host.ns.ip("link add wire0 type veth peer name peer0")
        cls.host.ns.ip("link set wire0 up")

    def start(self, *options):
        return self.host.ns.run([self.host.cygnet.web, "--user", "root", *options], check=False, timeout=20)

    def test_beyond_loopback_only_with_tls_and_token(self):
        for address in ("0.0.0.0", "::"):
            done = self.start("--address", address)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("--certificate FILE and --key FILE", done.stderr)
        self.assertEqual(self.host.ns.run("ss -Hltn").stdout, "")

    def test_token_and_tls(self):
        key, certificate, token = (os.path.join(self.workdir, name) for name in ("key", "certificate", "token"))
        webkit.make_certificate(key, certificate)
        secret = os.urandom(32).hex()
        with open(token, "w", encoding="ascii") as f:
            f.write(secret + "\n")
        options = ["--address", "0.0.0.0", "--certificate", certificate, "--key", key, "--token", token]
        os.chmod(token, 0o644)
        done = self.start(*options)
        self.assertIn("chmod 600", done.stderr)
        os.chmod(token, 0o600)
        web = Server(self.host, *options, history=False)
        self.addCleanup(web.close)

        def status(path="/", authorization=None, tls=True):
            context = ssl.create_default_context(cafile=certificate)
            with inside(self.host.ns):
                peer = socket.create_connection(("127.0.0.1", PORT), timeout=10)
            connection = http.client.HTTPConnection("localhost", PORT)
            connection.sock = context.wrap_socket(peer, server_hostname="localhost") if tls else peer
            connection.request("GET", path, headers={"Authorization": authorization} if authorization else {})
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer.status

        def basic(word):
            return "Basic " + base64.b64encode(f"any:{word}".encode()).decode()
        self.assertEqual(status(), 401)
        self.assertEqual(status(authorization=basic(secret)), 200)
        self.assertEqual(status("/metrics", f"Bearer {secret}"), 200)
        self.assertEqual(status(authorization=basic(secret[:-1])), 401)
        with self.assertRaises((OSError, http.client.HTTPException)):
            status(tls=False)

    def test_clients_that_say_nothing_do_not_delay_the_end(self):
        web = Server(self.host)
        self.addCleanup(web.close)
        with inside(self.host.ns):
            idle = [socket.create_connection(("127.0.0.1", PORT), timeout=20) for _ in range(250)]
        # No more than its threads have and than may wait for one: the others were closed.
        self.wait_for(lambda: len(os.listdir(f"/proc/{web.process.pid}/fd")) < 24 + 128 + 30, "a bound")
        begin = time.monotonic()
        web.process.terminate()
        self.assertEqual(web.process.wait(60), 0)
        self.assertLess(time.monotonic() - begin, 12 * suite.SLOWNESS)
        for peer in idle:
            peer.close()

    def test_a_daemon_that_goes_and_comes_back(self):
        web = Server(self.host)
        self.addCleanup(web.close)
        look = web.look()
        self.assertFalse(look["daemon"]["up"])
        self.assertIn("cygnetd", look["daemon"]["error"])
        self.assertTrue(web.text("/metrics").endswith("cygnet_daemon_up 0\n"))
        self.host.start([{"offload": "crypto"}])
        self.wait_for(lambda: web.look()["daemon"]["up"], "the daemon")
        self.assertEqual(web.look()["flows"], [])
        self.host.ended_by_test = True
        labkit.end(self.host.daemon)
        self.wait_for(lambda: not web.look()["daemon"]["up"], "the end of the daemon")
        self.assertIsNone(web.process.poll())
        self.assertEqual(web.end(), 0)


if __name__ == "__main__":
    suite.main()
