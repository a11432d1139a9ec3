// SPDX-License-Identifier: GPL-3.0-or-later
// The frames of a flame graph: a function, or one of its lines, below a certain caller (or, inverted,
// above a certain callee), with what the chosen stacks count there. As arrays by frame: 0 is the
// whole, and a frame has a larger number than the one it hangs from.
"use strict";
pycore.tree = (function () {
  const model = pycore.model, nodes = model.nodes, frames = model.frames;
  // Keys that are no function and no line: frames that did not fit into the page, and threads.
  const CUT = -1, THREAD = -3;
  const LEAST = 1 / 20000;

  function keyOf(node, lines) {
    const frame = nodes.frame[node];
    return frame < 0 ? CUT : lines ? frame : frames[frame].function;
  }

  function isHidden(node, options) {
    const frame = nodes.frame[node];
    return frame >= 0 && !options.natives && model.functions[frames[frame].function].kind === model.NATIVE;
  }

  function makeGraph() {
    const known = new Map();
    const span = Math.max(model.functions.length, frames.length) + model.threads.length + 8;
    const graph = { parent: [], key: [], depth: [], value: [], self: [], cpu: [], selfCpu: [] };
    graph.push = function (parent, key, depth) {
      graph.parent.push(parent);
      graph.key.push(key);
      graph.depth.push(depth);
      ["value", "self", "cpu", "selfCpu"].forEach((list) => graph[list].push(0));
      return graph.parent.length - 1;
    };
    graph.child = function (parent, key) {
      const at = parent * span + key + model.threads.length + 4;
      let child = known.get(at);
      if (child === undefined) known.set(at, (child = graph.push(parent, key, graph.depth[parent] + 1)));
      return child;
    };
    graph.push(0, CUT, 0);
    return graph;
  }

  // What ends at each node of the data, for all threads together or one by one.
  function parts(options) {
    if (!options.threads) return [{ key: 0, three: model.weigh(options.tasks) }];
    const chosen = model.choice.thread;
    const list = model.threads.filter((thread) => chosen < 0 || thread.id === chosen).map((thread) => {
      model.choice.thread = thread.id;
      return { key: THREAD - thread.id, three: model.weigh(options.tasks) };
    });
    model.choice.thread = chosen;
    return list;
  }

  // Nodes that have weight, or something with weight above them.
  function usedNodes(weight) {
    const used = new Uint8Array(nodes.count);
    for (let node = nodes.count - 1; node >= 0; node--) {
      if (weight[node] > 0) used[node] = 1;
      if (used[node] && node) used[nodes.parent[node]] = 1;
    }
    return used;
  }

  function addUpright(graph, top, weight, cpu, options) {
    const used = usedNodes(weight), place = new Int32Array(nodes.count);
    place[0] = top;
    for (let node = 0; node < nodes.count; node++) {
      if (!used[node]) continue;
      if (node) {
        const parent = place[nodes.parent[node]];
        place[node] = isHidden(node, options) ? parent : graph.child(parent, keyOf(node, options.lines));
      }
      graph.self[place[node]] += weight[node];
      graph.selfCpu[place[node]] += cpu[node];
    }
  }

  // The next frame outward that is shown; 0: there is none.
  function outward(node, options) {
    while (node && isHidden(node, options)) node = nodes.parent[node];
    return node;
  }

  // Each stack from its innermost frame to its outermost, those that have begun alike together; what
  // the innermost one did itself is said of it alone. Where less than LEAST of all is left, the rest
  // is not told apart: with some 20,000 samples that is less than one of them.
  function addInverted(graph, top, weight, cpu, options) {
    const todo = [{ at: top, ends: [] }];
    let least = 0;
    for (let leaf = 0; leaf < nodes.count; leaf++) {
      if (weight[leaf] > 0) todo[0].ends.push({ node: outward(leaf, options), weight: weight[leaf], cpu: cpu[leaf] });
      least += weight[leaf] * LEAST;
    }
    while (todo.length) {
      const group = todo.pop(), byKey = new Map();
      group.ends.forEach((end) => {
        if (!end.node) {
          graph.value[group.at] += end.weight;
          graph.cpu[group.at] += end.cpu;
          if (group.at === top) {
            graph.self[top] += end.weight;
            graph.selfCpu[top] += end.cpu;
          }
          return;
        }
        const key = keyOf(end.node, options.lines);
        let next = byKey.get(key);
        if (!next) byKey.set(key, (next = { at: graph.child(group.at, key), ends: [], weight: 0, cpu: 0 }));
        next.weight += end.weight;
        next.cpu += end.cpu;
        next.ends.push({ node: outward(nodes.parent[end.node], options), weight: end.weight, cpu: end.cpu });
      });
      byKey.forEach((next) => {
        if (group.at === top) {
          graph.self[next.at] += next.weight;
          graph.selfCpu[next.at] += next.cpu;
        }
        if (next.weight >= least) {
          todo.push(next);
        } else {
          graph.value[next.at] += next.weight;
          graph.cpu[next.at] += next.cpu;
        }
      });
    }
  }

  // Sums from the tips to the whole, and each frame's place beside its neighbours, heaviest first.
  function finish(graph, options) {
    const count = graph.parent.length;
    if (!options.inverted) {
      graph.value = graph.self.slice();
      graph.cpu = graph.selfCpu.slice();
    }
    graph.children = Array.from({ length: count }, () => []);
    graph.deepest = 0;
    for (let i = count - 1; i > 0; i--) {
      graph.value[graph.parent[i]] += graph.value[i];
      graph.cpu[graph.parent[i]] += graph.cpu[i];
      graph.children[graph.parent[i]].push(i);
      graph.deepest = Math.max(graph.deepest, graph.depth[i]);
    }
    graph.x = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      let x = graph.x[i];
      graph.children[i].sort((a, b) => graph.value[b] - graph.value[a] || a - b);
      graph.children[i].forEach((child) => { graph.x[child] = x; x += graph.value[child]; });
    }
    return graph;
  }

  // options: tasks (async stacks), lines, natives, threads, inverted
  function build(options) {
    const graph = makeGraph();
    const add = options.inverted ? addInverted : addUpright;
    parts(options).forEach((part) => {
      const three = part.three;
      const weight = three[0].map((working, node) => model.pick(working, three[1][node], three[2][node]));
      if (!weight.some((value) => value > 0)) return;
      add(graph, part.key ? graph.child(0, part.key) : 0, weight, three[2], options);
    });
    graph.lines = options.lines;
    return finish(graph, options);
  }

  // ---- What a frame is ---------------------------------------------------------------------------

  function functionOf(graph, at) {
    const key = graph.key[at];
    return key < 0 ? null : model.functions[graph.lines ? frames[key].function : key];
  }

  function nameOf(graph, at) {
    const key = graph.key[at];
    if (at === 0) return "all";
    if (key <= THREAD) return "thread " + model.threadLabel(model.threads[THREAD - key]);
    if (key < 0) return "(frames that did not fit into this page)";
    const line = graph.lines ? frames[key].line : -1;
    return functionOf(graph, at).name + (line >= 0 ? ":" + line : "");
  }

  return { build: build, functionOf: functionOf, nameOf: nameOf };
})();
