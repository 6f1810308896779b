"""cygnet-web for the tests: started in the host's namespace, asked over HTTP, and looked at in Debian's
Chromium, which ChromeDriver drives (WebDriver over HTTP, no further library).
"""

import base64
import datetime
import http.client
import json
import os
import pwd
import shutil
import tempfile
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import labkit
from rawwire import inside

PORT = 9470


class Server:
    """cygnet-web in the namespace of a host."""

    def __init__(self, host, *options, history=True):
        self.host = host
        # Root becomes another user; in a user namespace there is only one.
        self.user = "root" if labkit.in_user_namespace() else "nobody"
        self.folder = tempfile.mkdtemp(prefix="cygnet-web-")
        if self.user != "root":
            entry = pwd.getpwnam(self.user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self.log_path = os.path.join(host.workdir, "web.log")
        argv = [host.cygnet.web, "--user", self.user, *options]
        if history:
            argv += ["--history", os.path.join(self.folder, "history.db")]
        with open(self.log_path, "w", encoding="utf-8") as log:
            self.process = host.ns.popen(argv, stdout=log, stderr=log)
        labkit.wait_for(lambda: "listening on" in self.log() or self.process.poll() is not None, 30, "cygnet-web")
        if self.process.poll() is not None:
            raise labkit.LabError(f"cygnet-web ended: {self.log()}")

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def ask(self, path, method="GET", headers=None, timeout=20):
        """(status, headers, body)"""
        with inside(self.host.ns):
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=timeout)
            connection.connect()
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), body

    def text(self, path):
        status, _, body = self.ask(path)
        assert status == 200, (path, status, body)
        return body.decode()

    def look(self):
        return json.loads(self.text("/api/look"))

    def end(self):
        return labkit.end(self.process)

    def close(self):
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)


def make_certificate(key_path, certificate_path):
    """A certificate for localhost that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
                   .sign(key, hashes.SHA256()))
    with open(key_path, "wb") as f:
        f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                  serialization.NoEncryption()))
    with open(certificate_path, "wb") as f:
        f.write(certificate.public_bytes(serialization.Encoding.PEM))


class Browser:
    """Chromium without a window, in the namespace of a host."""

    def __init__(self, host, width=1280, height=1500, dark=False):
        self.host = host
        self.profile = tempfile.mkdtemp(prefix="cygnet-browser-")
        self.driver = host.ns.popen(["chromedriver", "--port=9515", "--silent"], env={**os.environ, "HOME": self.profile})
        labkit.wait_for(self._ready, 30, "chromedriver")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 "--disable-dev-shm-usage", "--hide-scrollbars", f"--user-data-dir={self.profile}/data",
                 f"--window-size={width},{height}"]
        if dark:
            flags.append("--force-dark-mode")
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = "/session/" + answer["sessionId"]

    def _ready(self):
        try:
            return self._call("GET", "/status")["ready"]
        except OSError:
            return False

    def _call(self, method, path, body=None):
        with inside(self.host.ns):
            connection = http.client.HTTPConnection("127.0.0.1", 9515, timeout=90)
            connection.connect()
        connection.request(method, path, None if body is None else json.dumps(body),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        value = json.loads(answer.read())["value"]
        connection.close()
        if answer.status != 200:
            raise labkit.LabError(f"{path}: {value}")
        return value

    def open(self, path="/"):
        self._call("POST", self.session + "/url", {"url": f"http://127.0.0.1:{PORT}{path}"})

    def run(self, script, *args):
        return self._call("POST", self.session + "/execute/sync", {"script": script, "args": list(args)})

    def emulate(self, width, height, scheme="light"):
        """A screen of this size, as on a phone, and the user's wish for light or dark."""
        for name, parameters in (
                ("Emulation.setDeviceMetricsOverride",
                 {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}),
                ("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})):
            self._call("POST", self.session + "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def picture(self, path, whole=True):
        parameters = {"format": "png", "captureBeyondViewport": whole}
        data = self._call("POST", self.session + "/goog/cdp/execute",
                          {"cmd": "Page.captureScreenshot", "params": parameters})["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def complaints(self):
        """What the browser complained of: scripts that failed, resources that were refused."""
        return self._call("POST", self.session + "/se/log", {"type": "browser"})

    def wait(self, script, what, timeout=20):
        return labkit.wait_for(lambda: self.run(script), timeout, what)

    def close(self):
        try:
            self._call("DELETE", self.session)
        except (OSError, labkit.LabError):
            pass
        labkit.end(self.driver)
        time.sleep(0.1)
        shutil.rmtree(self.profile, ignore_errors=True)
