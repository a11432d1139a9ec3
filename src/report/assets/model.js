// SPDX-License-Identifier: GPL-3.0-or-later
// The data of the page (src/report/html_data.c says what is where), what of it the reader has
// chosen, and the counts that follow. Text from the data only ever becomes textContent.
"use strict";
const pycore = {};

// ---- Elements and numbers ------------------------------------------------------------------------

pycore.at = (id) => document.getElementById(id);

pycore.add = function (parent, tag, text, facts) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  Object.keys(facts || {}).forEach((name) => element.setAttribute(name, facts[name]));
  parent.appendChild(element);
  return element;
};

pycore.count = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");

// The style of numbers is that of all reports (src/report/numbers.c).
pycore.percent = function (share) {
  const value = share * 100;
  if (!(value > 0)) return "0 %";
  if (value < 0.005) return "<0.01 %";
  return value.toFixed(value < 0.095 ? 2 : value < 9.95 ? 1 : 0) + " %";
};

pycore.range = function (low, high) {
  const digits = high < 0.0995 ? 1 : 0;
  return (low * 100).toFixed(digits) + "\u2013" + (high * 100).toFixed(digits) + " %";
};

pycore.duration = function (ns) {
  const scaled = (value, unit) => Number(value.toFixed(value < 0.995 ? 2 : value < 99.95 ? 1 : 0)) + " " + unit;
  const seconds = Math.round(ns / 1e9);
  if (!ns) return "0 s";
  if (ns < 1000) return ns + " ns";
  if (ns < 99500) return scaled(ns / 1e3, "us");
  if (ns < 999500000) return scaled(ns / 1e6, "ms");
  if (seconds < 120) return scaled(ns / 1e9, "s");
  if (seconds < 7200) return Math.floor(seconds / 60) + " min " + seconds % 60 + " s";
  return pycore.count(Math.floor(seconds / 3600)) + " h " + Math.floor(seconds % 3600 / 60) + " min";
};

// A colour of the style sheet.
pycore.color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

pycore.model = (function () {
  const data = JSON.parse(pycore.at("data").textContent);
  const name = (index) => (index < 0 ? "" : data.names[index]);
  const KINDS = ["python", "builtin", "native"];
  const NATIVE = 2;
  const WORKING = 0, ALL = 1, CPU = 2;

  const functions = data.functions.map((row, id) => ({
    id: id, kind: row[0], name: name(row[1]), place: name(row[2]), file: name(row[3]),
    module: name(row[4]), line: row[5], ownCode: (row[6] & 1) !== 0, interpreter: (row[6] & 2) !== 0,
    inferred: (row[6] & 4) !== 0, hidden: (row[6] & 8) !== 0, own: row.slice(7, 10), self: row.slice(10, 13),
    total: row.slice(13, 16), calls: row[16], longest_ns: row[17], bounds: row.slice(18, 22),
  }));
  const groupOf = (f) => (f.kind === NATIVE ? "native" : f.kind === 1 ? "builtin" : f.ownCode ? "own" : "library");

  const threads = data.threads.map((row, id) => ({
    id: id, name: name(row[0]) || "?", pid: row[1], tid: row[2], python: row[3] !== 0,
    samples: row[4], cpu_ns: row[5], states: row.slice(6),
  }));
  const threadLabel = (thread) => thread.name + (thread.tid ? " (" + thread.tid + ")" : "");

  const nodeCount = data.nodes.length / 2 + 1;
  const nodes = { count: nodeCount, parent: new Int32Array(nodeCount), frame: new Int32Array(nodeCount) };
  nodes.frame[0] = -2;
  for (let i = 1; i < nodeCount; i++) {
    nodes.parent[i] = data.nodes[2 * i - 2];
    nodes.frame[i] = data.nodes[2 * i - 1];
  }
  const frames = [];
  for (let i = 0; i < data.frames.length; i += 2) frames.push({ function: data.frames[i], line: data.frames[i + 1] });
  function readStacks(list) {
    const read = [];
    for (let i = 0; i < list.length; i += 6)
      read.push({ thread: list[i], state: list[i + 1], node: list[i + 2],
                  samples: list[i + 3], cpu_ns: list[i + 4], gil: list[i + 5] });
    return read;
  }
  function byThread(list) {
    const of = threads.map(() => []);
    list.forEach((stack) => { if (stack.thread >= 0) of[stack.thread].push(stack); });
    return of;
  }
  // Those of tasks are the same samples, without the event loop, and the tasks that wait beside them.
  const stacks = readStacks(data.stacks), taskStacks = readStacks(data.task_stacks || []);
  const stacksOf = byThread(stacks), taskStacksOf = byThread(taskStacks);

  // ---- What is chosen ----------------------------------------------------------------------------

  const choice = { count: data.weight, process: -1, thread: -1, state: -1 };
  const isFiltered = () => choice.process >= 0 || choice.thread >= 0 || choice.state >= 0;
  const matches = (stack) =>
    (choice.thread < 0 || stack.thread === choice.thread) &&
    (choice.state < 0 || stack.state === choice.state) &&
    (choice.process < 0 || (stack.thread >= 0 && threads[stack.thread].pid === choice.process));

  // One of the three counts, or the waiting part of them.
  function pick(working, all, cpu) {
    switch (choice.count) {
    case "waiting": return all - working;
    case "wall": return all;
    case "cpu": return cpu;
    default: return working;
    }
  }
  const pickOf = (three) => pick(three[WORKING], three[ALL], three[CPU]);
  const works = (state) => data.states[state].works;
  const say = (value) => (choice.count === "cpu" ? pycore.duration(value) : pycore.count(value));
  const unit = () => ({ working: "working samples", waiting: "waiting samples", wall: "samples", cpu: "of CPU time" })[choice.count];

  // By node of the data: the three counts of the chosen stacks, of threads or tasks, that end there.
  function weigh(tasks) {
    const three = [new Float64Array(nodeCount), new Float64Array(nodeCount), new Float64Array(nodeCount)];
    const all = tasks ? taskStacks : stacks, of = tasks ? taskStacksOf : stacksOf;
    (choice.thread < 0 ? all : of[choice.thread]).forEach((stack) => {
      if (!matches(stack)) return;
      if (works(stack.state)) three[WORKING][stack.node] += stack.samples;
      three[ALL][stack.node] += stack.samples;
      three[CPU][stack.node] += stack.cpu_ns;
    });
    return three;
  }

  // ---- Functions, lines and edges of what is chosen ------------------------------------------------

  function wholeTally() {
    const edges = [], lines = [];
    for (let i = 0; i < data.edges.length; i += 5)
      edges.push({ caller: data.edges[i], callee: data.edges[i + 1], counts: data.edges.slice(i + 2, i + 5) });
    data.lines.forEach((row) => lines.push({
      function: row[0], line: row[1], own: row.slice(2, 5), total: row.slice(5, 8),
      text: row[8] === undefined ? "" : name(row[8]), newer: row[9] === 1 }));
    return { own: functions.map((f) => f.own), total: functions.map((f) => f.total), edges: edges, lines: lines,
             sums: [data.samples_working, data.samples, data.cpu_on_stacks_ns], whole: true };
  }

  // A stack's functions, lines and edges count once in it, however deep the recursion.
  function countStack(tally, leaf, three) {
    const addTo = (place) => { for (let k = 0; k < 3; k++) place[k] += three[k]; };
    let inner = -1, innerNamed = -1, own = -1;
    for (let node = leaf; node; node = nodes.parent[node]) {
      const at = nodes.frame[node] < 0 ? null : frames[nodes.frame[node]];
      if (!at) continue;
      const native = functions[at.function].kind === NATIVE;
      if (own < 0 && !native) own = nodes.frame[node];
      if (tally.seen[at.function] !== leaf) addTo(tally.total[at.function]);
      tally.seen[at.function] = leaf;
      tally.line(nodes.frame[node], leaf, addTo);
      if (inner >= 0) tally.edge(at.function, inner, leaf, addTo);
      if (!native && innerNamed >= 0 && innerNamed !== inner) tally.edge(at.function, innerNamed, leaf, addTo);
      inner = at.function;
      if (!native) innerNamed = at.function;
    }
    if (own < 0) own = nodes.frame[leaf];
    if (own >= 0) {
      addTo(tally.own[frames[own].function]);
      addTo(tally.lineOf(own).own);
    }
  }

  function partTally() {
    const zeros = () => functions.map(() => [0, 0, 0]);
    const edges = new Map(), lines = new Map(), texts = new Map();
    whole.lines.forEach((line) => texts.set(line.function + ":" + line.line, line));
    const tally = { own: zeros(), total: zeros(), seen: new Int32Array(functions.length), sums: [0, 0, 0], whole: false };
    tally.lineOf = function (frame) {
      let line = lines.get(frame);
      if (!line) {
        const at = frames[frame], known = texts.get(at.function + ":" + at.line);
        line = { function: at.function, line: at.line, own: [0, 0, 0], total: [0, 0, 0], seen: 0,
                 text: known ? known.text : "", newer: known ? known.newer : false };
        lines.set(frame, line);
      }
      return line;
    };
    tally.line = function (frame, leaf, addTo) {
      const line = tally.lineOf(frame);
      if (line.seen !== leaf) addTo(line.total);
      line.seen = leaf;
    };
    tally.edge = function (caller, callee, leaf, addTo) {
      const key = caller * functions.length + callee;
      let edge = edges.get(key);
      if (!edge) edges.set(key, (edge = { caller: caller, callee: callee, counts: [0, 0, 0], seen: 0 }));
      if (edge.seen !== leaf) addTo(edge.counts);
      edge.seen = leaf;
    };
    const three = weigh(false);
    for (let node = 0; node < nodeCount; node++) {
      const counts = [three[0][node], three[1][node], three[2][node]];
      if (!counts[ALL]) continue;
      for (let k = 0; k < 3; k++) tally.sums[k] += counts[k];
      if (node) countStack(tally, node, counts);
    }
    tally.edges = Array.from(edges.values());
    tally.lines = Array.from(lines.values());
    return tally;
  }

  const whole = wholeTally();
  const listeners = [];
  const model = {
    data: data, functions: functions, threads: threads, frames: frames, nodes: nodes, stacks: stacks,
    hasTasks: taskStacks.length > 0,
    states: data.states, choice: choice, kinds: KINDS, NATIVE: NATIVE, groupOf: groupOf, name: name,
    threadLabel: threadLabel, pick: pick, pickOf: pickOf, weigh: weigh, matches: matches, works: works, say: say,
    unit: unit, isFiltered: isFiltered, tally: whole,
    usesState: (state) => stacks.concat(taskStacks).some((stack) => stack.state === state),
    onChange: (listener) => listeners.push(listener),
    choose: function (key, value) {
      choice[key] = value;
      model.tally = isFiltered() ? partTally() : whole;
      listeners.forEach((listener) => listener());
    },
  };
  return model;
})();

// ---- The controls of the choice --------------------------------------------------------------------

(function () {
  const model = pycore.model, at = pycore.at, add = pycore.add;
  const option = (select, value, text) => add(select, "option", text, { value: value });

  function fillThreads() {
    const select = at("thread");
    select.textContent = "";
    option(select, -1, "all");
    model.threads.forEach((thread) => {
      if (model.choice.process < 0 || thread.pid === model.choice.process)
        option(select, thread.id, model.threadLabel(thread));
    });
  }

  function watch(id) {
    at(id).addEventListener("change", () => {
      if (id === "process") {
        model.choice.process = Number(at(id).value);
        model.choice.thread = -1;
        fillThreads();
      }
      model.choose(id, Number(at(id).value));
    });
  }

  if (model.data.processes.length > 1) {
    option(at("process"), -1, "all");
    model.data.processes.forEach((row) => option(at("process"), row[0], row[0] + " " + model.name(row[1])));
    at("process-choice").hidden = false;
  }
  fillThreads();
  option(at("state"), -1, "any");
  model.states.forEach((state, index) => {
    if (model.usesState(index)) option(at("state"), index, state.name);
  });
  ["process", "thread", "state"].forEach(watch);
  document.querySelectorAll("input[name=count]").forEach((radio) => {
    radio.checked = radio.value === model.choice.count;
    radio.addEventListener("change", () => model.choose("count", radio.value));
  });
  at("choices").addEventListener("submit", (event) => event.preventDefault());
  at("choices").hidden = false;
})();
