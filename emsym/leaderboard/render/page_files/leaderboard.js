// Sorts and filters a leaderboard, keeps what is chosen in the address, and shows tips.
// Texts are set as text alone; nothing is ever parsed as HTML.
function setUp(section, board, address) {
  const form = section.querySelector(".filters"), status = section.querySelector(".status");
  const table = section.querySelector(".main"), body = table.tBodies[0];
  const rows = [...body.rows], heads = [...table.tHead.rows[1].cells];
  const still = new Map(rows.map(row => [row, [...row.cells].map(cell => ({name: cell.className, nodes: [...cell.childNodes].map(n => n.cloneNode(true))}))]));
  const tones = rows.map(row => row.className);
  const pareto = section.querySelector(".pareto"), heat = section.querySelector(".heat");
  const bars = [...section.querySelectorAll(".bars tbody tr")];
  const barsDrawn = bars.map(bar => [[...bar.querySelectorAll("rect")].map(r => [r.getAttribute("x"), r.getAttribute("width")]), bar.querySelector(".told").textContent]);
  const lead = board.scores[0], dice = board.scores.find(s => s.name === "dice");
  const bias = board.scores.find(s => s.name === "model_asymmetry");
  const all = section.querySelector(".all-columns"), by = form.querySelector(".by");
  const axes = [...section.querySelectorAll("[data-axis]")], measure = section.querySelector(".measure");
  const everything = complete(board, range(board.names.length), range(board.datasets.length));
  let sorted = null;

  const boxes = kind => [...form.querySelectorAll(`[data-kind=${kind}] input`)];
  const chosen = kind => new Set(boxes(kind).filter(i => i.checked).map(i => i.value));
  for (const each of section.querySelectorAll(".filters, .axes")) each.hidden = false;
  form.addEventListener("change", event => {
    if (event.target === by) sortBy(by.value === "" ? null : {column: Number(by.value), up: rises(Number(by.value))});
    update();
  });
  form.addEventListener("reset", () => { sortBy(null); setTimeout(update); });
  form.addEventListener("submit", event => event.preventDefault());
  all.addEventListener("change", tell);

  function update() {
    const datasets = chosen("dataset"), architectures = chosen("architecture"), strategies = chosen("name");
    const pairs = range(board.datasets.length).filter(p => datasets.has(board.datasets[p]) && architectures.has(board.architectures[p]));
    const names = range(board.names.length).filter(k => strategies.has(board.names[k]));
    const whole = pairs.length === board.datasets.length && names.length === board.names.length;
    for (const element of section.querySelectorAll("div[data-dataset]")) element.hidden = !(datasets.has(element.dataset.dataset) && architectures.has(element.dataset.architecture));
    // what the sentences and tests say is of everything; of a choice the status tells
    for (const element of section.querySelectorAll("[data-whole]")) element.hidden = !whole;
    const part = whole ? everything : complete(board, names, pairs);
    if (whole) restore(); else compute(part, names, pairs);
    draw(part, pairs);
    for (const element of section.querySelectorAll("[data-number]")) element.toggleAttribute("hidden", !names.includes(Number(element.dataset.number)));
    if (sorted) sort(sorted);
    tell();
  }
  function restore() {
    rows.forEach((row, i) => {
      row.className = tones[i];
      [...row.cells].forEach((cell, j) => { const {name, nodes} = still.get(row)[j]; cell.className = name; cell.replaceChildren(...nodes.map(n => n.cloneNode(true))); });
      body.append(row);
    });
    bars.forEach((bar, i) => { drawShares(bar, ...barsDrawn[i]); bar.parentNode.append(bar); });
    status.textContent = "";
  }
  function compute(part, names, pairs) {
    const found = board.scores.map(score => summarise(board, score, part)), verdict = verdicts(board, dice, part);
    const tests = board.scores.map(score => tiers(board, score, part)), mine = tests[0];
    const bySet = [...partsOfDataSets(board, part).values()].map(each => ({means: summarise(board, lead, each), found: tiers(board, lead, each)}));
    const row = (column, k) => /^\d+$/.test(column) ? found[column].get(k)
      : COSTS.includes(column) ? cost(board, pairs, k, column)
      : column === "less" ? (verdict.has(k) ? difference(board, dice, part, k) : null) : null;
    const kind = column => /^\d+$/.test(column) ? board.scores[column].scale : COSTS.includes(column) ? "cost" : column;
    const ends = {};
    for (const head of heads.slice(1)) {
      const column = head.dataset.sort;
      if (!head.classList.contains("more")) for (const k of part.names) { const each = row(column, k); if (each) (ends[kind(column)] ??= []).push(...(COSTS.includes(column) ? [each.mean] : [each.mean, each.low, each.high])); }
    }
    const scales = Object.fromEntries(Object.entries(ends).map(([name, values]) => [name, barScale(name, values)]));
    for (const line of rows) {
      const k = Number(line.dataset.number), first = found[0].get(k), ranked = part.names.includes(k);
      const tier = !ranked ? "unranked" : mine.get(k) ?? (k === board.baseline ? "baseline" : "");
      line.className = tier;
      for (const cell of line.cells) {
        const column = cell.dataset.column, more = cell.classList.contains("more");
        cell.classList.remove("good", "bad", "open", "neutral");
        if (column === "name") name(cell, tier, mine.size > 0);
        else if (column === "cells") {
          const has = pairs.reduce((a, p) => a + board.present[p][k], 0);
          fill(cell, {text: `${has} of ${pairs.reduce((a, p) => a + board.seeds[p], 0)}`});
        } else if (column === "rank") fill(cell, {text: first && lead.better ? first.first === first.last ? `${first.first}` : `${first.first}–${first.last}` : MISSING});
        else if (column === "average") fill(cell, {text: first && lead.better ? told(first.rank, 1) : MISSING});
        else if (column === "cut") interval(cell, cut(board, lead, found[0], k, part.pairs), 0);
        else if (column === "holds") holds(cell, bySet, k);
        else {
          const note = column === "less" ? verdict.get(k) ?? "" : "";
          cell.classList.add(TONES[column === "less" ? note : !more && tests[column]?.get(k)] ?? "neutral");
          const digits = /^\d+$/.test(column) ? board.scores[column].digits : column === "less" ? 3 : 2;
          interval(cell, row(column, k), digits, note, more ? null : scales[kind(column)]);
        }
      }
    }
    const places = {better: 0, baseline: 1, open: 2, worse: 3, "": mine.size ? 4 : 0, unranked: 5};
    const key = line => (lead.better === "high" ? -1 : 1) * (found[0].get(Number(line.dataset.number))?.mean ?? Infinity);
    const place = line => mine.size || line.className === "unranked" ? places[line.className] : 0;
    const order = [...rows].sort((a, b) => place(a) - place(b) || (key(a) - key(b)) || 0);
    order.forEach(line => { body.append(line); bars.filter(bar => bar.dataset.number === line.dataset.number).forEach(bar => bar.parentNode.append(bar)); });
    shares(part);
    const count = part.pairs.length;
    status.textContent = count === 0 ? "Nothing that is chosen shares a cell." :
      `Compared: ${part.names.length} of ${names.length} chosen strategies, over the ${count} of ${pairs.length} chosen pairs of data set and architecture that all of them have${lead.paired ? "" : "; too many strategies to pair them here, so that differences are taken as if they were not"}.`;
  }
  function element(name, kind, text) {
    const made = document.createElement(name);
    made.className = kind; made.textContent = text;
    return made;
  }
  function fill(cell, {text, bounds = "", note = "", bar = null}) {
    cell.replaceChildren(element("span", "value", text));
    if (bounds) cell.append(element("small", "", bounds));
    if (bar) cell.append(bar);
    if (note) cell.append(element("small", "note", note));
  }
  function interval(cell, row, digits, note = "", scale = null) {
    if (!row) fill(cell, {text: MISSING});
    else fill(cell, {text: told(row.mean, digits), bounds: within(row.low, row.high, digits), note, bar: scale && intervalBar(scale, row)});
  }
  function name(cell, tier, tested) {
    const text = cell.querySelector(".tier");
    text.className = `tier ${TONES[tier] ?? "neutral"}`;
    text.textContent = tested ? board.tierWords[tier] ?? "" : "";
  }
  function holds(cell, bySet, k) {
    if (k === board.baseline || !bySet.some(each => each.found.has(k))) { fill(cell, {text: MISSING}); return; }
    const shown = bySet.filter(each => each.found.get(k) === "better").length;
    const ahead = bySet.filter(({means}) => (lead.better === "high" ? 1 : -1) * (means.get(k).mean - means.get(board.baseline).mean) > 0).length;
    fill(cell, {text: `${shown} of ${bySet.length}`, note: `by mean alone ${ahead}`});
  }
  function shares(part) {
    const there = bars.filter(bar => board.shares.length && part.names.includes(Number(bar.dataset.number)));
    const values = there.map(bar => range(bar.querySelectorAll("rect").length).map(s => mean(part.pairs.map(p => board.shares[p][bar.dataset.number][s]))));
    const places = sharePlaces(values);
    for (const bar of bars) {
      const at = there.indexOf(bar);
      if (at < 0) drawShares(bar, range(bar.querySelectorAll("rect").length).map(() => [0, 0]), MISSING);
      else drawShares(bar, places[at], values[at].map(v => told(v, 2)).join(" / "));
    }
  }

  // the scores, and what a strategy costs, that the plot may have for its axes
  const choices = board.scores.map((score, i) => ({key: String(i), term: score.term, better: score.better, digits: score.digits})).filter(each => each.better);
  if (board.costs.length) choices.push(...COSTS.map(kind => ({key: kind, term: kind === "step_ms" ? "time of a training step, ×" : "time of an answer, ×", better: "low", digits: 2})));
  const usual = {across: String(board.scores.indexOf(bias)), up: String(board.scores.indexOf(dice))};
  let asDrawn = true;  // the plot is the page's own until an axis or a part is chosen
  for (const select of axes) {
    select.append(...choices.map(each => new Option(each.term, each.key)));
    select.value = usual[select.dataset.axis];
    select.addEventListener("change", update);
  }
  measure?.addEventListener("change", update);
  function draw(part, pairs) {
    const changed = part !== everything || axes.some(select => select.value !== usual[select.dataset.axis]);
    if (pareto && (changed || !asDrawn)) {
      const axis = select => {
        const each = choices.find(one => one.key === select.value);
        const of = COSTS.includes(each.key) ? new Map(part.names.map(k => [k, cost(board, pairs, k, each.key)]).filter(([, row]) => row)) : summarise(board, board.scores[each.key], part);
        return {...each, table: of};
      };
      const [across, up] = ["across", "up"].map(name => axis(axes.find(select => select.dataset.axis === name)));
      drawPareto(pareto, board, across, up, tiers(board, lead, part));
      asDrawn = false;
    }
    if (heat) drawHeat(heat, board, board.scores[measure.value], part);
  }

  const rises = column => heads[column].dataset.better !== "high";  // the best first
  by.append(new Option("as shown at first", ""));
  heads.forEach((head, column) => {
    by.append(new Option(head.textContent, column));
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => { sortBy({column, up: sorted && sorted.column === column ? !sorted.up : rises(column)}); update(); });
  });
  function sortBy(way) {
    sorted = way;
    by.value = way ? way.column : "";
    heads.forEach((head, i) => way && i === way.column ? head.setAttribute("aria-sort", way.up ? "ascending" : "descending") : head.removeAttribute("aria-sort"));
  }
  function sort(way) {
    const value = row => {
      const cell = row.cells[way.column];
      if (way.column === 0) return cell.querySelector(".name").textContent;
      const found = parseFloat(cell.querySelector(".value").textContent.replace("−", "-"));
      return Number.isNaN(found) ? null : found;
    };
    const order = [...body.rows].sort((a, b) => {
      const [one, other] = [value(a), value(b)];
      if (one === null || other === null) return (one === null) - (other === null);
      const difference = typeof one === "string" ? one.localeCompare(other) : one - other;
      return way.up ? difference : -difference;
    });
    order.forEach(row => body.append(row));
  }

  // what is chosen stands in the address, and is taken from there: what is left out, as most is in
  function tell() {
    const words = new URLSearchParams({board: board.id});
    for (const kind of ["dataset", "architecture", "name"]) boxes(kind).filter(i => !i.checked).forEach(i => words.append(`without-${kind}`, i.value));
    if (sorted) words.set("sort", `${sorted.up ? "" : "-"}${heads[sorted.column].dataset.sort}`);
    for (const select of axes) if (select.value !== usual[select.dataset.axis]) words.set(select.dataset.axis, select.value);
    if (measure && measure.selectedIndex > 0) words.set("measure", measure.value);
    if (all.checked) words.set("columns", "all");
    address.tell(board.id, [...words].length > 1 ? words : null);
  }
  const words = address.read();
  if (words.get("board") === board.id) {
    for (const kind of ["dataset", "architecture", "name"]) { const out = new Set(words.getAll(`without-${kind}`)); boxes(kind).forEach(i => { i.checked = !out.has(i.value); }); }
    const sort = words.get("sort") ?? "", column = heads.findIndex(head => head.dataset.sort === sort.replace(/^-/, ""));
    if (column >= 0) sortBy({column, up: !sort.startsWith("-")});
    for (const select of [...axes, ...(measure ? [measure] : [])]) { const wish = words.get(select.dataset.axis ?? "measure"); if ([...select.options].some(o => o.value === wish)) select.value = wish; }
    all.checked = words.get("columns") === "all";
    update();
    section.scrollIntoView();
  }
  // a strategy under the pointer is lit in the table and in the plot
  const light = event => {
    const number = event.target.closest?.(".main tr[data-number], .mark")?.dataset.number;
    for (const each of section.querySelectorAll(".main tbody tr, .mark")) each.classList.toggle("lit", number !== undefined && each.dataset.number === number);
  };
  section.addEventListener("mouseover", light);
  section.addEventListener("focusin", light);
}

function tips() {
  const tip = document.getElementById("tip");
  const show = event => put(event.target.closest?.("[data-tip]"));
  const put = target => {
    tip.hidden = !target;
    if (!target) return;
    tip.textContent = target.getAttribute("data-tip");
    const box = target.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left), document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.animate([{transform: `translate(${left}px, ${above > 0 ? above : box.bottom + 8}px)`}], {duration: 0, fill: "forwards"});
  };
  document.addEventListener("mouseover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("keydown", event => { if (event.key === "Escape") tip.hidden = true; });
  // what has the focus was perhaps scrolled to because of that
  document.addEventListener("scroll", () => put(document.activeElement.closest("[data-tip]")), {passive: true});
}

// the address tells of the leaderboard that was changed last
const address = {
  of: null,
  read: () => new URLSearchParams(location.hash.slice(1)),
  tell(id, words) {
    if (words === null && this.of !== id) return;
    this.of = words ? id : null;
    history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
  },
};
const boards = JSON.parse(document.getElementById("data").textContent).map(unpack);
document.querySelectorAll("[data-board]").forEach(section => setUp(section, boards[Number(section.dataset.board)], address));
tips();
// what is printed is the board on the screen: the last that begins above its middle
addEventListener("beforeprint", () => {
  const all = [...document.querySelectorAll(".board")];
  const seen = all.findLast(each => each.getBoundingClientRect().top < innerHeight / 2) ?? all[0];
  for (const each of seen.parentElement.children) each.classList.toggle("unseen", each !== seen);
  const at = scrollY;  // which does not last where the page gets so much shorter
  addEventListener("afterprint", () => scrollTo(0, at), {once: true});
  seen.querySelectorAll("details").forEach(each => { if (!each.closest("form")) each.open = true; });
});
document.documentElement.dataset.ready = String(Math.round(performance.now()));
