// SPDX-License-Identifier: GPL-3.0-or-later
// Snapshot by snapshot: each thread's state as a band over time, and the stacks of one moment.
"use strict";
(function () {
  const model = pycore.model, at = pycore.at, add = pycore.add, moments = model.data.moments;
  const MOST_BANDS = 300;
  at("moments").hidden = false;
  if (!moments) {
    at("moments-of").textContent = !model.stacks.length ? "No stack was seen." : "This document does not have its snapshots: a JSON report keeps them with --snapshots.";
    return;
  }

  const count = moments.at_us.length;
  const slider = at("moment"), canvas = at("bands"), pen = canvas.getContext("2d");
  const opened = new Set(); // threads whose stacks are shown
  let now = 0, row = 14, labels = 0;

  // By thread: runs of [first snapshot, behind the last one, stack]
  const runs = moments.threads.map((list) => {
    const found = [];
    for (let i = 0, first = 0; i < list.length; first += list[i + 1], i += 2)
      if (list[i] >= 0) found.push([first, first + list[i + 1], list[i]]);
    return found;
  });

  function stackAt(thread, moment) {
    const list = runs[thread];
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle][1] <= moment) low = middle + 1;
      else high = middle;
    }
    return low < list.length && list[low][0] <= moment ? model.stacks[list[low][2]] : null;
  }

  const isShown = (thread) =>
    (model.choice.thread < 0 || thread.id === model.choice.thread) &&
    (model.choice.process < 0 || thread.pid === model.choice.process) && runs[thread.id].length > 0;
  const shownThreads = () => model.threads.filter(isShown).slice(0, MOST_BANDS);

  const timeOf = (moment) => (moments.at_us[moment] / 1e6).toFixed(2) + " s";
  // A snapshot's band ends where the next one begins.
  const edge = (moment) => (moment < count ? moments.at_us[moment] :
    moments.at_us[count - 1] + (count > 1 ? moments.at_us[count - 1] / (count - 1) : 1));

  // ---- Bands -------------------------------------------------------------------------------------

  const painted = document.createElement("canvas"); // the bands without the mark
  let width = 0;
  const left = () => Math.min(labels, width * 0.35);
  const xOf = (moment) => left() + (edge(moment) - edge(0)) / (edge(count) - edge(0) || 1) * (width - left());

  function momentAt(x) {
    for (let moment = count - 1; moment > 0; moment--)
      if (x >= xOf(moment)) return moment;
    return 0;
  }

  function paintLabel(ink, text, y) {
    ink.save();
    ink.beginPath();
    ink.rect(0, y, left() - 4, row);
    ink.clip();
    ink.fillText(text, 4, y + row / 2);
    ink.restore();
  }

  // Whole pixels, so that neighbours of one state show no seam; of several runs in one pixel, the
  // first is seen.
  function paintRuns(ink, thread, y, ratio, colors) {
    let done = 0;
    runs[thread.id].forEach((run) => {
      const from = Math.max(Math.floor(xOf(run[0]) * ratio), done), to = Math.ceil(xOf(run[1]) * ratio);
      if (to <= from) return;
      ink.fillStyle = colors[model.stacks[run[2]].state];
      ink.fillRect(from / ratio, y + 1, (to - from) / ratio, row - 2);
      done = to;
    });
  }

  function paint() {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize), ratio = devicePixelRatio || 1;
    const threads = shownThreads(), ink = painted.getContext("2d");
    row = Math.round(rem);
    canvas.style.height = threads.length * row + "px";
    width = canvas.clientWidth;
    canvas.width = painted.width = Math.round(width * ratio);
    canvas.height = painted.height = Math.round(threads.length * row * ratio);
    ink.setTransform(ratio, 0, 0, ratio, 0, 0);
    ink.font = rem * 0.75 + "px system-ui, sans-serif";
    ink.textBaseline = "middle";
    labels = Math.max.apply(null, threads.map((thread) => ink.measureText(model.threadLabel(thread)).width).concat(0)) + 10;
    const colors = model.states.map((state) => pycore.color(state.name)), fg = pycore.color("fg");
    threads.forEach((thread, index) => {
      ink.fillStyle = fg;
      paintLabel(ink, model.threadLabel(thread), index * row);
      paintRuns(ink, thread, index * row, ratio, colors);
    });
    canvas.setAttribute("aria-label", "States of " + threads.length + " threads over " + count +
      " snapshots; the list below tells those of one snapshot");
    mark();
  }

  // The moment that is shown below.
  function mark() {
    const ratio = devicePixelRatio || 1;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (painted.width && painted.height) pen.drawImage(painted, 0, 0);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.strokeStyle = pycore.color("fg");
    pen.lineWidth = 1.5;
    pen.strokeRect(xOf(now), 0.75, Math.max(xOf(now + 1) - xOf(now), 2), canvas.height / ratio - 1.5);
  }

  // ---- One moment --------------------------------------------------------------------------------

  function framesOf(stack) {
    const list = [];
    for (let node = stack.node; node; node = model.nodes.parent[node]) list.push(model.nodes.frame[node]);
    return list;
  }

  function frameText(frame) {
    if (frame < 0) return "(frames that did not fit into this page)";
    const f = model.functions[model.frames[frame].function], line = model.frames[frame].line;
    const place = f.place.replace(/:\d+$/, "");
    return f.name + (place ? " (" + place + (line >= 0 && f.kind === 0 ? ":" + line : "") + ")" : "");
  }

  // What it does in Python's words: the innermost frame that has a name there.
  function whereOf(stack) {
    const list = framesOf(stack);
    const named = list.find((frame) => frame >= 0 && model.functions[model.frames[frame].function].kind !== model.NATIVE);
    return list.length ? frameText(named === undefined ? list[0] : named) : "no stack";
  }

  function fillStack(details, stack) {
    const list = add(details, "ol");
    framesOf(stack).forEach((frame) => {
      const native = frame < 0 || model.functions[model.frames[frame].function].kind === model.NATIVE;
      add(add(list, "li"), "code", frameText(frame), native ? { class: "faint" } : {});
    });
  }

  function addThread(list, thread, stack) {
    const details = add(add(list, "li"), "details"), summary = add(details, "summary");
    pycore.swatch(summary, model.states[stack.state].name);
    add(summary, "strong", model.threadLabel(thread));
    add(summary, "span", " " + model.states[stack.state].words + ": ");
    add(summary, "code", whereOf(stack));
    details.open = opened.has(thread.id);
    if (details.open) fillStack(details, stack);
    details.addEventListener("toggle", () => {
      if (details.open) opened.add(thread.id);
      else opened.delete(thread.id);
      if (details.open && !details.querySelector("ol")) fillStack(details, stack);
    });
  }

  function show(moment) {
    now = Math.max(0, Math.min(count - 1, moment));
    slider.value = now;
    const list = at("moment-threads"), tally = model.states.map(() => 0);
    list.textContent = "";
    shownThreads().forEach((thread) => {
      const stack = stackAt(thread.id, now);
      if (!stack) return;
      tally[stack.state]++;
      if (!at("moment-working").checked || model.works(stack.state)) addThread(list, thread, stack);
    });
    const states = model.states.map((state, index) => (tally[index] ? tally[index] + " " + state.name : "")).filter(Boolean).join(", ");
    at("moment-says").textContent = now * moments.step + 1 + " of " + pycore.count(model.data.snapshots) + ", at " + timeOf(now) + ": " + (states || "no thread");
    mark();
  }

  // ---- Beginning ---------------------------------------------------------------------------------

  function begin() {
    const threads = model.threads.filter((thread) => runs[thread.id].length);
    let text = pycore.count(count) + " snapshots over " + timeOf(count - 1) + "; click a moment, or move the slider with the arrow keys";
    if (moments.step > 1) text += "; of " + pycore.count(model.data.snapshots) + " snapshots each " + moments.step + "th is here";
    if (moments.dropped) text += "; " + pycore.count(moments.dropped) + " later ones were not kept";
    if (model.data.dropped_stacks) text += "; blank where a stack was not kept";
    if (threads.length > MOST_BANDS) text += "; the first " + MOST_BANDS + " of " + pycore.count(threads.length) + " threads, choose one above for others";
    at("moments-of").textContent = text;
    model.states.forEach((state, index) => {
      if (!model.stacks.some((stack) => stack.state === index)) return;
      const item = add(at("moments-legend"), "li");
      pycore.swatch(item, state.name);
      add(item, "span", state.name + (state.words.startsWith(state.name) ? "" : ": " + state.words));
    });
    slider.max = count - 1;
    at("moments-parts").hidden = false;
    paint();
    show(0);
  }

  slider.addEventListener("input", () => show(Number(slider.value)));
  at("moment-working").addEventListener("change", () => show(now));
  canvas.addEventListener("click", (event) => show(momentAt(event.offsetX)));
  addEventListener("resize", paint);
  document.addEventListener("colours", paint);
  model.onChange(() => { paint(); show(now); });
  begin();
})();
