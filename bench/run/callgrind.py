"""Instructions and cache misses a packet, by stage of the pipeline, counted by valgrind's callgrind. The
counts of a build repeat on any machine, however busy, but for what random hashes change (0.1 %). Only the
windows that a benchmark times are counted.
"""

import os
import re
import subprocess
import tempfile
from collections import defaultdict

WINDOWS = 200
_PACKETS_A_WINDOW = 64
# The cache that is simulated, on every machine: a level 1 of 32 KiB and, as the last level, 1 MiB.
_CACHES = ("--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64")
ROWS = (
    ("out, 64 bytes, one SA", "esp_bench", "^pipeline/software/out/64/"),
    ("in, 64 bytes, one SA", "esp_bench", "^pipeline/software/in/64/"),
    ("out, 64 bytes, 256 SAs", "scale_bench", "^sas/out/256/"),
    ("in, 64 bytes, 256 SAs", "scale_bench", "^sas/in/256/"),
)
# A function belongs to the first stage whose pattern is found in "object:file:function"; one that no
# pattern knows belongs to the stages of its callers.
STAGES = (
    ("crypto engine", r"libIPSec_MB|libcrypto|crypto/engines/|ipsec_mb::|vaes_gcm::"),
    ("guard and proof", r"seal_proof|seal_guard|SealGuard|FinishSealed"),
    ("ports in memory", r"MemoryPort|NullNic|QueuePort|memory_port|null_nic"),
    ("prefetch of a batch", r"WarmUp|PrefetchSession|warm_up"),
    ("flow and policy", r"FlowDecider|flow_cache|FlowCache|AlwaysPasses|CheckPolicy|CheckOpened|::Spd::|PolicyIndex"
                        r"|VerdictOf|OutboundStraight::(Find|OpenRun)|InboundStraight::Decide"),
    ("SA look-up", r"::Sad::|::UseSa|::CheckState|CheckInboundState|InboundStraight::Find"),
    ("replay", r"ReplayWindow|InferEsn|CommitReplay"),
    ("lifetime, sequence number", r"Lifetime|ChargeAndReserve|ChargeOpened|SequenceCounter|::Grant"),
    ("parse", r"ParseIpPacket|net/frame|net/ethernet|net/esp_view|net/flow_key|ClassifyUdp|::IsPlain|::MayBeEsp"),
    ("ESP and outer headers", r"esp::Encapsulat|esp::Decapsulate|esp::ReadTrailer|DecapsulateAndCheck|DescribeOpened"
                              r"|esp/(encapsulate|decapsulate|framing|outer_ipv4|size)"),
    ("crypto jobs", r"BuildJob|esp/crypto_jobs|RunCpuJobs|AddSealJob|AddOpenJob|PrepareInbound|RunJobs|CompleteJob"),
    ("admission", r"OutboundAdmission|::Admit|::Classify|Straight::Take"),
    ("departure, delivery", r"OutboundDeparture|departures\.|::Deliver|HoldOver|Straight::(Depart|Complete)"),
    ("runs of a batch", r"Outbound(Transform|Pipeline)|InboundPipeline|Straight|Worker|EncapsulateRun|path_ops|item_batch"),
)
OTHER = "other"
INSTRUCTIONS, READ_MISSES, WRITE_MISSES = "Ir", "D1mr", "D1mw"


class Profile:
    """Costs of functions, and who calls whom, from a file of callgrind."""

    def __init__(self, text):
        self.own = defaultdict(lambda: defaultdict(int))      # (function, place) → event → cost
        self.callers = defaultdict(lambda: defaultdict(int))  # function → caller → inclusive instructions
        self._names = {}
        self._events = []
        self._read(text)

    def _name(self, kind, text):
        """Names are written once, with a number, and are only a number after that."""
        number, _, name = text.partition(" ")
        if name:
            self._names[kind, number] = name
        return self._names.get((kind, number), text)

    def _read(self, text):
        thing, file, function, called, is_call = "", "", "", "", False
        for line in text.splitlines():
            key, sign, value = line.partition("=")
            if line.startswith("events:"):
                self._events = line.split()[1:]
            elif sign and key == "ob":
                thing = self._name("ob", value)
            elif sign and key in ("fl", "fi", "fe"):
                file = self._name("fl", value)
            elif sign and key == "fn":
                function = self._name("fn", value)
            elif sign and key == "cfn":
                called = self._name("fn", value)
            elif sign and key in ("cob", "cfi", "cfl"):
                self._name("ob" if key == "cob" else "fl", value)
            elif sign and key == "calls":
                is_call = True
            elif line[:1] in ("+", "-", "*") or line[:1].isdigit():
                costs = [int(cost) for cost in line.split()[1:]]
                if is_call:
                    self.callers[called][function] += costs[0] if costs else 0
                    is_call = False
                else:
                    entry = self.own[function, _place(thing, file)]
                    for event, cost in zip(self._events, costs):
                        entry[event] += cost

    def stages(self):
        """Stage → event → cost."""
        found = defaultdict(lambda: defaultdict(float))
        for (function, place), costs in self.own.items():
            own = stage_of(place, function)
            shares = {own: 1.0} if own else self._shares(function, frozenset())
            for stage, share in shares.items():
                for event, cost in costs.items():
                    found[stage][event] += share * cost
        return found

    def _shares(self, function, seen):
        """Stages of the callers, in proportion to what the function costs them."""
        if stage_of("", function):
            return {stage_of("", function): 1.0}
        callers = {c: cost for c, cost in self.callers[function].items() if c not in seen and cost}
        total = sum(callers.values())
        found = defaultdict(float)
        for caller, cost in callers.items():
            for stage, share in self._shares(caller, seen | {function}).items():
                found[stage] += share * cost / total
        return found or {OTHER: 1.0}


def _place(thing, file):
    """Object and file, without the directories of the build."""
    return f"{os.path.basename(thing)}:{file.rpartition('/../')[2]}"


def stage_of(place, function):
    """The stage of a function without its arguments, or None."""
    name = function.replace("(anonymous namespace)", "")
    while "<" in name and (shorter := re.sub(r"<[^<>]*>", "", name)) != name:
        name = shorter
    text = f"{place}:{name.partition('(')[0]}"
    return next((stage for stage, pattern in STAGES if re.search(pattern, text)), None)


def count(build, program, pattern):
    """Stage → event → cost of a packet. Raises RuntimeError with the reason if it cannot be counted."""
    path = os.path.join(build, "bench", program)
    with tempfile.TemporaryDirectory(prefix="cygnet-callgrind-") as folder:
        out = os.path.join(folder, "out")
        argv = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}", *_CACHES,
                "--toggle-collect=*TimedWindow*", path, f"--windows={WINDOWS}",
                f"--benchmark_filter={pattern}"]
        try:
            result = subprocess.run(argv, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise RuntimeError("valgrind is not installed") from None
        if "unrecognized command-line flag: --windows" in result.stderr:
            raise RuntimeError(f"{path} is older than --instructions: it cannot count its windows")
        if result.returncode != 0 or "ERROR" in result.stdout or not os.path.exists(out):
            raise RuntimeError(f"{path} {pattern}: exit {result.returncode}: "
                               f"{(result.stderr or result.stdout)[-300:].strip()}")
        with open(out, encoding="utf-8", errors="replace") as f:
            stages = Profile(f.read()).stages()
    if not stages:
        raise RuntimeError(f"{path}: no window of {pattern} was counted: no row has this name")
    packets = WINDOWS * _PACKETS_A_WINDOW
    return {stage: {event: cost / packets for event, cost in costs.items()}
            for stage, costs in stages.items()}


def total(stages, event):
    """Of everything but the engine, which is another one under valgrind than on the machine."""
    return sum(costs.get(event, 0) for stage, costs in stages.items() if stage != STAGES[0][0])


def misses(costs):
    return costs.get(READ_MISSES, 0) + costs.get(WRITE_MISSES, 0)


def _order(stages):
    names = [name for name, _ in STAGES[1:]] + [OTHER, STAGES[0][0]]
    return [name for name in names if name in stages]


def table(title, builds):
    """One build, or before and after. The engine is below the sum, not in it."""
    head = ["stage"]
    for word in ("instructions", "level 1 misses"):
        head += [f"{word}{', ' + when if len(builds) > 1 else ''}"
                 for when in (("before", "after")[:len(builds)])]
    lines = []
    names = _order({name for stages in builds for name in stages})
    for name in names:
        costs = [stages.get(name, {}) for stages in builds]
        lines.append([name, *(f"{c.get(INSTRUCTIONS, 0):.1f}" for c in costs),
                      *(f"{misses(c):.2f}" for c in costs)])
    sums = [*(f"{total(s, INSTRUCTIONS):.1f}" for s in builds),
            *(f"{total(s, READ_MISSES) + total(s, WRITE_MISSES):.2f}" for s in builds)]
    at = len(lines) - (STAGES[0][0] in names)
    lines.insert(at, ["all but the engine", *sums])
    return (f"Instructions a packet: {title}", head, lines)
