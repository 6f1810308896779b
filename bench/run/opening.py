"""The opening sentences of doc/performance.md: how fast, compared with which peers, on which CPU."""

def _ns(run, name):
    row = run["rows"].get(name)
    hz = run["machine"].get("tsc_hz")
    return row.figure * 1e9 / hz if row and hz else None


def _pipeline(run, size):
    return [_ns(run, f"esp_bench:pipeline/software/{d}/{size}") for d in ("out", "in")]


def _one_packet(run):
    short, long = _pipeline(run, "64"), _pipeline(run, "1400")
    if None in short + long:
        return []
    gbit = [1400 * 8 / ns for ns in long]
    return [f"One core of this CPU takes a 64-byte packet through the whole pipeline (policy, SA, AES-GCM, ESP; ports in memory) in {short[0]:.0f} ns "
            f"outbound and {short[1]:.0f} ns inbound.",
            f"With packets of 1400 bytes it protects {gbit[0]:.0f} Gbit/s outbound and opens {gbit[1]:.0f} Gbit/s inbound."]


def _range(run, target):
    figures = [a.figure for a in run["answers"] if a.target.startswith(target) and a.figure]
    return (min(figures), max(figures)) if figures else None


def _peers(run):
    sentences = []
    esp = _range(run, "ESP alone against librte_ipsec")
    if esp:
        sentences.append(f"ESP alone is {esp[0]:.1f} to {esp[1]:.1f} times as fast as DPDK's librte_ipsec in the same run.")
    go = _range(run, "end to end TCP against wireguard-go")
    libipsec = _range(run, "end to end TCP against kernel-libipsec")
    if go and libipsec:
        sentences.append(f"End to end, one TCP stream between two namespaces moves {go[0]:.1f} times as much as with wireguard-go and "
                         f"{libipsec[0]:.0f} times as much as with strongSwan's kernel-libipsec.")
    return sentences


def _targets(run):
    met = sum(1 for a in run["answers"] if a.met)
    missed = sum(1 for a in run["answers"] if a.met is False)
    if not met + missed:
        return []
    return [f"Of {met + missed} targets that the project set itself, {met} are met and {missed} are missed; the missed ones are listed at the end."]


def sentences(run):
    """At most five; a sentence whose rows were not measured is left out."""
    return _one_packet(run) + _peers(run) + _targets(run)
