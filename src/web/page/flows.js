// Flows: the map (host, policy, SA, where it runs, wire) and, where there is no room for it, the list.
"use strict";
import {PLACES, placeOf, runsOn, arrow, bits, packets, tellFlow, exact} from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const MOST_ROWS = 12;
const ROW = 46;

export function svg(name, attributes = {}, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

export function html(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// Makes an element explain itself: to the pointer, to the keyboard and to a screen reader.
export function explain(node, key, text) {
  node.setAttribute("tabindex", "0");
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", text);
  node.setAttribute("data-key", key);
  node.setAttribute("data-tell", text);
  return node;
}

export function shapeIn(name, x, y, size) {
  const r = size / 2;
  switch (name) {
    case "disc": return svg("circle", {cx: x, cy: y, r});
    case "diamond": return svg("path", {d: `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`});
    case "triangle": return svg("path", {d: `M${x} ${y - r}L${x + r} ${y + r}L${x - r} ${y + r}Z`});
    case "cross": return svg("path", {d: `M${x - r} ${y - r}L${x + r} ${y + r}M${x + r} ${y - r}L${x - r} ${y + r}`,
      "stroke-width": 2.5});
    default: return svg("rect", {x: x - r, y: y - r, width: size, height: size});
  }
}

export function shape(name, className) {
  const node = svg("svg", {class: `shape ${className}`, viewBox: "0 0 12 12", "aria-hidden": "true"});
  node.append(shapeIn(name, 6, 6, 9));
  return node;
}

export function legend() {
  return Object.entries(PLACES).map(([name, place]) => {
    const item = html("li", name);
    item.append(shape(place.shape, name), place.word);
    return explain(item, `legend ${name}`, `${place.word}: ${place.tell}`);
  });
}

const cut = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);
const selector = (flow) => ((flow.policies || [])[0] || "no policy names it");

// The nodes of one column: those of the same name are one.
function column(flows, nameOf) {
  const nodes = new Map();
  flows.forEach((flow, row) => {
    const name = nameOf(flow);
    if (!nodes.has(name)) nodes.set(name, {name, rows: [], flow});
    nodes.get(name).rows.push(row);
  });
  for (const node of nodes.values()) {
    node.y = 30 + ROW * (node.rows.reduce((a, b) => a + b, 0) / node.rows.length + .5);
  }
  // Nodes whose middle is at the same height move apart.
  const order = [...nodes.values()].sort((a, b) => a.y - b.y);
  for (let i = 1; i < order.length; ++i) order[i].y = Math.max(order[i].y, order[i - 1].y + ROW - 4);
  return nodes;
}

const sum = (flows, rows, field) => rows.reduce((total, row) => total + (flows[row][field] || 0), 0);

const COLUMNS = [
  {title: "Host", of: (f) => f.host || "host", first: (n) => n.name, second: () => "what the host uses",
    tell: (n) => `The interface ${n.name}, by which this host sends and receives in clear.`},
  {title: "Policy", of: (f) => selector(f), first: (n) => n.name, second: (n) => (n.flow.direction === "in" ? "inbound" : "outbound"),
    tell: (n) => `The policy for ${n.name}: its packets leave or arrive under these SAs, or not at all.`},
  {title: "SA", of: (f) => f.key, first: (n) => `${n.flow.spi} ${arrow(n.flow)} ${n.flow.direction === "in" ? n.flow.src : n.flow.dst}`,
    second: (n) => `${bits(n.flow.bits_per_second)}`, tell: (n) => tellFlow(n.flow)},
  {title: "Runs on", of: (f) => `${f.effective} ${runsOn(f)}`, first: (n) => runsOn(n.flow),
    second: (n) => placeOf(n.flow.effective).word, place: true,
    tell: (n) => `${runsOn(n.flow)}: ${placeOf(n.flow.effective).word}. ${placeOf(n.flow.effective).tell}` +
      (n.flow.simulated ? "\nThis device is simulated: this host's CPU does its work." : "")},
  {title: "Wire", of: (f) => f.wire || "wire", first: (n) => n.name, second: () => "ESP",
    tell: (n) => `The interface ${n.name}: only sealed packets leave here, or what policy lets pass in clear.`},
];

function drawNode(kind, node, x, width, flows) {
  const place = kind.place ? ` place ${node.flow.effective}` : "";
  const group = svg("g", {class: place.trim()});
  group.append(svg("rect", {class: `node${place}`, x, y: node.y - 18, width, height: 36, rx: 7}));
  let left = x + 10;
  if (kind.place) {
    const mark = svg("g", {class: `shape ${node.flow.effective}`});
    mark.append(shapeIn(placeOf(node.flow.effective).shape, x + 14, node.y, 10));
    group.append(mark);
    left = x + 27;
  }
  const room = Math.floor((x + width - left - 6) / 6.7);
  group.append(svg("text", {x: left, y: node.y - 3}, cut(kind.first(node), room)));
  group.append(svg("text", {x: left, y: node.y + 12, class: "soft"}, cut(kind.second(node), room)));
  const rate = kind.title === "SA" ? "" : `\nNow ${packets(sum(flows, node.rows, "packets_per_second"))}, ` +
    `${bits(sum(flows, node.rows, "bits_per_second"))} of ${node.rows.length} SA${node.rows.length > 1 ? "s" : ""} shown.`;
  return explain(group, `${kind.title} ${node.name}`, kind.tell(node) + rate);
}

function link(from, to, flow, shift) {
  const rate = flow.bits_per_second || 0;
  const width = rate > 0 ? Math.min(12, 1.5 + Math.log10(1 + rate / 1000) * 1.5) : 1.5;
  const bend = (to.x - from.x) / 2;
  return svg("path", {class: `link ${flow.effective}${rate > 0 ? "" : " idle"}`, "stroke-width": width.toFixed(1),
    d: `M${from.x} ${from.y + shift}C${from.x + bend} ${from.y + shift} ${to.x - bend} ${to.y + shift} ${to.x} ${to.y + shift}`});
}

export function drawMap(place, all) {
  const flows = all.slice(0, MOST_ROWS).sort((a, b) =>
    (a.direction + selector(a) + a.key).localeCompare(b.direction + selector(b) + b.key));
  if (!flows.length) return place.replaceChildren();
  const width = Math.max(740, place.clientWidth);
  const gap = 44;
  const shares = [.13, .27, .25, .2, .15];
  const room = width - gap * 4 - 2;
  const columns = COLUMNS.map((kind) => column(flows, kind.of));
  const height = Math.max(...columns.flatMap((nodes) => [...nodes.values()].map((node) => node.y))) + 26;
  const picture = svg("svg", {viewBox: `0 0 ${width} ${height}`, width: "100%", height, role: "group",
    "aria-label": "Map of flows: host, policy, SA, where it runs, wire"});
  const links = svg("g");
  picture.append(links);
  let x = 1;
  let before = null;
  COLUMNS.forEach((kind, i) => {
    const size = shares[i] * room;
    picture.append(svg("text", {x: x + 2, y: 14, class: "soft"}, kind.title));
    for (const node of columns[i].values()) picture.append(drawNode(kind, node, x, size, flows));
    if (before) {
      flows.forEach((flow) => {
        const from = before.nodes.get(before.kind.of(flow));
        const to = columns[i].get(kind.of(flow));
        links.append(link({x: before.end, y: from.y}, {x, y: to.y}, flow, 0));
      });
    }
    before = {nodes: columns[i], end: x + size, kind};
    x += size + gap;
  });
  place.replaceChildren(picture);
}

export function drawList(place, flows) {
  place.replaceChildren(...flows.map((flow) => {
    const row = html("div", `flow ${flow.effective}`);
    const line = html("div", "line");
    const name = html("span");
    name.append(shape(placeOf(flow.effective).shape, flow.effective));
    name.append(html("span", "word", placeOf(flow.effective).word), ` ${flow.direction}`);
    line.append(name, html("span", "", bits(flow.bits_per_second)));
    const steps = [flow.host || "host", selector(flow), `SA ${flow.spi}`, runsOn(flow), flow.wire || "wire"];
    if (flow.direction === "in") steps.reverse();
    row.append(line, html("div", "path", steps.join(" → ")));
    return explain(row, `list ${flow.key}`, tellFlow(flow));
  }));
}

export function more(view) {
  const hidden = Math.max(0, view.flows.length - MOST_ROWS) + (view.flows_left_out || 0);
  return hidden ? `The map shows the ${MOST_ROWS} SAs with the most traffic; ${exact(hidden)} more exist (cygnet sa lists them).` : "";
}
