"""The lab behind tools/lab: two hosts, an ESP tunnel, its proof and its measurements."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "interop"))
import labkit  # noqa: E402
from labkit import Cygnet, Host, LabError  # noqa: E402

MARK = b"Cygnet"  # payload of the pings: visible in captures of clear packets only
STATE = os.path.join(os.environ.get("XDG_RUNTIME_DIR", "/tmp"), f"cygnet-lab-{os.getuid()}.json")


class Expectations:
    """The conditions that must hold. They determine the exit status."""

    def __init__(self):
        self.failed = []
        self.held = 0

    def check(self, ok, text):
        if ok:
            self.held += 1
        else:
            self.failed.append(text)
        print(f"  [{'ok' if ok else 'FAILED'}] {text}")
        return ok


def say(text):
    print(f"\n== {text}", flush=True)


class Plan:
    """Addresses and keys of one run."""

    def __init__(self, family, mode):
        self.family = family
        self.mode = mode
        v4 = family == 4
        self.outer = ["192.0.2.1", "192.0.2.2"] if v4 else ["2001:db8::1", "2001:db8::2"]
        self.outer_bits = 24 if v4 else 64
        self.nets = ["10.1.0.0/16", "10.2.0.0/16"] if v4 else ["fd00:1::/32", "fd00:2::/32"]
        self.inner = ["10.1.0.1", "10.2.0.1"] if v4 else ["fd00:1::1", "fd00:2::1"]
        self.second = ["10.1.0.9", "10.2.0.9"] if v4 else ["fd00:1::9", "fd00:2::9"]
        self.host_bits = 32 if v4 else 128
        if mode == "transport":
            self.nets = [f"{a}/{self.host_bits}" for a in self.outer]
            self.inner = list(self.outer)
        self.keys = {}

    def key(self, name):
        if name not in self.keys:
            self.keys[name] = "0x" + os.urandom(20).hex()
        return self.keys[name]


class Lab:
    def __init__(self, args, sa_limit=1024):
        self.args = args
        self.plan = Plan(args.family, args.mode)
        self.dir = tempfile.mkdtemp(prefix="cygnet-lab-")
        cygnet = Cygnet(args.build)
        self.west = Host("west", cygnet, self.dir, args.keep)
        self.east = Host("east", cygnet, self.dir, args.keep)
        self.hosts = [self.west, self.east]
        labkit.connect(self.west, self.east)
        for host in self.hosts:
            host.start([{"offload": args.offload, "sa_limit": sa_limit}])
        self.configure_addresses()

    def configure_addresses(self):
        plan = self.plan
        flags = "nodad" if plan.family == 6 else ""
        for i, host in enumerate(self.hosts):
            host.ns.ip(f"addr add {plan.outer[i]}/{plan.outer_bits} dev nic0 {flags}")
            if plan.mode == "tunnel":
                for address in (plan.inner[i], plan.second[i]):
                    host.ns.ip(f"addr add {address}/{plan.host_bits} dev lo {flags}")
                host.ns.ip(f"route add {plan.nets[1 - i]} via {plan.outer[1 - i]} dev nic0 "
                           f"src {plan.inner[i]}")

    def sa(self, host, sender, spi, reqid, key, direction, esn=True):
        plan = self.plan
        words = ["state", "add", "src", plan.outer[sender], "dst", plan.outer[1 - sender],
                 "proto", "esp", "spi", spi, "reqid", str(reqid), "mode", plan.mode,
                 "replay-window", "128"]
        if esn:
            words += ["flag", "esn"]
        words += ["aead", "rfc4106(gcm(aes))", key, "128"]
        if self.args.offload == "crypto":
            words += ["offload", "dev", "nic0", "dir", direction]
        host.xfrm(words)

    def policies(self, host, me, source, destination, reqid):
        """Policies of this host: out for sent packets, in and fwd for received ones."""
        plan = self.plan
        for direction, src, dst, sender in (("out", source, destination, me),
                                            ("in", destination, source, 1 - me),
                                            ("fwd", destination, source, 1 - me)):
            tmpl = ["tmpl"]
            if plan.mode == "tunnel":
                tmpl += ["src", plan.outer[sender], "dst", plan.outer[1 - sender]]
            tmpl += ["proto", "esp", "reqid", str(reqid), "mode", plan.mode]
            host.xfrm(["policy", "add", "src", src, "dst", dst, "dir", direction, *tmpl])

    def tunnel(self, reqid, spis, nets):
        """SAs and policies of one flow, on both hosts. spis: west to east, east to west."""
        for me, host in enumerate(self.hosts):
            self.sa(host, me, spis[me], reqid, self.plan.key(spis[me]), "out")
            self.sa(host, 1 - me, spis[1 - me], reqid, self.plan.key(spis[1 - me]), "in")
            self.policies(host, me, nets[me], nets[1 - me], reqid)

    def ping(self, source, destination, count=10, check=True):
        """Returns the loss in percent."""
        pattern = (MARK * 3)[:16].hex()
        result = self.west.ns.run(["ping", f"-{self.plan.family}", "-n", "-c", str(count), "-i", "0.1",
                                   "-W", "2", "-p", pattern, "-I", source, destination], check=False)
        text = result.stdout
        if "% packet loss" not in text:
            if check:
                raise LabError(f"ping {destination}: {result.stderr or text}")
            return 100.0
        return float(text.split("% packet loss")[0].split()[-1])

    def iperf(self, reverse, udp):
        """One iperf3 run between west and east. Returns the receiver's summary."""
        server = self.east.ns.popen(["iperf3", "-s", "-1", "-B", self.plan.inner[1]],
                                    stdout=subprocess.DEVNULL)
        time.sleep(0.4)
        argv = ["iperf3", "-J", "-c", self.plan.inner[1], "-B", self.plan.inner[0],
                "-t", str(self.args.seconds)]
        argv += ["-R"] if reverse else []
        argv += ["-u", "-b", self.args.udp_rate, "-l", "1300"] if udp else []
        result = self.west.ns.run(argv, check=False, timeout=self.args.seconds + 60)
        try:
            server.wait(5)  # with -1 it ends after one test
        except subprocess.TimeoutExpired:
            labkit.end(server)
        try:
            report = json.loads(result.stdout)
        except ValueError:
            raise LabError(f"iperf3: {result.stderr or result.stdout[-300:]}") from None
        if "error" in report:
            raise LabError(f"iperf3: {report['error']}")
        end = report["end"]
        return end["sum"] if udp else end["sum_received"]

    def close(self):
        for host in self.hosts:
            host.close()
        shutil.rmtree(self.dir, ignore_errors=True)


# --- The proof: frames on the wire, and frames that the host hands to the device ---

def start_captures(lab):
    wire = os.path.join(lab.dir, "wire.pcap")
    host = os.path.join(lab.dir, "host.pcapng")
    tcpdump = lab.west.ns.popen(labkit.capture_command("wire0", wire), stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
    capture = lab.west.ns.popen([lab.west.cygnet.command, "capture", "dev", "nic0", "side", "host",
                                 "write", host], stdout=subprocess.DEVNULL)
    time.sleep(0.7)
    return wire, host, tcpdump, capture


def stop_captures(tcpdump, capture):
    time.sleep(0.5)
    labkit.end(tcpdump)
    labkit.end(capture, labkit.signal.SIGINT)


def esp_filter(lab):
    return "esp" if lab.plan.family == 4 else "ip6 proto 50"


def read_capture(path):
    with open(path, "rb") as f:
        return f.read()


def show_packet(lab, path, title):
    """Prints the first ESP packet with a ping, as shown by tcpdump."""
    print(f"\n  {title}")
    argv = labkit.tcpdump_command(path, "-t", "-x", "-c", "1", esp_filter(lab))
    text = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    for line in text.splitlines()[:9]:
        print("    " + line.rstrip())


def decrypt(lab, wire):
    """Decrypts the wire capture by tshark with the SAs' keys. Returns the lines of ICMP."""
    family = "IPv4" if lab.plan.family == 4 else "IPv6"
    argv = ["tshark", "-r", wire, "-o", "esp.enable_encryption_decode:TRUE",
            "-o", "esp.enable_null_encryption_decode_heuristic:FALSE"]
    for sa in lab.west.show("sa", "--show-keys"):
        row = [family, sa["src"], sa["dst"], sa["spi"], "AES-GCM with 16 octet ICV [RFC4106]",
               sa["aead"]["key"], "NULL", "", "64-bit", ""]
        argv += ["-o", "uat:esp_sa:" + ",".join(f'"{column}"' for column in row)]
    argv += ["-Y", "icmp.type == 8 || icmp.type == 0" if lab.plan.family == 4
             else "icmpv6.type == 128 || icmpv6.type == 129"]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    return [line for line in result.stdout.splitlines() if line.strip()]


def prove(lab, expect, wire, host):
    say("proof: the same ping on both sides of the device (west)")
    show_packet(lab, wire, "wire side, tcpdump -x on wire0: ESP, ciphertext")
    offloaded = lab.args.offload != "no"
    show_packet(lab, host, "host side of nic0, cygnet capture | tcpdump -x: ESP header, "
                + ("plaintext payload" if offloaded else "ciphertext (sealed before the device)"))
    lines = decrypt(lab, wire)
    print("\n  tshark, wire capture and the SAs' keys:")
    for line in lines[:4]:
        print("    " + line.strip())
    print()
    expect.check(MARK not in read_capture(wire), "no plaintext of the ping on the wire")
    expect.check((MARK in read_capture(host)) == offloaded,
                 "plaintext behind the ESP header on the host side of the device" if offloaded
                 else "ciphertext on the host side too: the device does not seal")
    expect.check(any("request" in line for line in lines) and any("reply" in line for line in lines),
                 "tshark decrypts the wire capture to the original ICMP")


# --- The report ---

def report_sas(lab):
    say("security associations")
    for host in lab.hosts:
        print(f"  {host.name}")
        for line in host.text("sa").splitlines():
            print("    " + line)


def report_devices(lab):
    say("devices")
    for host in lab.hosts:
        print(f"  {host.name}")
        for line in host.text("dev").splitlines():
            print("    " + line)


def report_counters(lab, expect):
    say("XFRM counters (only nonzero)")
    for host in lab.hosts:
        counters = host.xfrm_stat()
        print(f"  {host.name}: " + (", ".join(f"{k} {v}" for k, v in counters.items()) or "all 0"))
        other = {k: v for k, v in host.drops().items()}
        if other:
            print("        drops: " + ", ".join(f"{k} {v}" for k, v in other.items()))
        expect.check(not counters, f"{host.name}: no XFRM error counter was raised")


def used_placement(sa):
    """The half of the SA that carries packets on the reporting host."""
    halves = sa["placements"]
    asked = sa.get("offload_requested")
    if len(halves) == 1 or asked is None:
        offloaded = [p for p in halves if p["effective"] == "crypto"]
        return (offloaded or halves)[0]
    return next(p for p in halves if p["direction"] == asked["dir"])


def check_placement(lab, expect):
    offloaded = lab.args.offload != "no"
    for host in lab.hosts:
        places = [used_placement(sa) for sa in host.show("sa")]
        where = {p["effective"] for p in places}
        expect.check(where == {"crypto" if offloaded else "software"},
                     f"{host.name}: every SA runs " + ("in the device" if offloaded else "in software"))
        device = host.show("dev")[0]["offload"]
        if offloaded:
            expect.check(device["sealed"] > 0 and device["opened"] > 0,
                         f"{host.name}: the device sealed {device['sealed']} and opened "
                         f"{device['opened']} packets")
        else:
            expect.check(device["sealed"] == 0 and device["opened"] == 0,
                         f"{host.name}: the device did not seal or open packets")


def measure(lab, expect):
    say(f"throughput, iperf3 {lab.args.seconds} s each")
    for udp in (False, True):
        for reverse in (False, True):
            name = ("UDP " if udp else "TCP ") + ("east → west" if reverse else "west → east")
            result = lab.iperf(reverse, udp)
            rate = result["bits_per_second"] / 1e6
            extra = f", {result['lost_percent']:.2f} % lost at {lab.args.udp_rate}bit/s" if udp else ""
            print(f"  {name}: {rate:8.1f} Mbit/s{extra}", flush=True)
            expect.check(rate > 1, f"{name} moves traffic")


def main_case(args, expect):
    say(f"west and east: {args.mode} mode, IPv{args.family}, offload {args.offload}")
    lab = Lab(args)
    try:
        lab.tunnel(1, ["0x1001", "0x2001"], lab.plan.nets)
        wire, host, tcpdump, capture = start_captures(lab)
        loss = lab.ping(lab.plan.inner[0], lab.plan.inner[1], 20)
        stop_captures(tcpdump, capture)
        expect.check(loss == 0, f"ping through the tunnel: {loss:g} % lost")
        prove(lab, expect, wire, host)
        measure(lab, expect)
        report_sas(lab)
        report_devices(lab)
        check_placement(lab, expect)
        report_counters(lab, expect)
        if args.keep:
            keep(lab)
            return
    except BaseException:
        for one in lab.hosts:
            sys.stderr.write(f"--- log of {one.name}\n{one.log()[-3000:]}")
        lab.close()
        raise
    lab.close()


def full_table_case(args, expect):
    say("a device with a full SA table: 1 slot and 2 SAs in each direction")
    args = argparse.Namespace(**{**vars(args), "offload": "crypto", "mode": "tunnel", "keep": False})
    lab = Lab(args, sa_limit=1)
    try:
        plan = lab.plan
        bits = plan.host_bits
        lab.tunnel(1, ["0x1001", "0x2001"], [f"{a}/{bits}" for a in plan.inner])
        lab.tunnel(2, ["0x1002", "0x2002"], [f"{a}/{bits}" for a in plan.second])
        first = lab.ping(plan.inner[0], plan.inner[1])
        second = lab.ping(plan.second[0], plan.second[1])
        for sa in sorted(lab.west.show("sa"), key=lambda s: s["spi"]):
            place = used_placement(sa)
            print(f"  west {sa['spi']} {place['direction']:3}: requested {place['requested']}, runs "
                  f"{place['effective']} ({place['reason']}: {place['explanation']}), "
                  f"{sa['usage']['packets']} packets")
        expect.check(first == 0 and second == 0, "both flows pass traffic without loss")
        for host in lab.hosts:
            places = {sa["spi"]: used_placement(sa) for sa in host.show("sa")}
            expect.check(all(places[s]["effective"] == "crypto" for s in ("0x00001001", "0x00002001")),
                         f"{host.name}: the first SA of each direction is in the device")
            expect.check(all(places[s]["effective"] == "software" and places[s]["reason"] == "table-full"
                             for s in ("0x00001002", "0x00002002")),
                         f"{host.name}: the second is in software, reason table-full")
            expect.check(host.show("dev")[0]["offload"]["refusals"] == 2,
                         f"{host.name}: the device counted 2 refusals")
    finally:
        lab.close()


# --- Keeping the lab ---

def keep(lab):
    pids = [p.pid for host in lab.hosts for p in (host.daemon, host.ns.holder)]
    with open(STATE, "w", encoding="utf-8") as f:
        json.dump({"pids": [[pid, start_time(pid)] for pid in pids], "dir": lab.dir}, f)
    say("left running")
    user = "" if os.environ.get("SUDO_USER") or not labkit.in_user_namespace() else "--user --preserve-credentials "
    for host in lab.hosts:
        print(f"  enter {host.name}:  nsenter -t {host.ns.holder.pid} {user}--net")
    print(f"  in there:    {lab.west.cygnet.command} sa")
    print("  end it:      tools/lab --stop")


def start_time(pid):
    """Start time of the process in clock ticks. It distinguishes processes that had the same pid."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


def stop_kept():
    """Ends the processes of an earlier run with --keep, by pid and start time."""
    try:
        with open(STATE, encoding="utf-8") as f:
            state = json.load(f)
    except OSError:
        return False
    for pid, started in state["pids"]:
        if started is not None and start_time(pid) == started:
            os.kill(pid, labkit.signal.SIGTERM)
    shutil.rmtree(state["dir"], ignore_errors=True)
    os.unlink(STATE)
    return True


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="tools/lab", description="Two hosts, an ESP tunnel with NIC offload, and a proof of it.")
    parser.add_argument("--build", default="build/release", help=argparse.SUPPRESS)
    parser.add_argument("--offload", choices=["no", "crypto", "auto"], default="crypto",
                        help="no: software; crypto: every SA requests the device; auto: the device "
                             "accepts what it can without requests (default: crypto)")
    parser.add_argument("--family", type=int, choices=[4, 6], default=4)
    parser.add_argument("--mode", choices=["tunnel", "transport"], default="tunnel")
    parser.add_argument("--seconds", type=int, default=5, help="duration of each iperf3 run (default: 5)")
    parser.add_argument("--udp-rate", default="200M", help="rate of the UDP runs (default: 200M)")
    parser.add_argument("--keep", action="store_true", help="keep it running and print how to enter")
    parser.add_argument("--stop", action="store_true", help="end the lab that --keep left running")
    return parser.parse_args(argv)


def main(argv):
    args = parse(argv)
    if args.stop:
        print("stopped" if stop_kept() else "no lab is running")
        return 0
    if not os.environ.get("CYGNET_LAB_INSIDE"):
        stop_kept()
        os.environ["CYGNET_LAB_INSIDE"] = "1"
    try:
        labkit.reexec_in_user_namespace()
        expect = Expectations()
        if not args.keep:
            full_table_case(args, expect)
        main_case(args, expect)
    except LabError as error:
        print(f"\nlab: {error}", file=sys.stderr)
        return 1
    say(f"{expect.held} expectations held, {len(expect.failed)} failed")
    for text in expect.failed:
        print(f"  failed: {text}")
    return 1 if expect.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
