// SPDX-License-Identifier: GPL-3.0-or-later
// The tables of functions and of lines: sorted by any column, filtered, cut to what can be read; and
// the chosen function with its callers, callees and lines.
"use strict";
(function () {
  const model = pycore.model, at = pycore.at, add = pycore.add;
  const ROWS = 50, MORE_ROWS = 200, NEIGHBOURS = 12, LINES = 15;

  const share = (three) => pycore.percent(model.pickOf(three) / (model.pickOf(model.tally.sums) || 1));
  const waiting = (three) => three[1] - three[0];
  const shareOrNone = (three) => (model.pickOf(three) ? share(three) : "");
  const range = (low, high) => (high > low ? pycore.range(low, high) : "");

  // A function's name as what chooses it.
  function addName(parent, f) {
    const button = add(parent, "button", f.name, { type: "button", class: "function", "data-function": f.id });
    button.addEventListener("click", () => pycore.showFunction(f.id, true));
    if (f.inferred) add(parent, "span", " (inferred)", { class: "faint" });
  }

  // ---- Tables that sort --------------------------------------------------------------------------

  // columns: title, number (of a row, to sort by) or text, cell(td, row); `head`: it names the row
  function Table(place, more, caption, columns, first) {
    const self = { rows: [], shown: model.data.top || ROWS, by: first, descending: !!columns[first].number };

    function sorted() {
      const column = columns[self.by], sign = self.descending ? -1 : 1;
      const value = column.number || column.text;
      return self.rows.slice().sort((a, b) => {
        const x = value(a), y = value(b);
        return x < y ? -sign : x > y ? sign : a.rank - b.rank;
      });
    }

    function addHead(table) {
      const row = add(add(table, "thead"), "tr");
      columns.forEach((column, index) => {
        const head = add(row, "th", undefined, { scope: "col", class: column.number ? "n" : "" });
        if (index === self.by) head.setAttribute("aria-sort", self.descending ? "descending" : "ascending");
        const button = add(head, "button", column.title, { type: "button" });
        if (column.help) button.title = column.help;
        button.addEventListener("click", () => {
          self.descending = index === self.by ? !self.descending : !!column.number;
          self.by = index;
          self.draw();
          place.querySelectorAll("thead button")[index].focus();
        });
      });
    }

    function addRow(body, row) {
      const line = add(body, "tr", undefined, row.chosen ? { class: "chosen" } : {});
      columns.forEach((column) => {
        const cell = add(line, column.head ? "th" : "td", column.say ? column.say(row) : undefined, { "data-label": column.title });
        cell.className = column.number ? "n" : column.source ? "source" : "c";
        if (column.head) cell.setAttribute("scope", "row");
        if (column.fill) column.fill(cell, row);
      });
    }

    self.draw = function () {
      place.textContent = "";
      const table = add(place, "table");
      add(table, "caption", caption, { class: "unseen" });
      addHead(table);
      const body = add(table, "tbody");
      sorted().slice(0, self.shown).forEach((row) => addRow(body, row));
      const left = self.rows.length - self.shown;
      more.hidden = left <= 0;
      more.textContent = "Show " + pycore.count(Math.min(left, MORE_ROWS)) + " of " + pycore.count(left) + " more";
    };
    more.addEventListener("click", () => { self.shown += MORE_ROWS; self.draw(); });
    return self;
  }

  // ---- Functions ---------------------------------------------------------------------------------

  const ownOf = (row) => model.tally.own[row.id], totalOf = (row) => model.tally.total[row.id];
  const bounded = () => model.tally.whole && model.choice.count === "working";
  const functionTable = Table(at("functions-table"), at("functions-more"), "Functions", [
    { title: "Self", help: "Itself: native code without a name in Python counts for what called it",
      number: (row) => model.pickOf(ownOf(row)), say: (row) => shareOrNone(ownOf(row)) },
    { title: "95 %", help: "Bounds of self", number: (row) => (bounded() ? row.f.bounds[1] || 0 : 0),
      say: (row) => (bounded() && row.f.own[0] ? range(row.f.bounds[0], row.f.bounds[1]) : "") },
    { title: "Total", help: "With all it calls", number: (row) => model.pickOf(totalOf(row)), say: (row) => share(totalOf(row)) },
    { title: "Self n", help: "What is counted, itself", number: (row) => model.pickOf(ownOf(row)), say: (row) => (model.pickOf(ownOf(row)) ? model.say(model.pickOf(ownOf(row))) : "") },
    { title: "Total n", help: "What is counted, with all it calls", number: (row) => model.pickOf(totalOf(row)), say: (row) => model.say(model.pickOf(totalOf(row))) },
    { title: "CPU", help: "CPU time, itself", number: (row) => ownOf(row)[2], say: (row) => (ownOf(row)[2] ? pycore.duration(ownOf(row)[2]) : "") },
    { title: "Waiting", help: "Samples in which it waited itself", number: (row) => waiting(ownOf(row)),
      say: (row) => (waiting(ownOf(row)) ? pycore.count(waiting(ownOf(row))) : "") },
    { title: "Calls seen", help: "Distinct calls that were seen: at least so many were made", number: (row) => (model.tally.whole ? row.f.calls : 0),
      say: (row) => (model.tally.whole && row.f.calls ? "\u2265" + pycore.count(row.f.calls) : "") },
    { title: "Function", head: true, text: (row) => row.f.name, fill: addNameAndPlace },
  ], { own: 0, total: 2, cpu: 5, waiting: 6, calls: 7, name: 8 }[model.data.sort]);

  function addNameAndPlace(cell, row) {
    addName(cell, row.f);
    if (row.f.place) add(cell, "span", row.f.place, { class: "place" });
  }

  function fillFunctions() {
    const wanted = at("functions-filter").value.trim().toLowerCase();
    const natives = at("functions-natives").checked, totals = model.tally.total;
    // Native code that Python called counts for its caller; as rows of their own only if asked for.
    const counted = model.functions.filter((f) => !f.hidden && model.pickOf(totals[f.id]) > 0 &&
      (natives || f.kind !== model.NATIVE || model.pickOf(model.tally.own[f.id]) > 0))
      .sort((a, b) => model.pickOf(totals[b.id]) - model.pickOf(totals[a.id]) || a.id - b.id);
    const kept = counted.filter((f) => (f.name + " " + f.place + " " + f.module).toLowerCase().includes(wanted));
    functionTable.rows = kept.map((f, rank) => ({ id: f.id, f: f, rank: rank, chosen: f.id === chosen }));
    at("functions-found").textContent = pycore.count(kept.length) + (kept.length === counted.length ? "" : " of " + pycore.count(counted.length)) +
      (counted.length === 1 ? " function" : " functions");
    at("functions-of").textContent = "Of " + model.say(model.pickOf(model.tally.sums)) + " " + model.unit() +
      (model.tally.whole ? "" : ", as chosen above") + ". Samples are no calls.";
    functionTable.draw();
  }

  // ---- The chosen one ----------------------------------------------------------------------------

  let chosen = -1;

  function addFacts(aside, f) {
    const list = add(aside, "dl", undefined, { class: "facts" });
    const fact = (title, text) => {
      const row = add(list, "div");
      add(row, "dt", title);
      add(row, "dd", text);
    };
    const samples = (three) => pycore.count(three[0]) + " working, " + pycore.count(waiting(three)) + " waiting, " + pycore.duration(three[2]) + " CPU";
    if (f.file || f.module) fact("File", (f.file || f.module) + (f.line >= 0 && f.file ? ":" + f.line : ""));
    fact("Kind", model.kinds[f.kind] + (f.inferred ? ", inferred" : ""));
    fact("Self", share(model.tally.own[f.id]) + ": " + samples(model.tally.own[f.id]));
    fact("Total", share(model.tally.total[f.id]) + ": " + samples(model.tally.total[f.id]));
    if (bounded() && f.own[0]) fact("95 %", "self " + range(f.bounds[0], f.bounds[1]) + ", total " + range(f.bounds[2], f.bounds[3]));
    if (model.tally.whole && f.calls) fact("Calls", "at least " + pycore.count(f.calls) + " seen" + (f.longest_ns ? ", the longest over " + pycore.duration(f.longest_ns) : ""));
  }

  function addTable(aside, title, heads, rows, fill) {
    add(aside, "h4", title);
    if (!rows.length) {
      add(aside, "p", "None seen.", { class: "of" });
      return;
    }
    const table = add(add(aside, "div", undefined, { class: "scroll" }), "table");
    const row = add(add(table, "thead"), "tr");
    heads.forEach((head, index) => add(row, "th", head, { scope: "col", class: index === 0 ? "n" : "" }));
    const body = add(table, "tbody");
    rows.forEach((item) => fill(add(body, "tr"), item));
  }

  // As in the text report: through native code, and without the interpreter's own functions.
  function addNeighbours(aside, f, title, mine, others) {
    const python = f.kind !== model.NATIVE;
    const rows = model.tally.edges.filter((edge) => {
      const other = model.functions[edge[others]];
      if (edge[mine] !== f.id || !(model.pickOf(edge.counts) > 0)) return false;
      return !python || !(others === "caller" ? other.kind === model.NATIVE : other.interpreter);
    }).sort((a, b) => model.pickOf(b.counts) - model.pickOf(a.counts));
    const all = model.pickOf(model.tally.total[f.id]) || 1;
    addTable(aside, title, ["Share", "Function", "Place"], rows.slice(0, NEIGHBOURS), (line, edge) => {
      const other = model.functions[edge[others]];
      add(line, "td", pycore.percent(model.pickOf(edge.counts) / all), { class: "n" });
      const cell = add(line, "th", undefined, { scope: "row", class: "c" });
      addName(cell, other);
      if (edge.caller === edge.callee) add(cell, "span", " (itself)", { class: "faint" });
      add(line, "td", other.place, { class: "c" });
    });
    if (rows.length > NEIGHBOURS) add(aside, "p", pycore.count(rows.length - NEIGHBOURS) + " more", { class: "of" });
  }

  const lineNumber = (line) => (line.line < 0 ? "?" : String(line.line));
  const sourceOf = (line) => line.text + (line.newer ? " (file changed since)" : "");

  function addLines(aside, f) {
    const rows = model.tally.lines.filter((line) => line.function === f.id && model.pickOf(line.total) > 0)
      .sort((a, b) => model.pickOf(b.own) - model.pickOf(a.own) || model.pickOf(b.total) - model.pickOf(a.total));
    if (f.kind !== 0) return;
    addTable(aside, "Lines", ["Self", "Total", "Line", "Source"], rows.slice(0, LINES), (tr, line) => {
      add(tr, "td", shareOrNone(line.own), { class: "n" });
      add(tr, "td", share(line.total), { class: "n" });
      add(tr, "th", lineNumber(line), { scope: "row", class: "n" });
      add(tr, "td", sourceOf(line), { class: "source" });
    });
    if (rows.length > LINES) add(aside, "p", pycore.count(rows.length - LINES) + " more lines", { class: "of" });
  }

  function fillAside() {
    const aside = at("function"), f = model.functions[chosen];
    aside.textContent = "";
    if (!f) {
      add(aside, "p", "Choose a function to see its callers, callees and lines.");
      return;
    }
    const title = add(aside, "h3");
    add(title, "code", f.name);
    if (f.place) add(title, "span", " " + f.place, { class: "faint" });
    addFacts(aside, f);
    addNeighbours(aside, f, "Called by", "callee", "caller");
    addNeighbours(aside, f, "Calls", "caller", "callee");
    addLines(aside, f);
  }

  // Also for the flame graph and the snapshots.
  pycore.showFunction = function (id, focus) {
    chosen = id;
    fillFunctions();
    fillAside();
    if (!focus) return;
    at("function").scrollTop = 0;
    at("function").focus({ preventScroll: true });
    at("function").scrollIntoView({ block: "nearest" });
  };

  // ---- Lines -------------------------------------------------------------------------------------

  const lineTable = Table(at("lines-table"), at("lines-more"), "Hottest lines", [
    { title: "Self", number: (row) => model.pickOf(row.line.own), say: (row) => shareOrNone(row.line.own) },
    { title: "Total", number: (row) => model.pickOf(row.line.total), say: (row) => share(row.line.total) },
    { title: "Self n", number: (row) => model.pickOf(row.line.own),
      say: (row) => (model.pickOf(row.line.own) ? model.say(model.pickOf(row.line.own)) : "") },
    { title: "Function", head: true, text: (row) => row.f.name, fill: (cell, row) => addName(cell, row.f) },
    { title: "Line", text: (row) => row.place, say: (row) => row.place },
    { title: "Source", source: true, text: (row) => row.line.text, say: (row) => sourceOf(row.line) },
  ], 0);

  function fillLines() {
    const counted = model.tally.lines.filter((line) => model.functions[line.function].kind === 0 && !model.functions[line.function].hidden && model.pickOf(line.total) > 0);
    lineTable.rows = counted.map((line, rank) => {
      const f = model.functions[line.function];
      return { line: line, f: f, rank: rank, place: f.place.replace(/:\d+$/, "") + ":" + lineNumber(line) };
    });
    at("lines-of").textContent = "Lines of Python that were executing; " + pycore.count(counted.length) + " in all";
    lineTable.draw();
  }

  function fill() {
    fillFunctions();
    fillLines();
    fillAside();
  }

  at("by-function").hidden = at("lines").hidden = false;
  document.querySelectorAll("section[data-part=functions]").forEach((section) => { section.hidden = true; });
  at("functions-filter").addEventListener("input", fillFunctions);
  at("functions-natives").addEventListener("change", fillFunctions);
  model.onChange(fill);
  fill();
  const best = functionTable.rows.slice().sort((a, b) => model.pickOf(ownOf(b)) - model.pickOf(ownOf(a)))[0];
  if (best) pycore.showFunction(best.id, false);
})();
