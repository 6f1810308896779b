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
