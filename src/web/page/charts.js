// Charts: traffic and drops over time, the time line of keys, and the histogram of lateness.
"use strict";
import {svg, html, explain, shapeIn} from "./flows.js";
import {DROPS} from "./drops.js";
import {MARKS, bits, number, exact, moment, clock, tellKey} from "./words.js";

const HEIGHT = 150;
const LEFT = 58;
const BOTTOM = 20;
const EDGE = 6;  // room for the head of a mark at the right end

function canvas(place, height, label) {
  const width = Math.max(280, place.clientWidth);
  const picture = svg("svg", {viewBox: `0 0 ${width} ${height}`, width: "100%", height, role: "group", "aria-label": label});
  return {picture, width};
}

// Times at the foot, at most five.
function timeAxis(picture, span, x, y, width) {
  const many = Math.max(2, Math.min(5, Math.floor(width / 110)));
  for (let i = 0; i < many; ++i) {
    const at = span.from + (span.to - span.from) * i / (many - 1);
    const text = span.to - span.from > 36e5 * 30 ? new Date(at).toISOString().slice(5, 16).replace("T", " ") : clock(at);
    picture.append(svg("text", {class: "soft", x: x(at), y,
      "text-anchor": i === 0 ? "start" : i === many - 1 ? "end" : "middle"}, text));
  }
}

// Marks within the span, as lines with a head of their own shape.
function drawMarks(picture, marks, span, x, top, bottom, prefix) {
  for (const mark of marks) {
    if (mark.time_ms < span.from || mark.time_ms > span.to) continue;
    const kind = MARKS[mark.kind] || MARKS.move;
    const at = x(mark.time_ms);
    const group = svg("g", {class: mark.kind});
    group.append(svg("line", {class: "mark", x1: at, x2: at, y1: top + 8, y2: bottom}));
    const head = svg("g", {class: `shape ${mark.kind}`});
    head.append(shapeIn(kind.shape, at, top + 5, 9));
    group.append(head);
    picture.append(explain(group, `${prefix} ${mark.time_ms} ${mark.subject} ${mark.text}`,
      `${moment(mark.time_ms)}, ${kind.word}: ${mark.subject} ${mark.text}`));
  }
}

function nice(top) {
  if (top <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(top));
  return [1, 2, 5, 10].map((k) => k * size).find((value) => value >= top);
}

function valueAxis(picture, top, words, y, width) {
  for (const value of [0, top / 2, top]) {
    picture.append(svg("line", {class: "axis", x1: LEFT, x2: width, y1: y(value), y2: y(value)}));
    picture.append(svg("text", {class: "soft", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end"}, words(value)));
  }
}

// points: {t, value, step} in time order; `step` is how long a point stands for, in ms.
export function drawTraffic(place, points, span, marks) {
  const {picture, width} = canvas(place, HEIGHT, "Traffic of all SAs over time");
  const x = (t) => LEFT + (width - LEFT - EDGE) * (t - span.from) / (span.to - span.from);
  const shown = points.filter((p) => p.t >= span.from && p.t <= span.to);
  const top = nice(Math.max(1000, ...shown.map((p) => p.bits)));
  const y = (value) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 14) * value / top;
  valueAxis(picture, top, (value) => number(value), y, width);
  let line = "";
  let area = "";
  let last = null;
  for (const point of shown) {
    // A gap is a gap: nothing was read then.
    const joined = last && point.t - last.t <= 3 * point.step;
    if (!joined && last) area += `L${x(last.t).toFixed(1)} ${y(0)}Z`;
    if (!joined) area += `M${x(point.t).toFixed(1)} ${y(0)}`;
    const at = `${x(point.t).toFixed(1)} ${y(point.bits).toFixed(1)}`;
    line += (joined ? "L" : "M") + at;
    area += "L" + at;
    last = point;
  }
  if (last) area += `L${x(last.t).toFixed(1)} ${y(0)}Z`;
  picture.append(svg("path", {class: "area", d: area || "M0 0"}), svg("path", {class: "trace", d: line || "M0 0"}));
  timeAxis(picture, span, x, HEIGHT - 4, width - LEFT);
  drawMarks(picture, marks, span, x, 0, HEIGHT - BOTTOM, "traffic");
  const now = last ? bits(last.bits) : "nothing";
  explain(picture, "traffic", `Bits per second of all SAs together, in and out. The last value is ${now}; the highest shown ` +
    `is ${bits(Math.max(0, ...shown.map((p) => p.bits)))}.`);
  place.replaceChildren(picture);
}

// The reasons by their number within the span, the most first.
export function sumDrops(points, span) {
  const sums = new Map();
  for (const point of points) {
    if (point.t < span.from || point.t > span.to) continue;
    for (const [reason, count] of Object.entries(point.drops)) sums.set(reason, (sums.get(reason) || 0) + count);
  }
  return [...sums.entries()].sort((a, b) => b[1] - a[1]);
}

export function drawDrops(place, points, span, marks) {
  const {picture, width} = canvas(place, HEIGHT, "Drops over time by reason");
  const x = (t) => LEFT + (width - LEFT - EDGE) * (t - span.from) / (span.to - span.from);
  const order = sumDrops(points, span).map(([reason]) => reason);
  const columns = Math.max(20, Math.min(120, Math.floor((width - LEFT) / 5)));
  const size = (span.to - span.from) / columns;
  const sums = Array.from({length: columns}, () => new Map());
  for (const point of points) {
    const at = Math.floor((point.t - span.from) / size);
    if (at < 0 || at >= columns) continue;
    for (const [reason, count] of Object.entries(point.drops)) sums[at].set(reason, (sums[at].get(reason) || 0) + count);
  }
  const totals = sums.map((sum) => [...sum.values()].reduce((a, b) => a + b, 0));
  const top = nice(Math.max(1, ...totals));
  const y = (value) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 14) * value / top;
  valueAxis(picture, top, (value) => number(value), y, width);
  sums.forEach((sum, i) => {
    if (!totals[i]) return;
    const group = svg("g");
    let base = 0;
    for (const reason of order) {
      const count = sum.get(reason) || 0;
      if (!count) continue;
      group.append(svg("rect", {class: `d${Math.min(5, order.indexOf(reason))}`, x: (LEFT + i * (width - LEFT - EDGE) / columns).toFixed(1),
        y: y(base + count), width: Math.max(1, (width - LEFT - EDGE) / columns - 1).toFixed(1), height: Math.max(1, y(base) - y(base + count))}));
      base += count;
    }
    const from = span.from + i * size;
    picture.append(explain(group, `drop ${i}`, `${moment(from)}: ${exact(Math.round(totals[i]))} packets dropped: ` +
      order.filter((reason) => sum.get(reason)).map((reason) => `${exact(Math.round(sum.get(reason)))} ${reason}`).join(", ")));
  });
  if (!order.length) {
    picture.append(svg("text", {class: "soft", x: (LEFT + width) / 2, y: 70, "text-anchor": "middle"}, "No packet was dropped in this time."));
  }
  timeAxis(picture, span, x, HEIGHT - 4, width - LEFT);
  drawMarks(picture, marks, span, x, 0, HEIGHT - BOTTOM, "drops");
  place.replaceChildren(picture);
  return order;
}

export function drawDropList(place, drops, order) {
  const rows = [...drops].sort((a, b) => b.count - a.count);
  place.replaceChildren(...rows.map((drop) => {
    const row = html("li");
    const rank = order.indexOf(drop.reason);
    const what = html("span", "what");
    const swatch = svg("svg", {class: "shape", viewBox: "0 0 12 12", "aria-hidden": "true"});
    if (rank >= 0) swatch.append(svg("rect", {class: `d${Math.min(5, rank)}`, width: 10, height: 10, y: 1}));
    what.append(swatch, drop.reason);
    row.append(what, html("span", "number", exact(drop.count)));
    const now = drop.per_second ? `, ${number(drop.per_second)} a second now` : "";
    return explain(row, `reason ${drop.reason}`,
      `${drop.reason}: ${DROPS[drop.reason] || "unknown to this page"}. ${exact(drop.count)} packets since cygnetd started${now}.`);
  }));
}

// Bars of one holder in as few lanes as they fit in without overlap.
function lanes(keys, end) {
  const ends = [];
  return keys.map((key) => {
    const until = key.until_ms || end;
    let lane = ends.findIndex((busy) => busy < key.from_ms);
    if (lane < 0) lane = ends.length;
    ends[lane] = until;
    return {key, lane, until};
  });
}

const MOST_LANES = 10;

export function drawLedger(place, keys, span, marks) {
  const shown = keys.filter((key) => (key.until_ms || span.to) >= span.from && key.from_ms <= span.to)
    .sort((a, b) => a.from_ms - b.from_ms);
  if (!shown.length) {
    return place.replaceChildren(html("p", "empty", "No device and no engine held a key in this time."));
  }
  const holders = new Map();
  for (const key of shown) {
    const name = `${key.holder_kind} ${key.holder}`;
    if (!holders.has(name)) holders.set(name, []);
    holders.get(name).push(key);
  }
  const width = Math.max(280, place.clientWidth);
  const left = width < 560 ? 4 : 118;
  const x = (t) => left + (width - left - EDGE) * (Math.min(Math.max(t, span.from), span.to) - span.from) / (span.to - span.from);
  const parts = [];
  let y = 18;
  let hidden = 0;
  for (const [name, list] of [...holders.entries()].sort()) {
    const kind = list[0].holder_kind;
    if (left < 50) y += 15;
    parts.push(svg("text", {x: 2, y: left < 50 ? y : y + 12}, name));
    if (left < 50) y += 5;
    const laid = lanes(list, span.to);
    const count = Math.min(MOST_LANES, Math.max(...laid.map((row) => row.lane)) + 1);
    for (const {key, lane, until} of laid) {
      if (lane >= MOST_LANES) {
        ++hidden;
        continue;
      }
      const from = x(key.from_ms);
      const size = Math.max(3, x(until) - from);
      const group = svg("g");
      const unsure = key.until_ms && !key.erased ? " unsure" : "";
      group.append(svg("rect", {class: `held ${kind}${key.until_ms ? " ended" : ""}${unsure}`, x: from, y: y + lane * 19,
        width: size, height: 15, rx: 3}));
      if (size > 96) group.append(svg("text", {class: "onbar", x: from + 6, y: y + lane * 19 + 11.5}, `${key.spi} ${key.direction}`));
      parts.push(explain(group, `key ${key.holder} ${key.spi} ${key.direction} ${key.from_ms}`, tellKey(key)));
    }
    y += count * 19 + 10;
  }
  const height = y + 18;
  const picture = svg("svg", {viewBox: `0 0 ${width} ${height}`, width: "100%", height, role: "group",
    "aria-label": "Time line of keys by holder"});
  picture.append(...parts);
  timeAxis(picture, span, x, height - 4, width - left);
  drawMarks(picture, marks, span, x, 0, height - 18, "ledger");
  const note = hidden ? html("p", "more", `${exact(hidden)} more keys overlap with these; "cygnet ledger" lists all.`) : "";
  place.replaceChildren(picture, note);
}

function drawWindow(part, width) {
  const HEIGHT_HERE = 140;
  const buckets = [0, ...Array.from({length: 17}, (_, k) => 2 ** k)];
  const rows = new Map(part.rows.map((row) => [row.from, row]));
  const last = Math.max(part.window, ...part.rows.map((row) => row.from * 2 || 1), 64);
  const shown = buckets.filter((from) => from < last * 1.01 || rows.has(from));
  const step = (width - 10) / shown.length;
  const most = Math.max(1, ...part.rows.map((row) => row.accepted + row.rejected));
  // The first bucket has nearly everything: logarithmic, so that the few late packets show.
  const size = (count) => (count ? Math.max(2, (HEIGHT_HERE - 44) * Math.log10(1 + count) / Math.log10(1 + most)) : 0);
  const picture = svg("svg", {viewBox: `0 0 ${width} ${HEIGHT_HERE}`, width: "100%", height: HEIGHT_HERE, role: "group",
    "aria-label": `Lateness of packets of SAs with a window of ${part.window}`});
  shown.forEach((from, i) => {
    const row = rows.get(from) || {accepted: 0, rejected: 0};
    const group = svg("g");
    const foot = HEIGHT_HERE - 24;
    const accepted = size(row.accepted);
    const rejected = size(row.rejected);
    group.append(svg("rect", {class: "accepted", x: 5 + i * step + 1, width: Math.max(2, step - 3), y: foot - accepted, height: accepted}));
    group.append(svg("rect", {class: "rejected", x: 5 + i * step + 1, width: Math.max(2, step - 3), y: foot - accepted - rejected, height: rejected}));
    group.append(svg("rect", {x: 5 + i * step, width: step, y: 14, height: foot - 14, fill: "none", "pointer-events": "all"}));
    const name = from === 0 ? "with the newest number again" : from === 1 ? "1 number late" : `${from} to ${from * 2 - 1} numbers late`;
    picture.append(explain(group, `late ${part.window} ${from}`, `${exact(row.accepted)} packets arrived ${name} and were accepted; ` +
      `${exact(row.rejected)} were rejected (these are not authenticated: anybody can forge them).`));
    if (step > 26 || i % 3 === 0) {
      picture.append(svg("text", {class: "soft", x: 5 + (i + .5) * step, y: HEIGHT_HERE - 8, "text-anchor": "middle"}, number(from).replace(" ", "")));
    }
  });
  const edge = shown.filter((from) => from < part.window).length;
  const at = 5 + edge * step;
  picture.append(svg("line", {class: "edge", x1: at, x2: at, y1: 12, y2: HEIGHT_HERE - 24}));
  picture.append(svg("text", {class: "soft", x: at + (edge * 2 > shown.length ? -5 : 5), y: 11,
    "text-anchor": edge * 2 > shown.length ? "end" : "start"}, `window ${part.window}`));
  return picture;
}

export function drawLateness(place, parts) {
  if (!parts.length) {
    return place.replaceChildren(html("p", "empty", "No inbound SA has received a packet yet."));
  }
  const width = Math.max(280, place.clientWidth);
  const nodes = [];
  for (const part of parts.slice(0, 4)) {
    if (!part.rows.length) {
      nodes.push(html("p", "more", `${exact(part.sas)} SA${part.sas > 1 ? "s" : ""} with a replay window of ${exact(part.window)}: ` +
        "no packet arrived late."));
      continue;
    }
    nodes.push(drawWindow(part, width));
    const short = part.window && part.window_for_all > part.window;
    const advice = short
      ? `A window of ${exact(part.window_for_all)} would have accepted every packet; this one is too small, or somebody forges numbers.`
      : "The window was large enough for every packet.";
    nodes.push(html("p", "more", `${exact(part.sas)} SA${part.sas > 1 ? "s" : ""} with a replay window of ${exact(part.window)}. ${advice} ` +
      "Green: accepted; red, on top: rejected. Heights are logarithmic; the foot says how many numbers late."));
  }
  place.replaceChildren(...nodes);
}
