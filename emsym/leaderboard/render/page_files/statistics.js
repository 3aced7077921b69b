// Means, intervals, tests and ranks over a part of the cells, by the formulas that Python has.
const MISSING = "–", ALPHA = 0.05;
const range = n => [...Array(n).keys()];
const mean = values => values.reduce((a, b) => a + b, 0) / values.length;
const root = value => Math.sqrt(Math.max(0, value));

// variances and what sections do are float32 in base64
function unpack(board) {
  const floats = text => new Float32Array(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer);
  const variances = each => ({own: floats(each.own), paired: each.paired === undefined ? null : floats(each.paired)});
  for (const score of board.scores) {
    score.seeds = score.seeds.map(variances);
    score.both = score.both.map(variances);
    score.sections = score.sections.map(({pairs, blocks, moves}) => ({pairs, blocks, moves: floats(moves), count: board.names.length}));
  }
  return board;
}
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
    there.forEach(i => blocks.set(each.pairs[i], each.blocks - 1));
    if (!there.length) continue;
    const move = (block, i, strategy) => each.moves[(block * each.pairs.length + i) * each.count + strategy];
    const moved = range(each.blocks).map(block => there.reduce((sum, i) => sum + a * move(block, i, k) + b * move(block, i, l), 0));
    sections.push([moved.reduce((sum, m) => sum + m * m, 0), each.blocks - 1]);
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
// Holm's step-down correction of tests with a p
function holm(tests) {
  let worst = 0;
  return [...tests].sort((a, b) => a.p - b.p).map((each, i) => {
    worst = Math.max(worst, each.p * (tests.length - i));
    return {...each, corrected: Math.min(1, worst)};
  });
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
  for (const each of holm(couples)) {
    if (each.corrected > ALPHA) continue;
    const ahead = (each.difference > 0) === (score.better === "high");
    rows.get(ahead ? each.l : each.k).first += 1;
    rows.get(ahead ? each.k : each.l).last -= 1;
  }
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


// which strategies are shown to be better or worse than the baseline, as emsym.leaderboard.tiers has it
function tiers(board, score, part) {
  const b = board.baseline, found = new Map(), tests = [];
  if (!score.better || !part.names.includes(b) || !known(score, part.pairs, b)) return found;
  for (const k of part.names) {
    if (k === b || !known(score, part.pairs, k)) continue;
    found.set(k, "open");
    const test = compare(board, score, part.pairs, k, b);
    if (test.p !== null) tests.push({k, ...test});
  }
  for (const {k, difference, corrected} of holm(tests)) {
    if (corrected < ALPHA) found.set(k, (difference > 0) === (score.better === "high") ? "better" : "worse");
  }
  return found;
}
function partsOfDataSets(board, part) {  // the same strategies on each data set by itself
  const sets = [...new Set(part.pairs.map(p => board.datasets[p]))];
  return new Map(sets.map(set => [set, {names: part.names, pairs: part.pairs.filter(p => board.datasets[p] === set)}]));
}
// whether the Dice of each strategy is non-inferior to the baseline's: one-sided, at half of ALPHA
function verdicts(board, dice, part) {
  const b = board.baseline, found = new Map();
  if (!dice || !part.names.includes(b) || !known(dice, part.pairs, b)) return found;
  const rows = part.names.filter(k => k !== b && known(dice, part.pairs, k)).map(k => ({k, ...compare(board, dice, part.pairs, k, b)}));
  rows.forEach(row => found.set(row.k, "inconclusive"));
  for (const [name, side] of [["non-inferior", 1], ["inferior", -1]]) {
    const tests = rows.filter(row => row.p !== null).map(row => {
      const t = side * (row.difference + board.margin) / row.error, both = Number.isFinite(t) ? pOf(t, row.freedom) : 0;
      return {k: row.k, p: t > 0 ? both / 2 : 1 - both / 2};
    });
    holm(tests).forEach(test => { if (test.corrected <= ALPHA / 2) found.set(test.k, name); });
  }
  return found;
}
function difference(board, score, part, k) {  // from the baseline, with its interval
  const {difference, error, freedom, p} = compare(board, score, part.pairs, k, board.baseline);
  const reach = p === null ? NaN : error * quantile(freedom), [least, most] = score.bounds;
  const end = least === null || most === null ? Infinity : most - least;
  return {mean: difference, low: Math.max(-end, difference - reach), high: Math.min(end, difference + reach)};
}
// by how many per cent a mean is below the baseline's, by the delta method
function cut(board, score, table, k, pairs) {
  const base = table.get(board.baseline), own = table.get(k);
  if (!base || !own || k === board.baseline || !(base.plain > 0)) return null;
  const ratio = own.plain / base.plain;
  const {error, freedom} = errorOf(board, score, pairs, [[k, 1], [board.baseline, -ratio]]);
  const reach = base.plainLow > 0 ? error / base.plain * quantile(freedom) : NaN;
  const percent = part => 100 * (1 - (score.squared ? root(part) : Math.max(0, part)));
  return {mean: percent(ratio), low: percent(ratio + reach), high: percent(ratio - reach)};
}
// what a strategy costs beside the baseline: a geometric mean over couples of cells
const COSTS = ["step_ms", "answer_ms"];
function cost(board, pairs, k, kind) {
  const at = 3 + 2 * COSTS.indexOf(kind);
  const rows = board.costs.filter(row => pairs.includes(row[0]) && row[1] === k && row[2] > 0);
  const count = rows.reduce((n, row) => n + row[2], 0);
  if (!count) return null;
  const middle = rows.reduce((sum, row) => sum + row[2] * row[at], 0) / count;
  const squares = rows.reduce((sum, row) => sum + row[at + 1] + row[2] * (row[at] - middle) ** 2, 0);
  const reach = count > 1 ? quantile(count - 1) * Math.sqrt(squares / (count - 1) / count) : NaN;
  return {mean: Math.exp(middle), low: Math.exp(middle - reach), high: Math.exp(middle + reach)};
}
