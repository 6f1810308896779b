// Words: numbers and states as people say them, and the texts by which elements explain themselves.
"use strict";

export const PLACES = {
  packet: {word: "packet offload", shape: "disc",
    tell: "The device does everything: numbers, headers, encryption and the replay check."},
  crypto: {word: "crypto offload", shape: "diamond",
    tell: "The device encrypts and authenticates; this host builds the packets and keeps their numbers."},
  "look-aside": {word: "look-aside", shape: "triangle",
    tell: "An engine beside the CPU does the cryptography; packets go to it and come back."},
  software: {word: "software", shape: "square", tell: "This host's CPU does the cryptography."},
  blocked: {word: "blocked", shape: "cross",
    tell: "No engine or device may do the cryptography: every packet is dropped."},
};

export const MARKS = {
  move: {word: "move", shape: "diamond"},
  fault: {word: "fault", shape: "cross"},
  end: {word: "over", shape: "disc"},
  guard: {word: "guard hit", shape: "triangle"},
  daemon: {word: "start", shape: "square"},
};

export function number(value) {
  if (!isFinite(value)) return "?";
  if (Math.abs(value) < 1e4) return value >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
  for (const [size, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= size) return (value / size).toPrecision(3) + " " + unit;
  }
  return String(value);
}

export const exact = (value) => Number(value || 0).toLocaleString("en");
export const bits = (value) => number(value || 0) + (value >= 1e4 ? "bit/s" : " bit/s");
export const packets = (value) => `${number(value || 0)} packets/s`;

export function duration(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
export function moment(ms) {
  const then = new Date(ms);
  const today = new Date().toDateString() === then.toDateString();
  return today ? clock(ms) : `${then.toISOString().slice(0, 10)} ${clock(ms).slice(0, 5)}`;
}

export const placeOf = (effective) => PLACES[effective] || {word: effective || "unknown", shape: "square", tell: ""};
export const runsOn = (flow) => flow.device || (flow.effective === "blocked" ? "nothing" : flow.engine) || "unknown";
export const arrow = (flow) => (flow.direction === "in" ? "←" : "→");

export function tellFlow(flow) {
  const lines = [
    `SA ${flow.spi} from ${flow.src} to ${flow.dst}, ${flow.mode} mode, ${flow.state}.`,
    `${flow.direction === "in" ? "Inbound" : "Outbound"}: ${packets(flow.packets_per_second)}, ` +
      `${bits(flow.bits_per_second)}; ${exact((flow.usage || {}).packets)} packets in all.`,
    `Runs as ${placeOf(flow.effective).word} on ${runsOn(flow)}${flow.simulated ? " (simulated)" : ""}: ` +
      `${flow.explanation || flow.reason}.`,
    placeOf(flow.effective).tell,
  ];
  if (flow.requested && flow.requested !== "no") {
    lines.push(`Asked for: ${flow.requested}${flow.requested_by ? ` (by ${flow.requested_by})` : ""}.`);
  }
  if (flow.since) lines.push(`There since ${moment(flow.since * 1000)}.`);
  const drops = Object.entries(flow.drops || {});
  if (drops.length) lines.push("Dropped: " + drops.map(([name, n]) => `${exact(n)} ${name}`).join(", ") + ".");
  return lines.join("\n");
}

export function tellKey(key) {
  const end = key.until_ms ? `until ${moment(key.until_ms)}` : "and holds it now";
  const erased = !key.until_ms ? "" : key.erased ? " It confirmed that the key is erased."
    : ` It did not confirm the erasure${key.note ? `: ${key.note}` : ""}.`;
  return `${key.holder_kind === "device" ? "Device" : "Engine"} ${key.holder} had the ${key.direction}bound key of SA ` +
    `${key.spi} (${key.src} to ${key.dst}) from ${moment(key.from_ms)} ${end}.${erased}` +
    (key.identity ? `\nIt is ${key.identity}.` : "");
}

// src/packet/drop_reason.cc; a test holds this to it.
export const DROPS = {
  "in-too-short": "ESP packet too short for SPI and sequence number",
  "in-bad-header": "outer IP header malformed",
  "in-no-state": "no SA for this destination and SPI",
  "in-acquire-state": "the SA is not established yet",
  "in-state-invalid": "the SA is no longer valid",
  "in-state-expired": "the SA's byte or packet limit is reached",
  "in-wrong-direction": "the SA is for output only",
  "in-truncated": "ESP packet too short for IV and ICV",
  "in-replay-old": "sequence number behind the replay window",
  "in-replay-duplicate": "sequence number seen before",
  "in-replay-zero": "sequence number 0",
  "in-auth-failed": "ICV wrong",
  "in-bad-trailer": "pad length larger than the payload",
  "in-dummy": "dummy packet (next header 59)",
  "in-mode-mismatch": "next header does not fit the SA's mode",
  "in-encap-mismatch": "UDP encapsulation differs from the SA's",
  "in-selector-mismatch": "inner flow outside the SA's selector",
  "in-template-mismatch": "policy requires other protection",
  "in-no-policy": "no policy covers it, and it came through a tunnel or the default blocks",
  "in-policy-block": "blocked by policy",
  "in-crypto-error": "crypto engine failed",
  "in-device-error": "device reported an error",
  "in-device-stale": "device opened it for an SA that no longer exists",
  "in-fragment-timeout": "the remaining fragments did not arrive in time",
  "in-fragment-overlap": "fragments overlap or do not fit together",
  "in-fragment-memory": "no room to hold the fragments",
  "late-beyond-window": "older than the replay window, so its sequence number was inferred wrongly",
  "in-nested": "more transforms than supported",
  "in-offload-required": "the SA must be on a device, but no device opened the packet",
  "in-placement-blocked": "no engine or device may do the SA's cryptography",
  "in-ether-type": "neither IP nor ARP, and its ether type is not listed",
  "in-ip-options": "opened packet has a source route or malformed options",
  "in-hand-over": "its number belongs to the device that the SA moves to or from",
  "in-device-fragment": "came in fragments; only its device may open it, and that opens whole packets only",
  "in-number-unknown": "a lost device or an earlier start may have accepted its number",
  "in-no-numbers": "its number is above those that the number store has reserved",
  "in-verify": "the CPU computed it again, and the device's result is not confirmed",
  "in-no-tunnel": "the tunnel interface of its SA does not exist",
  "out-bad-packet": "inner packet malformed",
  "out-policy-block": "blocked by policy",
  "out-no-state": "policy requires an SA, but none exists",
  "out-state-expired": "the SA's byte or packet limit is reached",
  "out-state-invalid": "the SA is no longer valid",
  "out-sequence": "the SA's sequence numbers are used up",
  "out-no-numbers": "the number store has given no further sequence numbers yet",
  "out-too-big": "larger than the path allows",
  "out-no-room": "buffer too small for the ESP overhead",
  "out-crypto-error": "crypto engine failed",
  "out-mode-error": "packet does not fit the SA's mode",
  "out-device-error": "device could not seal it",
  "out-fragment": "later fragment of a flow whose policy selects by ports",
  "out-wrong-direction": "the SA is for input only",
  "out-hold-full": "no room to wait for an SA, or for it to move",
  "out-hold-timeout": "no SA within the hold time",
  "out-offload-required": "the SA must be on a device, but the device cannot seal this packet",
  "out-placement-blocked": "no engine or device may do the SA's cryptography",
  "out-guard": "clear packet of a protected flow, stopped at the wire",
  "out-not-sealed": "reported as sealed but was not, stopped at the wire",
  "out-policy-changed": "policy changed between the decision and transmit",
  "out-ether-type": "neither IP nor ARP, and its ether type is not listed",
  "out-device-policy": "no policy of the device protects it by its SA",
  "out-verify": "the CPU opened it again, and the device's result is not confirmed",
  "out-no-tunnel-policy": "no policy of the tunnel interface protects it",
  "out-no-next-hop": "the next hop of the tunnel's outer packet is not known yet",
  "port-full": "port accepted no more packets",
  "port-too-big": "larger than a frame of the port",
  "port-bad-frame": "frame too short or its checksum field out of bounds",
  "port-down": "the port has no link",
  "port-refused": "the kernel or its driver rejected the frame",
  "no-buffers": "packet pool empty",
};
