// SPDX-License-Identifier: GPL-3.0-or-later
// The flame graph. Drawn on a canvas, of which only what is wider than half a pixel is drawn, and
// only the rows in view: 50,000 frames stay fluid. For the keyboard and for screen readers each
// frame that is reached is told in the line below.
"use strict";
pycore.flame = (function () {
  const model = pycore.model, tree = pycore.tree, at = pycore.at;
  const LEAST_PIXELS = 0.5, TEXT_PIXELS = 24, PADDING = 3;
  const box = at("graph-box");
  const inner = pycore.add(box, "div", "");
  const canvas = pycore.add(inner, "canvas", "", { "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  const view = { graph: null, zoom: 0, selected: 0, hover: -1, found: null, query: "", row: 18, colors: {} };

  // Neighbours are told apart by two shades, which go by name: the same in every report.
  model.functions.forEach((f) => {
    let hash = 0;
    for (let i = 0; i < f.name.length; i++) hash = (hash * 31 + f.name.charCodeAt(i)) | 0;
    f.color = model.groupOf(f) + (hash & 1 ? "-b" : "-a");
  });

  // ---- Where things are --------------------------------------------------------------------------

  const upward = () => at("graph-view").value === "flame";
  const width = () => box.clientWidth;
  const scale = () => width() / (view.graph.value[view.zoom] || 1);
  const rows = () => view.graph.deepest + 1;
  const rowOf = (depth) => (upward() ? view.graph.deepest - depth : depth);

  function isAbove(frame, other) { // is `frame` the other one, or what it hangs from?
    while (view.graph.depth[other] > view.graph.depth[frame]) other = view.graph.parent[other];
    return other === frame;
  }

  // Left edge and width in pixels; what the zoomed frame hangs from is as wide as the graph.
  function spanOf(frame) {
    if (view.graph.depth[frame] <= view.graph.depth[view.zoom]) return [0, width()];
    return [(view.graph.x[frame] - view.graph.x[view.zoom]) * scale(), view.graph.value[frame] * scale()];
  }

  function frameAt(x, y) {
    const row = Math.floor(y / view.row), depth = upward() ? view.graph.deepest - row : row;
    let frame = view.zoom;
    if (depth < 0) return -1;
    if (depth <= view.graph.depth[view.zoom]) {
      while (view.graph.depth[frame] > depth) frame = view.graph.parent[frame];
      return frame;
    }
    const value = view.graph.x[view.zoom] + x / scale();
    while (view.graph.depth[frame] < depth) {
      const next = view.graph.children[frame].find(
        (child) => value >= view.graph.x[child] && value < view.graph.x[child] + view.graph.value[child]);
      if (next === undefined) return -1;
      frame = next;
    }
    return frame;
  }

  // ---- Drawing -----------------------------------------------------------------------------------

  function readColors() {
    ["own", "library", "builtin", "native"].forEach((kind) => ["-a", "-b"].forEach((shade) => {
      view.colors[kind + shade] = pycore.color(kind + shade);
    }));
    ["kind-fg", "found", "found-fg", "bg", "fg", "panel", "rule"].forEach((name) => {
      view.colors[name] = pycore.color(name);
    });
  }

  function clip(text, pixels) {
    const room = Math.floor(pixels / view.letter);
    if (text.length <= room) return text;
    return room < 3 ? "" : Array.from(text.slice(0, room)).slice(0, room - 1).join("") + "\u2026";
  }

  function drawFrame(frame, top) {
    const span = spanOf(frame), f = tree.functionOf(view.graph, frame);
    const found = view.found && view.found[frame];
    const y = rowOf(view.graph.depth[frame]) * view.row - top;
    const w = Math.max(span[1] - 1, LEAST_PIXELS);
    pen.globalAlpha = view.graph.depth[frame] < view.graph.depth[view.zoom] ? 0.6 : 1;
    pen.fillStyle = found ? view.colors.found : f ? view.colors[f.color] : view.colors.rule;
    pen.fillRect(span[0], y, w, view.row - 1);
    if (frame === view.selected) {
      pen.strokeStyle = view.colors.fg;
      pen.lineWidth = 2;
      pen.strokeRect(span[0] + 1, y + 1, Math.max(w - 2, 1), view.row - 3);
    }
    pen.globalAlpha = 1;
    if (w < TEXT_PIXELS) return;
    pen.fillStyle = found ? view.colors["found-fg"] : f ? view.colors["kind-fg"] : view.colors.fg;
    const text = clip(tree.nameOf(view.graph, frame), w - 2 * PADDING);
    pen.fillText(text, span[0] + PADDING, y + view.row / 2, w - 2 * PADDING);
  }

  function draw() {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const ratio = devicePixelRatio || 1, paper = matchMedia("print").matches || view.printing;
    view.row = Math.round(rem * 1.2);
    const all = rows() * view.row, shown = paper ? Math.min(all, 4000) : Math.min(all, innerHeight * 0.75);
    inner.style.height = all + "px";
    canvas.style.height = shown + "px";
    canvas.width = Math.round(width() * ratio);
    canvas.height = Math.round(shown * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width(), shown);
    pen.font = rem * 0.75 + "px ui-monospace, Menlo, Consolas, monospace";
    pen.textBaseline = "middle";
    view.letter = pen.measureText("m").width || 7;
    const top = paper ? 0 : Math.min(box.scrollTop, Math.max(0, all - shown));
    for (let frame = view.graph.parent[view.zoom], last = view.zoom; last; last = frame, frame = view.graph.parent[frame])
      drawFrame(frame, top);
    const todo = [view.zoom];
    while (todo.length) {
      const frame = todo.pop(), y = rowOf(view.graph.depth[frame]) * view.row - top;
      if (y > -view.row && y < shown) drawFrame(frame, top);
      const least = LEAST_PIXELS / scale();
      for (const child of view.graph.children[frame]) {
        if (view.graph.value[child] < least) break; // the heaviest come first
        todo.push(child);
      }
    }
    view.drawn = false;
  }

  function drawSoon() {
    if (view.drawn) return;
    view.drawn = true;
    requestAnimationFrame(draw);
  }

  // ---- Telling -----------------------------------------------------------------------------------

  // Tasks that wait are samples, too.
  function unit() {
    const waiting = model.choice.count === "waiting" || model.choice.count === "wall";
    return model.unit() + (view.tasks && waiting ? " of threads and of waiting tasks" : "");
  }

  function tell(frame) {
    const graph = view.graph, f = tree.functionOf(graph, frame), all = graph.value[0] || 1;
    const share = (value) => pycore.percent(value / all);
    const place = f && f.place && !graph.lines ? " " + f.place : f && f.place ? " " + f.place.replace(/:\d+$/, "") : "";
    let text = tree.nameOf(graph, frame) + place + ": " + share(graph.value[frame]) + ", " +
      model.say(graph.value[frame]) + " of " + model.say(graph.value[0]) + " " + unit();
    text += "; itself " + share(graph.self[frame]) + " (" + model.say(graph.self[frame]) + ")";
    if (model.choice.count !== "cpu")
      text += "; CPU time " + pycore.duration(graph.cpu[frame]) + ", itself " + pycore.duration(graph.selfCpu[frame]);
    if (f) text += "; " + ({ own: "the program's own code", library: "library", builtin: "builtin", native: "native, " + f.module })[model.groupOf(f)];
    if (f && f.inferred) text += " (inferred)";
    at("graph-details").textContent = text;
    at("graph-open").disabled = !tree.functionOf(graph, view.selected);
  }

  function select(frame) {
    view.selected = frame;
    const y = rowOf(view.graph.depth[frame]) * view.row;
    if (y < box.scrollTop) box.scrollTop = y;
    else if (y + view.row > box.scrollTop + box.clientHeight) box.scrollTop = y + view.row - box.clientHeight;
    tell(frame);
    drawSoon();
  }

  function zoomTo(frame) {
    view.zoom = frame;
    at("graph-reset").disabled = frame === 0;
    select(frame);
  }

  // ---- Searching ---------------------------------------------------------------------------------

  // A match within a match is part of it: its time counts once.
  function search() {
    const wanted = at("graph-search").value.trim().toLowerCase(), graph = view.graph, known = new Map();
    view.found = null;
    at("graph-found").textContent = "";
    if (wanted) {
      const count = graph.parent.length, within = new Uint8Array(count), matched = new Set();
      let sum = 0;
      view.found = new Uint8Array(count);
      for (let frame = 1; frame < count; frame++) {
        const key = graph.key[frame];
        if (!known.has(key)) {
          const f = tree.functionOf(graph, frame);
          known.set(key, (tree.nameOf(graph, frame) + " " + (f ? f.place + " " + f.module : "")).toLowerCase().includes(wanted));
        }
        within[frame] = within[graph.parent[frame]];
        if (!known.get(key)) continue;
        view.found[frame] = 1;
        matched.add(key);
        if (!within[frame]) sum += graph.value[frame];
        within[frame] = 1;
      }
      at("graph-found").textContent = matched.size === 0 ? "Nothing found" :
        matched.size + (matched.size === 1 ? " function" : " functions") + " found, in " +
        pycore.percent(sum / (graph.value[0] || 1)) + " (" + model.say(sum) + " of " + model.say(graph.value[0]) + " " + unit() + ")";
    }
    drawSoon();
  }

  // ---- Moving ------------------------------------------------------------------------------------

  function sibling(step) {
    const kids = view.graph.children[view.graph.parent[view.selected]];
    const next = view.selected ? kids[kids.indexOf(view.selected) + step] : undefined;
    if (next !== undefined && (isAbove(view.zoom, next) || isAbove(next, view.zoom))) select(next);
  }

  function inward() {
    const frame = view.selected, kids = view.graph.children[frame];
    const onWay = frame !== view.zoom && isAbove(frame, view.zoom) && kids.find((child) => isAbove(child, view.zoom));
    if (onWay) select(onWay);
    else if (kids.length) select(kids[0]);
  }

  function back() {
    if (at("graph-search").value) {
      at("graph-search").value = "";
      search();
    } else if (view.zoom) {
      zoomTo(0);
    }
  }

  function open() {
    const f = tree.functionOf(view.graph, view.selected);
    if (f) pycore.showFunction(f.id, true);
  }

  const keys = {
    ArrowDown: () => (upward() ? select(view.graph.parent[view.selected]) : inward()),
    ArrowUp: () => (upward() ? inward() : select(view.graph.parent[view.selected])),
    ArrowLeft: () => sibling(-1), ArrowRight: () => sibling(1),
    Enter: () => zoomTo(view.selected), " ": () => zoomTo(view.selected),
    Escape: back, Home: () => select(0), f: open,
  };

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    keys[event.key]();
    event.preventDefault();
  }

  function onPageKey(event) {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && !/^(radio|checkbox|range)$/.test(event.target.type);
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      at("graph-search").focus();
      event.preventDefault();
    } else if (event.key === "?") {
      at("graph-help").open = !at("graph-help").open;
      if (at("graph-help").open) at("graph-help").querySelector("summary").focus();
    }
  }

  function pointed(event) {
    const place = canvas.getBoundingClientRect();
    return frameAt(event.clientX - place.left, event.clientY - place.top + Math.min(box.scrollTop, Math.max(0, rows() * view.row - place.height)));
  }

  // ---- Beginning ---------------------------------------------------------------------------------

  function rebuild() {
    view.tasks = model.hasTasks && at("graph-stacks").value === "tasks";
    view.graph = tree.build({ tasks: view.tasks, lines: at("graph-lines").checked, natives: at("graph-natives").checked,
                              threads: at("graph-threads").checked, inverted: at("graph-view").value === "inverted" });
    view.zoom = view.selected = 0;
    at("graph-reset").disabled = true;
    const empty = !(view.graph.value[0] > 0);
    at("graph-of").textContent = empty ? "No stack counts here: choose other samples above." :
      "Width: share of " + model.say(view.graph.value[0]) + " " + unit() +
      (model.data.dropped_stacks ? "; " + pycore.count(model.data.dropped_stacks) + " samples are in no stack, see the notes" : "");
    tell(0);
    search();
    draw();
    box.scrollTop = upward() ? box.scrollHeight : 0;
  }

  function addLegend() {
    const words = { own: "the program's own code", library: "library", builtin: "builtin", native: "native" };
    Object.keys(words).forEach((kind) => {
      const item = pycore.add(at("graph-legend"), "li");
      pycore.swatch(item, kind + "-a");
      pycore.add(item, "span", words[kind]);
    });
  }

  // A little square of a colour of the style sheet.
  pycore.swatch = function (parent, color) {
    const square = pycore.add(parent, "span", "", { class: "swatch", "aria-hidden": "true" });
    square.style.background = "var(--" + color + ")";
  };

  at("graph").hidden = false;
  at("graph-lines").checked = false;
  at("graph-threads").checked = model.data.by_thread;
  at("graph-stacks-choice").hidden = !model.hasTasks;
  at("graph-stacks").value = model.hasTasks && model.data.async_stacks ? "tasks" : "threads";
  ["graph-stacks", "graph-view", "graph-lines", "graph-natives", "graph-threads"].forEach((id) => at(id).addEventListener("change", rebuild));
  at("graph-search").addEventListener("input", search);
  at("graph-search").addEventListener("keydown", (event) => { if (event.key === "Escape") { back(); event.preventDefault(); } });
  at("graph-reset").addEventListener("click", () => zoomTo(0));
  at("graph-open").addEventListener("click", open);
  box.addEventListener("keydown", onKey);
  box.addEventListener("scroll", drawSoon);
  document.addEventListener("keydown", onPageKey);
  canvas.addEventListener("mousemove", (event) => {
    const frame = pointed(event);
    if (frame !== view.hover) tell((view.hover = frame) < 0 ? view.selected : frame);
  });
  canvas.addEventListener("mouseleave", () => { view.hover = -1; tell(view.selected); });
  canvas.addEventListener("click", (event) => { const frame = pointed(event); if (frame >= 0) zoomTo(frame); });
  addEventListener("resize", drawSoon);
  addEventListener("beforeprint", () => { view.printing = true; draw(); });
  addEventListener("afterprint", () => { view.printing = false; draw(); });
  document.addEventListener("colours", () => { readColors(); draw(); });
  model.onChange(rebuild);
  addLegend();
  readColors();
  rebuild();
  return { view: view, spanOf: spanOf, rowOf: rowOf, draw: draw };
})();
