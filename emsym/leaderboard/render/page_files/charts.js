// Bars, the plot of two scores and the heat map, drawn anew over what is chosen.
const make = (name, attributes = {}, text = "") => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
};
const TONES = {better: "good", open: "open", worse: "bad", "non-inferior": "good", inconclusive: "open", inferior: "bad"};

// the scale on which the intervals of a column are drawn, as emsym.leaderboard.render.svg_charts has it
function barScale(kind, values) {
  const most = Math.max(0, ...values.filter(v => v !== null && Number.isFinite(v)).map(Math.abs)) || 1;
  const [low, high, mark] = kind === "less" ? [-most, most, 0] : kind === "cost" ? [0, Math.max(2, most), 1] : [0, most, 0];
  const place = v => Math.round(Math.min(100, Math.max(0, 100 * (v - low) / (high - low))) * 10) / 10;
  return {place, mark: place(mark)};
}
function intervalBar(scale, row) {
  const svg = make("svg", {class: "bar"}), at = value => `${scale.place(value)}%`;
  svg.append(make("line", {class: "at", x1: `${scale.mark}%`, x2: `${scale.mark}%`, y2: "100%"}));
  if (row.low !== null && Number.isFinite(row.low) && Number.isFinite(row.high)) svg.append(make("line", {x1: at(row.low), x2: at(row.high), y1: "50%", y2: "50%"}));
  svg.append(make("circle", {cx: at(row.mean), cy: "50%", r: 4}));
  return svg;
}
// the places of slices whose middle is in the middle, as emsym.leaderboard.render.board_view has it
function sharePlaces(rows) {
  const sum = values => values.reduce((a, b) => a + b, 0), reach = row => { const c = row.length >> 1; return sum(row.slice(0, c)) + row[c] / 2; };
  const longest = Math.max(0, ...rows.flatMap(row => [reach(row), sum(row) - reach(row)])), scale = longest ? 500 / longest : 0;
  return rows.map(row => row.map((value, i) => [500 + scale * (sum(row.slice(0, i)) - reach(row)), scale * value]));
}
function drawShares(bar, places, text) {
  [...bar.querySelectorAll("rect")].forEach((rect, i) => { rect.setAttribute("x", places[i][0]); rect.setAttribute("width", places[i][1]); });
  bar.querySelector(".told").textContent = text;
}

const [W, H, L, R, T, B] = [640, 360, 56, 16, 26, 44];
function ticks(low, high) {
  const power = 10 ** Math.floor(Math.log10((high - low) / 5));
  const step = [1, 2, 5, 10].find(f => f * power >= (high - low) / 5 * 0.999) * power, first = Math.ceil(low / step - 1e-9);
  return range(Math.floor(high / step + 1e-9) - first + 1).map(i => (first + i) * step).map(v => [v, v.toFixed(Math.max(0, -Math.floor(Math.log10(step))))]);
}
function span(names, axis) {  // the values that an axis goes from and to
  const values = names.flatMap(k => { const row = axis.table.get(k); return [row.mean, row.low ?? row.mean, row.high ?? row.mean]; });
  const low = Math.min(...values), high = Math.max(...values);
  if (axis.better === "low" && low >= 0) return [0, high * 1.12 || 1];
  const room = Math.max((high - low) * 0.12, 0.005);
  return [low - room, high + room];
}
// heights of names to the right of marks, where they cover no mark and no name; none where there is no room
function labelHeights(marks) {
  const heights = new Map(), end = mark => mark.x + 9 + 7.5 * mark.name.length;
  for (const mark of [...marks].sort((a, b) => a.y - b.y)) {
    const circles = marks.filter(other => other !== mark && mark.x < other.x + 7 && other.x - 7 < end(mark)).map(other => other.y);
    const texts = [...heights].filter(([other]) => other.x < end(mark) && mark.x < end(other)).map(([, height]) => height);
    const free = height => circles.every(c => Math.abs(c - height + 4) >= 12) && texts.every(t => Math.abs(t - height) >= 13);
    heights.set(mark, range(58).flatMap(i => [mark.y - 4 * (i + 2), mark.y + 4 * (i + 2)]).find(height => height > T && height < H - B && free(height)));
  }
  return heights;
}
// `across` and `up` are {term, better, digits, table: Map of strategies to {mean, low, high}}
function drawPareto(svg, board, across, up, found) {
  const names = [...across.table.keys()].filter(k => up.table.has(k));
  svg.replaceChildren();
  svg.setAttribute("aria-label", `${up.term} against ${across.term} of each strategy; the table above holds the numbers`);
  if (!names.length) return;
  const [left, right] = span(names, across), [bottom, top] = span(names, up);
  const x = v => L + (v - left) / (right - left) * (W - R - L), y = v => H - B - (v - bottom) / (top - bottom) * (H - B - T);
  const which = axis => `${axis.term} (${axis.better === "high" ? "more" : "less"} is better)`;
  for (const [v, label] of ticks(bottom, top)) svg.append(make("path", {class: "rule", d: `M${L} ${y(v)}H${W - R}`}), make("text", {class: "tick", x: L - 8, y: y(v) + 4, "text-anchor": "end"}, label));
  for (const [v, label] of ticks(left, right)) svg.append(make("path", {class: "rule", d: `M${x(v)} ${T}V${H - B}`}), make("text", {class: "tick", x: x(v), y: H - B + 18, "text-anchor": "middle"}, label));
  svg.append(make("text", {class: "axis", x: (L + W - R) / 2, y: H - 6, "text-anchor": "middle"}, which(across)), make("text", {class: "axis", x: 4, y: T - 14}, which(up)));
  const ahead = (axis, k, l) => (axis.better === "high" ? 1 : -1) * (axis.table.get(k).mean - axis.table.get(l).mean);
  const marks = names.map(k => {
    const a = across.table.get(k), u = up.table.get(k);
    const beaten = names.some(l => ahead(up, l, k) >= 0 && ahead(across, l, k) >= 0 && (ahead(up, l, k) > 0 || ahead(across, l, k) > 0));
    const said = (axis, row) => `${axis.term} ${told(row.mean, axis.digits)} (${within(row.low, row.high, axis.digits)})`;
    const text = `${board.names[k]}: ${said(across, a)}, ${said(up, u)}${beaten ? "" : ", on the front"}`;
    const group = make("g", {class: `mark ${TONES[found.get(k)] ?? "neutral"}${beaten ? "" : " front"}`, tabindex: 0, role: "img", "aria-label": text, "data-tip": text, "data-number": k});
    const lines = (Number.isFinite(a.low ?? NaN) ? `M${x(a.low)} ${y(u.mean)}H${x(a.high)}` : "") + (Number.isFinite(u.low ?? NaN) ? `M${x(a.mean)} ${y(u.low)}V${y(u.high)}` : "");
    group.append(make("path", {d: lines}), make("circle", {cx: x(a.mean), cy: y(u.mean), r: 6}));
    svg.append(group);
    return {k, name: board.names[k], x: x(a.mean), y: y(u.mean)};
  });
  for (const [mark, height] of labelHeights(marks)) {
    if (height === undefined) continue;
    if (Math.abs(height - mark.y) > 16) svg.append(make("path", {class: "lead", d: `M${mark.x} ${mark.y}L${mark.x + 9} ${height - 4}`, "data-number": mark.k}));
    svg.append(make("text", {class: "label", x: mark.x + 9, y: height, "aria-hidden": "true", "data-number": mark.k}, mark.name));
  }
}

const LEVELS = 9;
function drawHeat(table, board, score, part) {
  const sets = [...partsOfDataSets(board, part)].map(([set, each]) => ({set, means: summarise(board, score, each), found: tiers(board, score, each)}));
  const most = Math.max(0, ...sets.flatMap(each => [...each.means.values()].map(row => Math.abs(row.mean))));
  const heads = [...table.tHead.rows[0].cells].slice(1);
  heads.forEach((head, i) => {
    const each = sets.find(one => one.set === head.dataset.dataset);
    head.hidden = !each;
    for (const row of table.tBodies[0].rows) {
      const cell = row.cells[i + 1], k = Number(row.dataset.number), value = each?.means.get(k)?.mean;
      cell.hidden = !each;
      cell.textContent = told(value ?? null, score.digits);
      cell.className = `level-${value === undefined || !most ? 0 : Math.round(LEVELS * Math.abs(value) / most)} ${each?.found.get(k) ?? ""}`;
    }
  });
  table.querySelector(".measured").textContent = score.term;
}
