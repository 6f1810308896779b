// The page: takes looks from /events, keeps ten minutes of them, and draws.
"use strict";
import {legend, drawMap, drawList, more, html, svg, explain, shape} from "./flows.js";
import {drawTraffic, drawDrops, drawDropList, drawLedger, drawLateness} from "./charts.js";
import {PLACES, MARKS, placeOf, number, exact, bits, packets, duration, moment, clock} from "./words.js";

const LIVE_MS = 10 * 60 * 1000;
const RANGES = [{name: "10 minutes", hours: 0}, {name: "24 hours", hours: 24}, {name: "31 days", hours: 744}];
const $ = (id) => document.getElementById(id);

const state = {view: null, lastUp: null, live: [], past: null, range: RANGES[0], connected: false};

// --- Summary ---

function tile(name, value, note, tell) {
  const node = html("div", "tile");
  node.append(html("div", "name", name), html("div", "value", value), html("div", "note", note));
  return explain(node, `tile ${name}`, tell);
}

function placesTile(halves) {
  const total = Object.values(halves).reduce((a, b) => a + b, 0);
  const node = html("div", "tile");
  node.append(html("div", "name", "Where SAs run"));
  const bar = svg("svg", {viewBox: "0 0 100 6", preserveAspectRatio: "none", width: "100%", height: 12, "aria-hidden": "true"});
  const words = [];
  let at = 0;
  for (const name of Object.keys(PLACES)) {
    if (!halves[name]) continue;
    const size = 100 * halves[name] / total;
    const part = svg("g", {class: `shape ${name}`});
    part.append(svg("rect", {x: at, width: Math.max(.5, size - .6), height: 6}));
    bar.append(part);
    at += size;
    words.push(`${exact(halves[name])} ${placeOf(name).word}`);
  }
  node.append(bar, html("div", "note", words.join(", ") || "nothing to run"));
  return explain(node, "tile places", `Halves of SAs by where their cryptography runs: ${words.join(", ") || "none"}.`);
}

function drawSummary(view) {
  const rate = (direction) => (view.totals.rates[direction] || {packets_per_second: 0, bits_per_second: 0});
  const tiles = [["Out", "out", "sealed for others"], ["In", "in", "opened for this host"]].map(([name, direction, what]) =>
    tile(name, bits(rate(direction).bits_per_second), packets(rate(direction).packets_per_second),
      `${name}: packets of SAs ${what}, ${packets(rate(direction).packets_per_second)}, ` +
      `${bits(rate(direction).bits_per_second)}.`));
  const dropped = view.drops.reduce((sum, drop) => sum + (drop.per_second || 0), 0);
  tiles.push(tile("SAs", exact(view.totals.sas), dropped ? `${number(dropped)} drops/s now` : "no drops now",
    `${exact(view.totals.sas)} SAs are installed. Packets dropped in the last second: ${number(dropped)}.`));
  tiles.push(placesTile(view.totals.halves));
  $("summary").replaceChildren(...tiles);
}

// --- Devices ---

function slotBar(name, used, limit, high) {
  const node = html("div");
  const text = limit ? `${name}: ${exact(used)} of ${exact(limit)} slots` : `${name}: ${exact(used)} slots`;
  node.append(html("div", "note", text));
  const bar = svg("svg", {viewBox: "0 0 100 6", preserveAspectRatio: "none", width: "100%", height: 8, "aria-hidden": "true"});
  bar.append(svg("rect", {class: "node", width: 100, height: 6}));
  const full = limit ? used / limit : 0;
  const part = svg("g", {class: `shape ${full > .9 ? "fault" : "packet"}`});
  part.append(svg("rect", {width: Math.min(100, 100 * full), height: 6}));
  bar.append(part);
  node.append(bar);
  return explain(node, `slots ${name}`, `${text}. The table was never fuller than ${exact(high)} slots in all. ` +
    (full > .9 ? "It is nearly full: further SAs run on this host's CPU." : "When it is full, further SAs run on this host's CPU."));
}

function facts(pairs) {
  const list = html("dl");
  for (const [name, value] of pairs) list.append(html("dt", "", name), html("dd", "", value));
  return list;
}

function troubles(device) {
  const list = [];
  if (device.failure) list.push(`failed: ${device.failure}`);
  if (device.caught) list.push(`caught: ${device.caught}`);
  if (device.denied) list.push(`gets no keys: ${device.denied_explanation || device.denied}`);
  if (device.disabled) list.push("the operator has disabled its offload");
  if (!device.trusted) list.push("the operator does not trust it with keys");
  if (device.link && device.link.state !== "up") list.push(`link ${device.link.state}: ${device.link.explanation || ""}`);
  if (device.host_side && device.host_side.state !== "present") list.push(device.host_side.explanation || device.host_side.state);
  if (device.fence && device.fence.state === "broken") list.push(`fence broken: ${device.fence.explanation || ""}`);
  return list;
}

function deviceCard(device) {
  const card = html("div", "card");
  const title = html("div", "title");
  const good = device.state === "up" && !troubles(device).length;
  const word = html("span");
  word.append(shape(good ? "disc" : "cross", good ? "end" : "fault"), device.state);
  title.append(html("span", "", device.name), word);
  card.append(title);
  const offload = device.offload || {};
  const identity = device.identity || {};
  for (const trouble of troubles(device)) card.append(html("div", "trouble", trouble));
  const guard = device.guard || {};
  const stopped = (guard.clear_stopped || 0) + (guard.unsealed_stopped || 0) + (guard.engine_unsealed || 0);
  const pairs = [["wire", `${device.wire} (${(device.link || {}).state || "?"})`], ["driver", device.driver + (identity.simulated ? ", simulated" : "")]];
  if (offload.capable) {
    card.append(slotBar("out", offload.outbound_used, offload.direction_limit, offload.slots_high_water),
      slotBar("in", offload.inbound_used, offload.direction_limit, offload.slots_high_water));
    pairs.push(["seals", packets(device.sealed_per_second)], ["opens", packets(device.opened_per_second)],
      ["handed back", exact(offload.returned)], ["SAs refused", exact(offload.refusals)]);
  } else {
    pairs.push(["offload", "none"]);
  }
  pairs.push(["guard stopped", exact(stopped)], ["fence", (device.fence || {}).state || "?"]);
  card.append(facts(pairs));
  return explain(card, `device ${device.name}`, `Device ${device.name} on the wire ${device.wire}: ` +
    (troubles(device).join("; ") || "all is well") + "." + (stopped ? `\nThe seal guard stopped ${exact(stopped)} of its packets.` : ""));
}

function engineCard(engine) {
  const card = html("div", "card");
  const title = html("div", "title");
  title.append(html("span", "", engine.name), html("span", "", engine.failure ? "failed" : engine.kind));
  card.append(title);
  if (engine.failure) card.append(html("div", "trouble", engine.failure));
  card.append(facts([["SA halves", exact(engine.sa_halves)], ["packets", exact(engine.jobs)], ["refused", exact(engine.refused)]]));
  return explain(card, `engine ${engine.name}`, `Engine ${engine.name}: ${engine.help || "does cryptography for this host"}. ` +
    `It serves ${exact(engine.sa_halves)} halves of SAs and was given ${exact(engine.jobs)} packets.`);
}

// --- Time ---

function span() {
  const to = state.lastUp ? state.lastUp.time_ms : Date.now();
  return {to, from: to - (state.range.hours ? state.range.hours * 36e5 : LIVE_MS)};
}

const pointOf = (step) => ([at, sample]) => ({t: at * 1000 + step * 500, step: step * 1000,
  bits: 8 * (sample.bytes || 0) / step, drops: sample.drops || {}});

function points() {
  if (!state.range.hours) return state.live;
  return state.past ? state.past.samples.map(pointOf(state.past.step)) : [];
}

function marks() {
  const known = new Map();
  const past = state.past ? state.past.marks : [];
  for (const mark of [...past, ...(state.lastUp.marks || [])]) known.set(`${mark.time_ms} ${mark.kind} ${mark.subject} ${mark.text}`, mark);
  return [...known.values()].sort((a, b) => b.time_ms - a.time_ms);
}

async function loadPast(hours) {
  try {
    const answer = await fetch(`/api/history?hours=${hours}`);
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

async function choose(range) {
  state.range = range;
  drawRange();
  if (range.hours) state.past = await loadPast(range.hours);
  if (state.lastUp) draw();
}

function drawRange() {
  $("range").replaceChildren(...RANGES.map((range) => {
    const button = html("button", "", range.name);
    button.type = "button";
    button.setAttribute("aria-pressed", String(range === state.range));
    button.addEventListener("click", () => choose(range));
    return button;
  }));
}

function drawMarkList(list) {
  if (!list.length) return $("marks").replaceChildren(html("li", "empty", "No SA moved, and no device failed, while this was watched."));
  $("marks").replaceChildren(...list.slice(0, 60).map((mark) => {
    const kind = MARKS[mark.kind] || MARKS.move;
    const row = html("li", mark.kind);
    const what = html("span", "what");
    what.append(shape(kind.shape, mark.kind), html("span", "word", kind.word), ` ${mark.subject} ${mark.text}`);
    row.append(html("span", "when", moment(mark.time_ms)), what);
    return row;
  }));
}

// --- All of it ---

function drawEmpty(view) {
  const empty = !view.flows.length;
  $("flows-empty").hidden = !empty;
  $("flows-empty").textContent = "No SA exists now, so Cygnet protects nothing. SAs appear here when an IKE daemon " +
    "or “cygnet exec -- ip xfrm” installs them.";
}

function draw() {
  const view = state.lastUp;
  const focus = document.activeElement && document.activeElement.getAttribute("data-key");
  drawSummary(view);
  drawEmpty(view);
  drawMap($("map"), view.flows);
  drawList($("flow-list"), view.flows.slice(0, 30));
  $("flows-more").textContent = more(view);
  $("devices").replaceChildren(...view.devices.map(deviceCard), ...view.engines.map(engineCard));
  const all = marks();
  const shown = points();
  drawTraffic($("traffic"), shown, span(), all);
  drawDropList($("drop-list"), view.drops, drawDrops($("drops"), shown, span(), all));
  drawLedger($("ledger"), view.keys, span(), all.filter((mark) => mark.kind !== "end"));
  drawLateness($("lateness"), view.lateness);
  drawMarkList(all);
  if (focus) {
    const again = [...document.querySelectorAll("[data-key]")].find((node) => node.getAttribute("data-key") === focus);
    if (again) again.focus({preventScroll: true});
  }
}

function drawStatus() {
  const view = state.lastUp;
  const up = state.connected && state.view && state.view.daemon.up;
  document.body.classList.toggle("stale", !up && view !== null);
  const daemon = view ? view.daemon : {};
  $("status").textContent = up
    ? `Live. cygnetd has run for ${duration(daemon.uptime_seconds || 0)} with ${daemon.workers} worker${daemon.workers === 1 ? "" : "s"}; ${clock(view.time_ms)}`
    : state.connected ? "Not live" : "Connecting …";
  const why = !state.connected ? "cygnet-web does not answer."
    : state.view && !state.view.daemon.up ? `cygnetd cannot be read: ${state.view.daemon.error}.` : "";
  $("away").hidden = up || (!why && !view);
  $("away").textContent = why + (view ? ` What is shown is from ${moment(view.time_ms)}.` : "");
  const history = view ? view.history_error : "";
  $("foot").textContent = (history ? `No history is stored: ${history}. ` : "") + "Read only. The same numbers: cygnet -j, /metrics.";
}

function take(view) {
  state.connected = true;
  if (!view.daemon.up) {
    state.view = view;
    return drawStatus();
  }
  state.view = state.lastUp = view;
  const rates = Object.values(view.totals.rates);
  if (view.seconds > 0) {
    const drops = {};
    for (const drop of view.drops) if (drop.per_second) drops[drop.reason] = drop.per_second * view.seconds;
    state.live.push({t: view.time_ms, step: Math.max(1000, view.seconds * 1000), drops,
      bits: rates.reduce((sum, rate) => sum + rate.bits_per_second, 0)});
    while (state.live.length && state.live[0].t < view.time_ms - LIVE_MS) state.live.shift();
  }
  drawStatus();
  draw();
}

// --- Explanations ---

function tell(node) {
  const box = $("tell");
  const text = node && node.closest ? node.closest("[data-tell]") : null;
  if (!text) {
    box.hidden = true;
    return;
  }
  box.textContent = text.getAttribute("data-tell");
  box.hidden = false;
  const place = text.getBoundingClientRect();
  const size = box.getBoundingClientRect();
  const below = place.bottom + 8 + size.height < window.innerHeight;
  box.style.left = `${Math.max(6, Math.min(place.left, window.innerWidth - size.width - 6))}px`;
  box.style.top = `${below ? place.bottom + 8 : Math.max(6, place.top - size.height - 8)}px`;
}

async function start() {
  $("legend").replaceChildren(...legend());
  drawRange();
  for (const event of ["pointerover", "focusin"]) document.addEventListener(event, (e) => tell(e.target));
  document.addEventListener("keydown", (e) => { if (e.key === "Escape") tell(null); });
  document.addEventListener("scroll", () => tell(null), {passive: true});
  window.addEventListener("resize", () => { if (state.lastUp) draw(); });
  const past = await loadPast(1);
  if (past) {
    state.live = past.samples.map(pointOf(past.step)).filter((point) => point.t < Date.now() - 5000);
    state.past = {...past, samples: []};
  }
  const source = new EventSource("/events");
  source.addEventListener("look", (event) => take(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    state.connected = false;
    drawStatus();
    // A refusal is final for the browser; the server may have room later.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 30000);
  });
}

start();
