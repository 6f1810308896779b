"""Real etcd servers for a test, with TLS, each in a network namespace of its own; and the switch between
namespaces.
"""

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess

import labkit
import suite
from labkit import LabError, Namespace
from rawwire import inside, sysctl

ETCD, ETCDCTL = "/usr/bin/etcd", "/usr/bin/etcdctl"
CLUSTER = "test"
PREFIX = f"/cygnet/v1/{CLUSTER}/"


def missing():
    """What is not installed, or None."""
    programs = labkit.have("etcd", "etcdctl", "openssl", "nft")
    return f"not installed: {', '.join(programs)}" if programs else None


class Switch:
    """A namespace with bridges."""

    def __init__(self, *bridges):
        self.ns = Namespace("switch")
        sysctl(self.ns, "net.ipv6.conf.default.disable_ipv6", 1)
        for bridge in bridges:
            self.ns.ip(f"link add {bridge} type bridge mcast_snooping 0")
            self.ns.ip(f"link set {bridge} up")

    def plug(self, ns, bridge, name, address=""):
        """Interface `bridge` in that namespace, port `bridge`-`name` here."""
        port = f"{bridge}-{name}"
        sysctl(ns, "net.ipv6.conf.default.disable_ipv6", 1)
        self.ns.ip(f"link add {port} type veth peer name {bridge} netns {ns.holder.pid}")
        self.ns.ip(f"link set {port} master {bridge} up")
        ns.ip(f"link set {bridge} up")
        if address:
            ns.ip(f"addr add {address} dev {bridge}")

    def close(self):
        self.ns.close()


def openssl(*args):
    result = subprocess.run(["openssl", *args], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise LabError(f"openssl {args[0]}: {result.stderr.strip()}")


def make_certificates(folder, addresses):
    """ca.pem; server.pem for `addresses`; node.pem for clients. Keys are NAME.key."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem", "-days",
            "2", "-subj", "/CN=test CA")
    names = ",".join(f"IP:{address}" for address in ("127.0.0.1", *addresses))
    for name, extension in (("server", f"subjectAltName={names}"), ("node", "basicConstraints=CA:FALSE")):
        openssl("req", *key, "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.csr", "-subj",
                f"/CN={name}")
        with open(f"{folder}/{name}.ext", "w", encoding="ascii") as f:
            f.write(extension + "\n")
        openssl("x509", "-req", "-in", f"{folder}/{name}.csr", "-CA", f"{folder}/ca.pem", "-CAkey",
                f"{folder}/ca.key", "-CAcreateserial", "-out", f"{folder}/{name}.pem", "-days", "2",
                "-extfile", f"{folder}/{name}.ext")


class Etcd:
    """One server in a namespace of its own, with TLS for clients and for the other servers."""

    def __init__(self, name, address, switch, folder):
        self.name, self.address, self.folder = name, address, folder
        self.ns = Namespace(name)
        switch.plug(self.ns, "mgmt", name, f"{address}/24")
        self.data = os.path.join(folder, f"{name}.data")
        self.log_path = os.path.join(folder, f"{name}.log")
        self.process = None
        self.environment = dict(os.environ)

    @property
    def url(self):
        return f"https://{self.address}:2379"

    def start(self, members, state="new"):
        """`members`: all servers."""
        files = [f"--{kind}{what}={self.folder}/{name}" for kind in ("", "peer-") for what, name in (
            ("cert-file", "server.pem"), ("key-file", "server.key"), ("trusted-ca-file", "ca.pem"))]
        argv = [ETCD, "--name", self.name, "--data-dir", self.data, "--client-cert-auth",
                "--listen-client-urls", f"{self.url},https://127.0.0.1:2379",
                "--advertise-client-urls", self.url,
                "--listen-peer-urls", f"https://{self.address}:2380",
                "--initial-advertise-peer-urls", f"https://{self.address}:2380",
                "--initial-cluster", ",".join(f"{m.name}=https://{m.address}:2380" for m in members),
                "--initial-cluster-state", state, "--logger", "zap", *files]
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = self.ns.popen(argv, stdout=log, stderr=log, env=self.environment)

    def signal(self, sig):
        self.process.send_signal(sig)

    def kill(self):
        labkit.end(self.process, signal.SIGKILL)

    def wipe(self):
        shutil.rmtree(self.data)

    def ctl(self, *args, check=True):
        return self.ns.run([ETCDCTL, "--endpoints", "https://127.0.0.1:2379", "--cacert",
                            f"{self.folder}/ca.pem", "--cert", f"{self.folder}/node.pem", "--key",
                            f"{self.folder}/node.key", *args], check=check,
                           env={**os.environ, "ETCDCTL_API": "3"}).stdout

    def post(self, path, body, timeout=5):
        """A call of the JSON gateway."""
        context = ssl.create_default_context(cafile=f"{self.folder}/ca.pem")
        context.load_cert_chain(f"{self.folder}/node.pem", f"{self.folder}/node.key")
        with inside(self.ns):
            link = http.client.HTTPSConnection("127.0.0.1", 2379, timeout=timeout, context=context)
            link.connect()
        with contextlib.closing(link):
            link.request("POST", path, json.dumps(body))
            return json.loads(link.getresponse().read())

    def healthy(self):
        try:
            return "header" in self.post("/v3/kv/range", {"key": "AA=="}, timeout=2)
        except (OSError, ValueError):
            return False

    def leads(self):
        status = self.post("/v3/maintenance/status", {})
        return status["leader"] == status["header"]["member_id"]

    def close(self):
        if self.process is not None:
            labkit.end(self.process, signal.SIGKILL)
        self.ns.close()


class Store:
    """The servers as one store."""

    def __init__(self, switch, folder, count):
        addresses = [f"10.9.0.{i + 1}" for i in range(count)]
        make_certificates(folder, addresses)
        self.servers = [Etcd(f"etcd{i + 1}", address, switch, folder)
                        for i, address in enumerate(addresses)]

    def start(self):
        for server in self.servers:
            server.start(self.servers)
        self.wait()

    def wait(self):
        labkit.wait_for(lambda: all(s.healthy() for s in self.servers), 30 * suite.SLOWNESS, "etcd")

    def get(self, key):
        """{key: value} below the cluster's prefix."""
        first = (PREFIX + key).encode()
        body = {"key": base64.b64encode(first).decode(),
                "range_end": base64.b64encode(first[:-1] + bytes([first[-1] + 1])).decode()}
        rows = self.any().post("/v3/kv/range", body).get("kvs", [])
        return {base64.b64decode(row["key"]).decode()[len(PREFIX):]: base64.b64decode(row.get("value", ""))
                for row in rows}

    def any(self):
        return next(s for s in self.servers if s.healthy())

    def owner(self, group="vpn"):
        """The owner's key as JSON; {}: there is none."""
        return json.loads(self.get(f"group/{group}/owner").get(f"group/{group}/owner", "{}"))

    def leader(self):
        return next(s for s in self.servers if s.leads())

    def close(self):
        for server in self.servers:
            server.close()
