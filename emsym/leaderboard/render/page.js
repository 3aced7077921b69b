"use strict";
// Sorts and filters the tables, and computes means, intervals and ranks anew over what is chosen.
// Texts are set as text alone; nothing is ever parsed as HTML.
(() => {
const MISSING = "–", ALPHA = 0.05;
const all = JSON.parse(document.getElementById("data").textContent);
const range = n => [...Array(n).keys()];
const mean = values => values.reduce((a, b) => a + b, 0) / values.length;
const root = value => Math.sqrt(Math.max(0, value));

function told(value, digits) {
  if (value === null || !Number.isFinite(value)) return MISSING;
  let text = value.toFixed(digits);
  if (Number(text) === 0) text = text.replace("-", "");
  return text.replace("-", "−");
}
function within(low, high, digits) {
  if (low === null || !Number.isFinite(low) || !Number.isFinite(high)) return "";
  const ends = [told(low, digits), told(high, digits)];
  return ends.join(ends.join("").includes("−") ? " to " : "–");
}

// Student's t: the regularised incomplete beta function by its continued fraction (Lentz)
function logGamma(x) {
  const c = [76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155, 0.1208650973866179e-2, -0.5395239384953e-5];
  let sum = 1.000000000190015;
  c.forEach((each, i) => { sum += each / (x + i + 1); });
  return Math.log(2.5066282746310005 * sum / x) - (x + 5.5) + (x + 0.5) * Math.log(x + 5.5);
}
function beta(x, a, b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - beta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x)) / a;
  let c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), h = d;
  for (let m = 1; m < 300; m++) {
    for (const term of [m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))]) {
      d = 1 / (1 + term * d); c = 1 + term / c; h *= d * c;
    }
    if (Math.abs(d * c - 1) < 1e-12) break;
  }
  return front * h;
}
const pOf = (t, freedom) => beta(freedom / (freedom + t * t), freedom / 2, 0.5);
function quantile(freedom) {  // the t beyond which ALPHA lies on both sides
  let low = 0, high = 2;
  while (pOf(high, freedom) > ALPHA) high *= 2;
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (pOf(middle, freedom) > ALPHA) low = middle; else high = middle;
  }
  return high;
}

// the largest complete part of the table of strategies × pairs, as emsym.leaderboard.eligibility has it
function complete(board, names, pairs) {
  const has = k => pairs.filter(p => board.entered[p][k]);
  const order = [...names].sort((a, b) => has(b).length - has(a).length);
  let shared = pairs, best = {names: [], pairs: [], area: 0};
  order.forEach((k, i) => {
    shared = shared.filter(p => board.entered[p][k]);
    const area = shared.length * (i + 1);
    if (area > 0 && area >= best.area) best = {names: order.slice(0, i + 1), pairs: shared, area};
  });
  return best;
}
function at(board, k, l) {  // where the difference of two strategies stands in a list of all
  const [a, b] = k < l ? [k, l] : [l, k], count = board.names.length;
  return a * count - a * (a + 1) / 2 + b - a - 1;
}
// variances of a sum over pairs, and their degrees of freedom, as emsym.leaderboard.intervals has them
const FEW = 3;
function combine(seeds, sections, both) {  // lists of [variance, degrees of freedom]
  const sum = parts => parts.reduce((a, [v]) => a + v, 0), known = parts => parts.reduce((a, [, f]) => a + f, 0);
  const [first, second] = [sum(seeds), sum(sections)];
  const variance = Math.max(first + second - sum(both), first, second);
  const squares = [...seeds, ...sections, ...both].reduce((a, [v, f]) => a + v * v / (f + 2), 0);
  const ofSeeds = Math.max(1, known(seeds)), most = ofSeeds + (ofSeeds >= FEW ? known(sections) : 0);
  const freedom = Math.min(most, Math.max(1, variance * variance / squares - 2));
  return {variance, freedom: Number.isFinite(freedom) ? freedom : ofSeeds};
}
// of the mean over pairs of Σ weights × strategies, of which there are one or two
function errorOf(board, score, pairs, weights) {
  const [[k, a], [l, b]] = [weights[0], weights[1] ?? [weights[0][0], 0]];
  const of = table => {
    if (k === l) return a * a * table.own[k];
    if (!table.paired) return a * a * table.own[k] + b * b * table.own[l];
    const both = (table.own[k] + table.own[l] - table.paired[at(board, k, l)]) / 2;
    return Math.max(0, a * a * table.own[k] + 2 * a * b * both + b * b * table.own[l]);
  };
  const blocks = new Map(), sections = [];
  for (const each of score.sections) {
    const there = range(each.pairs.length).filter(i => pairs.includes(each.pairs[i]));
    there.forEach(i => blocks.set(each.pairs[i], each.moves.length - 1));
    if (!there.length) continue;
    const moved = each.moves.map(block => there.reduce((sum, i) => sum + a * block[i][k] + b * block[i][l], 0));
    sections.push([moved.reduce((sum, m) => sum + m * m, 0), each.moves.length - 1]);
  }
  const seeds = pairs.map(p => [of(score.seeds[p]), board.seeds[p] - 1]);
  const both = pairs.map(p => [of(score.both[p]), (board.seeds[p] - 1) * (blocks.get(p) ?? 0)]);
  const {variance, freedom} = combine(seeds, sections, both);
  return {error: Math.sqrt(variance) / pairs.length, freedom};
}
function slope(board, score, pairs, k, value) {  // by how much what is shown changes with a mean
  if (!score.squared) return 1;
  const most = Math.max(2 * root(value), Math.sqrt(errorOf(board, score, pairs, [[k, 1]]).error));
  return most > 0 ? 1 / most : 0;
}
function compare(board, score, pairs, k, l) {
  const [one, other] = [k, l].map(each => mean(pairs.map(p => score.mean[p][each])));
  const difference = score.squared ? root(one) - root(other) : one - other;
  const weights = [[k, slope(board, score, pairs, k, one)], [l, -slope(board, score, pairs, l, other)]];
  const {error, freedom} = errorOf(board, score, pairs, weights);
  const alone = pairs.some(p => board.seeds[p] < 2);
  return {difference, error, freedom, p: alone ? null : difference === 0 ? 1 : pOf(difference / error, freedom)};
}
function known(score, pairs, k) { return pairs.every(p => score.mean[p][k] !== null); }

function summarise(board, score, part) {
  const rows = new Map();
  for (const k of part.names) {
    if (!known(score, part.pairs, k)) continue;
    const value = mean(part.pairs.map(p => score.mean[p][k]));
    const row = {plain: value, mean: score.squared ? root(value) : value, low: null, high: null, plainLow: null};
    if (part.pairs.every(p => board.seeds[p] > 1)) {
      const {error, freedom} = errorOf(board, score, part.pairs, [[k, 1]]);
      const reach = error * quantile(freedom);
      row.plainLow = value - reach;
      let [low, high] = [value - reach, value + reach];
      if (score.squared) [low, high] = [root(low), value > reach ? root(value) * Math.exp(reach / (2 * value)) : root(high)];
      row.low = Math.max(score.bounds[0] ?? -Infinity, low);
      row.high = Math.min(score.bounds[1] ?? Infinity, high);
    }
    rows.set(k, row);
  }
  if (score.better) places(board, score, part.pairs, rows);
  return rows;
}
function places(board, score, pairs, rows) {
  const names = [...rows.keys()], couples = [];
  for (const k of names) Object.assign(rows.get(k), {first: 1, last: names.length, rank: 0});
  names.forEach((k, i) => names.slice(i + 1).forEach(l => {
    const test = compare(board, score, pairs, k, l);
    if (test.p !== null) couples.push({k, l, ...test});
  }));
  couples.sort((a, b) => a.p - b.p);
  let worst = 0;
  couples.forEach((each, i) => {  // Holm
    worst = Math.max(worst, each.p * (couples.length - i));
    if (worst > ALPHA) return;
    const ahead = (each.difference > 0) === (score.better === "high");
    rows.get(ahead ? each.l : each.k).first += 1;
    rows.get(ahead ? each.k : each.l).last -= 1;
  });
  const sign = score.better === "high" ? -1 : 1;
  for (const p of pairs) {
    for (const k of names) {
      const mine = sign * score.mean[p][k];
      const less = names.filter(l => sign * score.mean[p][l] < mine).length;
      const same = names.filter(l => sign * score.mean[p][l] === mine).length;
      rows.get(k).rank += (less + (same + 1) / 2) / pairs.length;
    }
  }
}

const make = (name, attributes = {}, text = "") => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
};

function setUp(section, board) {
  const form = section.querySelector(".filters"), status = section.querySelector(".status");
  const table = section.querySelector(".main"), body = table.tBodies[0];
  const rows = [...body.rows], inOrder = [...rows];
  const still = new Map(rows.map(row => [row, [...row.cells].map(cell => [...cell.childNodes].map(n => n.cloneNode(true)))]));
  const pareto = section.querySelector(".pareto");
  const asDrawn = pareto ? [...pareto.childNodes].map(n => n.cloneNode(true)) : [];
  const bars = [...section.querySelectorAll(".bars tr")];
  const barsDrawn = bars.map(bar => [[...bar.querySelectorAll("rect")].map(r => [r.getAttribute("x"), r.getAttribute("width")]), bar.querySelector(".told").textContent]);
  const lead = board.scores[0], dice = board.scores.find(s => s.name === "dice");
  const bias = board.scores.find(s => s.name === "model_asymmetry");
  let sorted = null;

  const chosen = kind => new Set([...form.querySelectorAll(`[data-kind=${kind}] input`)].filter(i => i.checked).map(i => i.value));
  form.hidden = false;
  form.addEventListener("change", event => {
    if (event.target === select) sortBy(select.value === "" ? null : {column: Number(select.value), up: rises(Number(select.value))});
    update();
  });
  form.addEventListener("reset", () => { sortBy(null); setTimeout(update); });
  form.addEventListener("submit", event => event.preventDefault());

  function update() {
    const datasets = chosen("dataset"), architectures = chosen("architecture"), strategies = chosen("name");
    const pairs = range(board.datasets.length).filter(p => datasets.has(board.datasets[p]) && architectures.has(board.architectures[p]));
    const names = range(board.names.length).filter(k => strategies.has(board.names[k]));
    const whole = pairs.length === board.datasets.length && names.length === board.names.length;
    for (const element of section.querySelectorAll("[data-number]")) element.toggleAttribute("hidden", !names.includes(Number(element.dataset.number)));
    for (const element of section.querySelectorAll("div[data-dataset]")) element.hidden = !(datasets.has(element.dataset.dataset) && architectures.has(element.dataset.architecture));
    // what the sentences and tests say is of everything; of a choice the status tells
    for (const element of section.querySelectorAll("[data-whole]")) element.hidden = !whole;
    if (whole) restore(); else compute(names, pairs);
    sort(sorted);
  }
  function restore() {
    for (const row of rows) [...row.cells].forEach((cell, i) => cell.replaceChildren(...still.get(row)[i].map(n => n.cloneNode(true))));
    for (const row of rows) row.classList.toggle("unranked", row.cells[0].textContent === MISSING);
    if (pareto) pareto.replaceChildren(...asDrawn.map(n => n.cloneNode(true)));
    bars.forEach((bar, i) => { drawBar(bar, ...barsDrawn[i]); bar.parentNode.append(bar); });
    inOrder.forEach(row => body.append(row));
    status.textContent = "";
  }
  function compute(names, pairs) {
    const part = complete(board, names, pairs);
    const found = board.scores.map(score => summarise(board, score, part)), verdict = verdicts(part);
    for (const row of rows) {
      const k = Number(row.dataset.number), first = found[0].get(k);
      row.classList.toggle("unranked", !part.names.includes(k));
      for (const cell of row.cells) {
        const column = cell.dataset.column;
        if (column === undefined) continue;
        if (column === "cells") {
          const has = pairs.reduce((a, p) => a + board.present[p][k], 0);
          cell.textContent = `${has} of ${pairs.reduce((a, p) => a + board.seeds[p], 0)}`;
        } else if (column === "rank") cell.textContent = first && lead.better ? first.first === first.last ? first.first : `${first.first}–${first.last}` : MISSING;
        else if (column === "average") fill(cell, first && lead.better ? {mean: first.rank, low: null} : null, 1);
        else if (column === "cut") fill(cell, cut(found[0], k, part.pairs), 0);
        else if (column === "less") less(cell, k, part, verdict);
        else fill(cell, found[column].get(k), board.scores[column].digits);
      }
    }
    const order = [...rows].sort((a, b) => (key(found[0], a) - key(found[0], b)) || 0);
    order.forEach(row => body.append(row));
    order.forEach(row => bars.filter(bar => bar.dataset.number === row.dataset.number).forEach(bar => bar.parentNode.append(bar)));
    if (pareto && dice && bias) draw(found[board.scores.indexOf(bias)], found[board.scores.indexOf(dice)]);
    shares(part);
    const count = part.pairs.length;
    status.textContent = count === 0 ? "Nothing that is chosen shares a cell." :
      `Ranked: ${part.names.length} of ${names.length} chosen strategies, over the ${count} of ${pairs.length} chosen pairs of data set and architecture that all of them have${lead.paired ? "" : "; too many strategies to pair them here, so that differences are taken as if they were not"}.`;
  }
  const key = (table, row) => {
    const found = table.get(Number(row.dataset.number));
    return found ? (lead.better === "high" ? -1 : 1) * found.mean : Infinity;
  };
  function fill(cell, row, digits) {
    cell.replaceChildren();
    if (!row) { cell.textContent = MISSING; return; }
    const value = document.createElement("span"), small = document.createElement("small");
    const bounds = within(row.low, row.high, digits);
    value.className = "value"; value.tabIndex = 0;
    value.textContent = told(row.mean, digits);
    value.dataset.tip = `${cell.dataset.label}: ${value.textContent}, ${bounds ? `95 % interval ${bounds}` : "no interval"}`;
    small.textContent = bounds;
    cell.append(value, small);
  }
  function cut(table, k, pairs) {
    const base = table.get(board.baseline), own = table.get(k);
    if (!base || !own || k === board.baseline || !(base.plain > 0)) return null;
    const ratio = own.plain / base.plain;
    const {error, freedom} = errorOf(board, lead, pairs, [[k, 1], [board.baseline, -ratio]]);
    const reach = base.plainLow > 0 ? error / base.plain * quantile(freedom) : NaN;
    const percent = part => 100 * (1 - (lead.squared ? root(part) : Math.max(0, part)));
    return {mean: percent(ratio), low: percent(ratio + reach), high: percent(ratio - reach)};
  }
  // one-sided p of a difference from the baseline, moved by the margin, and Holm's correction
  function verdicts(part) {
    const b = board.baseline, found = new Map();
    if (!dice || !part.names.includes(b) || !known(dice, part.pairs, b)) return found;
    const rows = part.names.filter(k => k !== b && known(dice, part.pairs, k)).map(k => ({k, ...compare(board, dice, part.pairs, k, b)}));
    rows.forEach(row => found.set(row.k, "inconclusive"));
    for (const [name, side] of [["non-inferior", 1], ["inferior", -1]]) {
      const tests = rows.filter(row => row.p !== null).map(row => {
        const t = side * (row.difference + board.margin) / row.error, both = Number.isFinite(t) ? pOf(t, row.freedom) : 0;
        return {k: row.k, p: t > 0 ? both / 2 : 1 - both / 2};
      }).sort((x, y) => x.p - y.p);
      let worst = 0;
      tests.forEach((test, i) => { worst = Math.max(worst, test.p * (tests.length - i)); if (worst <= ALPHA / 2) found.set(test.k, name); });
    }
    return found;
  }
  function less(cell, k, part, verdict) {
    cell.replaceChildren();
    if (!verdict.has(k)) { cell.textContent = MISSING; return; }
    const {difference, error, freedom, p} = compare(board, dice, part.pairs, k, board.baseline);
    const reach = p === null ? NaN : error * quantile(freedom);
    fill(cell, {mean: difference, low: difference - reach, high: difference + reach}, 3);
    const small = document.createElement("small");
    small.className = `verdict ${verdict.get(k)}`; small.textContent = verdict.get(k);
    cell.append(small);
  }
  function shares(part) {
    bars.forEach(bar => {
      const k = Number(bar.dataset.number), count = bar.querySelectorAll("rect").length;
      if (!board.shares.length || !part.names.includes(k)) { drawBar(bar, range(count).map(() => [0, 0]), MISSING); return; }
      let left = 0;
      const values = range(count).map(s => mean(part.pairs.map(p => board.shares[p][k][s])));
      drawBar(bar, values.map(v => { left += v; return [1000 * (left - v), 1000 * v]; }), values.map(v => told(v, 2)).join(" / "));
    });
  }
  function drawBar(bar, places, text) {
    [...bar.querySelectorAll("rect")].forEach((rect, i) => { rect.setAttribute("x", places[i][0]); rect.setAttribute("width", places[i][1]); });
    bar.querySelector(".told").textContent = text;
  }
  function draw(across, up) {
    const names = [...across.keys()].filter(k => up.has(k));
    const [W, H, L, R, T, B] = [640, 360, 56, 16, 26, 44];
    pareto.replaceChildren();
    if (!names.length) return;
    const ends = (table, name) => names.flatMap(k => [table.get(k).mean, table.get(k)[name] ?? table.get(k).mean]);
    const right = Math.max(...ends(across, "high")) * 1.12 || 1;
    const lows = Math.min(...ends(up, "low")), highs = Math.max(...ends(up, "high")), room = Math.max((highs - lows) * 0.12, 0.005);
    const x = v => L + v / right * (W - R - L), y = v => H - B - (v - lows + room) / (highs - lows + 2 * room) * (H - B - T);
    const ticks = (low, high) => {
      const power = 10 ** Math.floor(Math.log10((high - low) / 5));
      const step = [1, 2, 5, 10].find(f => f * power >= (high - low) / 5 * 0.999) * power;
      return range(Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1).map(i => (Math.ceil(low / step - 1e-9) + i) * step).map(v => [v, v.toFixed(Math.max(0, -Math.floor(Math.log10(step))))]);
    };
    for (const [v, label] of ticks(lows - room, highs + room)) pareto.append(make("path", {class: "rule", d: `M${L} ${y(v)}H${W - R}`}), make("text", {class: "tick", x: L - 8, y: y(v) + 4, "text-anchor": "end"}, label));
    for (const [v, label] of ticks(0, right)) pareto.append(make("path", {class: "rule", d: `M${x(v)} ${T}V${H - B}`}), make("text", {class: "tick", x: x(v), y: H - B + 18, "text-anchor": "middle"}, label));
    pareto.append(make("text", {class: "name", x: (L + W - R) / 2, y: H - 6, "text-anchor": "middle"}, `${bias.term} (less is better)`), make("text", {class: "name", x: 4, y: T - 14}, dice.term));
    const labels = new Map(), left = k => x(across.get(k).mean), end = k => left(k) + 9 + 7.5 * board.names[k].length;
    for (const k of [...names].sort((k, l) => up.get(l).mean - up.get(k).mean)) {
      const circles = names.filter(l => l !== k && left(k) < left(l) + 7 && left(l) - 7 < end(k)).map(l => y(up.get(l).mean));
      const texts = [...labels].filter(([l]) => left(l) < end(k) && left(k) < end(l)).map(([, height]) => height);
      const free = height => circles.every(c => Math.abs(c - height + 4) >= 12) && texts.every(t => Math.abs(t - height) >= 13);
      const own = y(up.get(k).mean), steps = range(58).flatMap(i => [own - 4 * (i + 2), own + 4 * (i + 2)]);
      labels.set(k, steps.find(free) ?? own);
    }
    for (const k of names) {
      const a = across.get(k), u = up.get(k);
      const beaten = names.some(l => up.get(l).mean >= u.mean && across.get(l).mean <= a.mean && (up.get(l).mean > u.mean || across.get(l).mean < a.mean));
      const text = `${board.names[k]}: ${bias.term} ${told(a.mean, bias.digits)} (${within(a.low, a.high, bias.digits)}), ${dice.term} ${told(u.mean, dice.digits)} (${within(u.low, u.high, dice.digits)})${beaten ? "" : ", on the front"}`;
      const group = make("g", {class: beaten ? "mark" : "mark front", tabindex: 0, role: "img", "aria-label": text, "data-tip": text, "data-number": k});
      const lines = (a.low === null ? "" : `M${x(a.low)} ${y(u.mean)}H${x(a.high)}`) + (u.low === null ? "" : `M${x(a.mean)} ${y(u.low)}V${y(u.high)}`);
      group.append(make("path", {d: lines}), make("circle", {cx: x(a.mean), cy: y(u.mean), r: 6}));
      pareto.append(group);
    }
    for (const k of names) {
      if (Math.abs(labels.get(k) - y(up.get(k).mean)) > 16) pareto.append(make("path", {class: "lead", d: `M${left(k)} ${y(up.get(k).mean)}L${left(k) + 9} ${labels.get(k) - 4}`, "data-number": k}));
      pareto.append(make("text", {class: "label", x: x(across.get(k).mean) + 9, y: labels.get(k), "aria-hidden": "true", "data-number": k}, board.names[k]));
    }
  }

  const heads = [...table.tHead.rows[0].cells];
  const select = form.querySelector("select");
  const rises = column => !heads[column].textContent.includes("↑");  // the best first
  select.append(new Option("as ranked", ""));
  heads.forEach((head, column) => {
    if (head.dataset.sort === undefined) return;
    select.append(new Option(head.textContent, column));
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      sortBy({column, up: sorted && sorted.column === column ? !sorted.up : rises(column)});
      sort(sorted);
    });
  });
  function sortBy(by) {
    sorted = by;
    select.value = by ? by.column : "";
    heads.forEach((head, i) => by && i === by.column ? head.setAttribute("aria-sort", by.up ? "ascending" : "descending") : head.removeAttribute("aria-sort"));
  }
  function sort(by) {
    if (!by) return;
    const value = row => {
      const cell = row.cells[by.column], text = (cell.querySelector(".value") ?? cell).textContent.replace("−", "-");
      if (heads[by.column].dataset.sort === "name") return text;
      const found = parseFloat(text);
      return Number.isNaN(found) ? null : found;
    };
    const order = [...body.rows].sort((a, b) => {
      const [one, other] = [value(a), value(b)];
      if (one === null || other === null) return (one === null) - (other === null);
      const difference = typeof one === "string" ? one.localeCompare(other) : one - other;
      return by.up ? difference : -difference;
    });
    order.forEach(row => body.append(row));
  }
  update();
}

function tips() {
  const tip = document.getElementById("tip");
  const show = event => {
    const target = event.target.closest?.("[data-tip]");
    tip.hidden = !target;
    if (!target) return;
    tip.textContent = target.dataset.tip ?? target.getAttribute("data-tip");
    const box = target.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left), document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.animate([{transform: `translate(${left}px, ${above > 0 ? above : box.bottom + 8}px)`}], {duration: 0, fill: "forwards"});
  };
  document.addEventListener("mouseover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("keydown", event => { if (event.key === "Escape") tip.hidden = true; });
  document.addEventListener("scroll", () => { tip.hidden = true; }, {passive: true});
}

document.querySelectorAll("[data-board]").forEach(section => setUp(section, all[Number(section.dataset.board)]));
tips();
addEventListener("beforeprint", () => document.querySelectorAll("main details").forEach(each => { if (!each.closest("form")) each.open = true; }));
document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
