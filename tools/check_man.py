#!/usr/bin/env python3
"""Checks that the manual pages compile and name what the sources have: reasons, counters, fields of JSON and of the
ledger, faults of the software NIC, exit statuses.

The keys of cygnetd.toml are held to their tables by daemon_config_test, the words of cygnet by cli_test."""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAN = ROOT / "doc" / "man"
# Drop reasons that concern placement.
PLACEMENT_DROPS = re.compile(
    r"device|guard|sealed|policy-changed|port-down|placement|blocked|nowhere|fips")


def source(path):
    return (ROOT / path).read_text(encoding="utf-8")


def page(name):
    """The page as shown: without scdoc's escapes, in one line."""
    return re.sub(r"\s+", " ", (MAN / name).read_text(encoding="utf-8").replace("\\", ""))


def rows(text):
    """The rows of string tables: {"name", "meaning" …}."""
    return re.findall(r'\{"([a-z0-9-]+)",\s*"([^"]*)"', text)


def missing_reasons():
    text = page("cygnet-placement.7.scd")
    reasons = rows(source("src/device/placement_reason.cc"))
    yield from (f"reason {name}: {meaning}" for name, meaning in reasons
                if f"| *{name}* : {meaning}" not in text)
    drops = rows(source("src/packet/drop_reason.cc"))
    yield from (f"drop reason {name}" for name, _ in drops
                if PLACEMENT_DROPS.search(name) and name != "out-policy-block"
                and f"*{name}*" not in text)
    if len(reasons) < 20 or len(drops) < 40:
        yield "nothing: cannot parse the tables of reasons"


def missing_counters():
    """Each drop reason with its text and its counter of the kernel, and each metric with its help."""
    text = page("cygnet-counters.7.scd").lower()
    drops = re.findall(r'\{"([a-z-]+)",\s*"([^"]*)",\s*"([A-Za-z]*)"\}', source("src/packet/drop_reason.cc"))
    for name, meaning, counter in drops[1:]:
        head = f"*{name}* ({counter.lower()})" if counter else f"*{name}*"
        if f"{head} {meaning.lower()}" not in text:
            yield f"{head}: {meaning}"
    metrics = re.findall(r'"(cygnet_[a-z_]+)",\s*"([^"]+)"',
                         source("src/client/metrics.cc") + source("src/client/sa_metrics.cc"))
    yield from (f"metric {name}: {meaning}" for name, meaning in metrics
                if not re.search(rf"\*{name}\*( {{[^}}]*}})? {re.escape(meaning.lower())}", text))
    if len(drops) < 40 or len(metrics) < 30:
        yield "nothing: cannot parse the tables of counters"


def unknown_metrics():
    """Alerts and the dashboard ask only for metrics that exist."""
    known = set(re.findall(r"cygnet_[a-z_]+", page("cygnet-counters.7.scd")))
    for path in ("etc/prometheus/alerts.yml", "etc/grafana/cygnet.json"):
        names = set(re.findall(r"\bcygnet_[a-z_]+", source(path)))
        yield from (f"metric {name}, which {path} asks for" for name in sorted(names - known))
        if len(names) < 10:
            yield f"nothing: cannot read {path}"


def missing_remedies():
    """Each drop reason has more than its meaning: where it comes from, or what to do."""
    text = (MAN / "cygnet-counters.7.scd").read_text(encoding="utf-8").replace("\\", "")
    entries = re.split(r"^\*(?=[a-z])", text, flags=re.M)
    drops = rows(source("src/packet/drop_reason.cc"))[1:]
    for name, meaning in drops:
        bodies = [entry.split("\n", 1)[1] for entry in entries
                  if re.match(rf"(.*, \*)?{re.escape(name)}\*", entry) and "\n" in entry]
        if not any(len(" ".join(body.split())) > len(meaning) + 20 for body in bodies):
            yield f"what to do about drop reason {name}"


def missing_fields():
    """Each field that the daemon or the command writes into JSON."""
    text = set(re.findall(r"[a-z][a-z0-9_]*", page("cygnet-json.7.scd")))
    files = [*(ROOT / "src/daemon/operator").glob("report_json*.cc"), ROOT / "src/cli/ledger_report.cc",
             ROOT / "src/cli/ledger_command.cc"]
    fields = set()
    for path in files:
        if not path.name.endswith("_test.cc"):
            code = path.read_text(encoding="utf-8")
            fields |= set(re.findall(r'\{"([a-z][a-z0-9_]*)",', code)) | set(re.findall(r'\["([a-z][a-z0-9_]*)"\]', code))
    fields -= {"command"}  # of a request
    yield from (f"field {name}" for name in sorted(fields - text))
    if len(fields) < 150:
        yield "nothing: cannot parse the fields"


def missing_ledger_words():
    """Each event and field of the ledger's lines."""
    text = page("cygnet-ledger.5.scd")
    code = source("src/daemon/store/ledger_line.cc") + source("src/chain/hash_chain.cc")
    events = set(re.findall(r'event == "([a-z-]+)"', code))
    fields = set(re.findall(r'json["]?\["([a-z_]+)"\]', code)) | set(re.findall(r'\)\["([a-z_]+)"\]', code))
    fields |= set(re.findall(r',\\"([a-z]+)\\":', code)) | {"time", "host", "boot", "event"}
    yield from (f"{word}" for word in sorted(events | fields) if f"*{word}*" not in text)
    if len(events) < 10 or len(fields) < 25:
        yield "nothing: cannot parse the lines"


def missing_faults():
    """Each fault of the software NIC, and each capability that it can lie about."""
    text = page("cygnet-sim.7.scd")
    faults = re.findall(r'\{"([a-z-]+)", Kind::', source("src/device/sim_nic/sim_nic_faults.cc"))
    lies = re.findall(r'\{"([a-z0-9-]+)", Wrong::', source("src/device/sim_nic/sim_nic_lies.cc"))
    yield from (f"fault {name}" for name in faults if not re.search(rf"\*{name}[ *]", text))
    yield from (f"capability {name}" for name in lies if f"*{name}*" not in text)
    if len(faults) < 20 or len(lies) < 10:
        yield "nothing: cannot parse the faults"


def missing_statuses():
    """Each exit status of the programs."""
    for name, statuses in (("cygnet.8.scd", ["0", *re.findall(r"kExit\w+ = (\d+);", source("src/cli/cygnet.h"))]),
                           ("cygnetd.8.scd", ["0", "1", "100 or more"])):
        text = (MAN / name).read_text(encoding="utf-8")
        found = re.search(r"^# EXIT STATUS$(.*?)^# ", text, re.M | re.S)
        yield from (f"exit status {status} ({name})" for status in statuses
                    if not found or not re.search(rf"^{status}$", found[1], re.M))


def missing_checks():
    """Each check of the doctor."""
    text = page("cygnet.8.scd")
    checks = re.findall(r'^ +\{"([a-z-]+)", "', source("src/cli/doctor_check.cc"), re.M)
    yield from (f"check {name} of the doctor" for name in checks if f"_{name}_" not in text)
    if len(checks) < 30:
        yield "nothing: cannot parse the table of checks"


def main():
    scdoc = shutil.which("scdoc")
    if scdoc is None:
        print("scdoc is not installed")
        return 77
    faults = []
    for path in sorted(MAN.glob("*.scd")):
        done = subprocess.run([scdoc], input=path.read_bytes(), capture_output=True, check=False)
        if done.returncode != 0 or not done.stdout:
            faults.append(f"{path.name}: {done.stderr.decode().strip()}")
    for name, missing in (("cygnet-placement.7.scd", missing_reasons),
                          ("cygnet.8.scd", missing_checks),
                          ("cygnet-counters.7.scd", missing_counters), ("cygnet-counters.7.scd", unknown_metrics),
                          ("cygnet-counters.7.scd", missing_remedies),
                          ("cygnet-json.7.scd", missing_fields), ("cygnet-ledger.5.scd", missing_ledger_words),
                          ("cygnet-sim.7.scd", missing_faults), ("section 8", missing_statuses)):
        faults += [f"{name}: does not name {what}" for what in missing()]
    print("\n".join(faults) or "manual pages: fine")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
