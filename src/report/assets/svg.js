// SPDX-License-Identifier: GPL-3.0-or-later
// What makes the flame graph of report/svg.c a page: zoom, search, keys. Without it the picture is
// complete, but still. The boxes are read from the picture itself: data-d is a box's depth, data-x
// where it begins, data-w its weight; each comes before what is on top of it.
(() => {
    'use strict';
    const svg = document.documentElement;
    if (svg.localName !== 'svg') return; // put into a page: it stays a picture
    const part = (id) => document.getElementById(id);
    const ROW = 18, MARGIN = 10, COLUMN = 7.25;
    const HELP = 'Click or Enter: zoom. Escape: back. Arrows: from box to box. /: search. ' +
        'I: turn upside down.';
    const base = Number(svg.dataset.base) || 1;

    // ---- Boxes ----------------------------------------------------------------------------------

    const boxes = Array.from(part('frames').children, (group) => {
        const [rect, text] = [group.querySelector('rect'), group.querySelector('text')];
        const lines = group.querySelector('title').textContent.split('\n');
        return {
            group, rect, text, name: lines[0], facts: lines.slice(1).join('; '),
            label: lines[0].replace(/ \([^()]*\/([^()/]+)\)$/, ' ($1)'),
            depth: Number(group.dataset.d), begin: Number(group.dataset.x),
            weight: Number(group.dataset.w), parent: null, children: [], hit: false, shown: false,
        };
    });
    const above = [];
    for (const box of boxes) {
        above[box.depth] = box;
        if (box.depth) {
            box.parent = above[box.depth - 1];
            box.parent.children.push(box);
        }
    }
    const root = boxes[0];
    let zoomed = root, current = root, icicle = true;

    const percent = (share) => {
        const value = share * 100;
        return value >= 9.95 ? value.toFixed(0) : value >= 0.095 ? value.toFixed(1)
            : value >= 0.005 ? value.toFixed(2) : value > 0 ? '<0.01' : '0';
    };

    // ---- What stands around them ----------------------------------------------------------------

    const element = (name, parent, text, attributes) => {
        const made = document.createElementNS('http://www.w3.org/1999/xhtml', name);
        for (const key in attributes) made.setAttribute(key, attributes[key]);
        if (text) made.textContent = text;
        if (parent) parent.appendChild(made);
        return made;
    };
    const foreign = (before) => {
        const made = document.createElementNS('http://www.w3.org/2000/svg', 'foreignObject');
        made.setAttribute('x', MARGIN);
        made.setAttribute('y', 0);
        svg.insertBefore(made, before);
        return made;
    };

    // The heading again, as text that wraps.
    const headPlace = foreign(part('frames'));
    const head = element('div', headPlace, '', {class: 'head'});
    for (const line of part('head').children)
        element(line.id === 'heading' ? 'h1' : 'p', head, line.textContent,
            {class: line.getAttribute('class') || ''});
    const legend = element('ul', head, '', {'aria-label': 'Colours'});
    for (const entry of part('legend').children) {
        const item = element('li', legend);
        const swatch = element('i', item);
        swatch.dataset.of = entry.getAttribute('class');
        element('span', item, entry.textContent);
    }
    part('head').remove();
    part('legend').style.visibility = 'hidden';

    const barPlace = foreign(null);
    const bar = element('div', barPlace, '', {class: 'bar'});
    const form = element('form', bar, '', {role: 'search'});
    const input = element('input', form, '', {type: 'search', id: 'search',
        placeholder: 'Search: name, file or expression', 'aria-label': 'Search', title: 'Key: /'});
    const reset = element('button', form, 'Reset', {type: 'button', id: 'reset',
        title: 'Whole picture, no search. Key: Escape'});
    const turn = element('button', form, 'Flame', {type: 'button', id: 'turn', title: 'Key: I'});
    const help = element('button', form, '?', {type: 'button', id: 'help', title: HELP,
        'aria-label': 'Help'});
    const found = element('output', form, '', {id: 'found', 'aria-live': 'polite', for: 'search'});
    const details = element('div', bar, '', {id: 'details', role: 'status'});
    const detailName = element('b', details), detailFacts = element('span', details);

    const say = (box) => {
        detailName.textContent = box.name;
        detailFacts.textContent = box.facts;
    };

    // ---- Layout ---------------------------------------------------------------------------------

    const fit = (label, width) => {
        const columns = Math.floor((width - 6) / COLUMN);
        if (columns < 3) return '';
        const letters = Array.from(label);
        return letters.length <= columns ? label : letters.slice(0, columns - 2).join('') + '..';
    };

    const place = (box, x, width, y) => {
        box.x = x;
        box.width = width;
        box.y = y;
        box.rect.setAttribute('x', x.toFixed(2));
        box.rect.setAttribute('y', y);
        box.rect.setAttribute('width', Math.max(width - 0.6, 0.4).toFixed(2));
        const text = fit(box.label, width);
        if (!box.text && text) {
            box.text = document.createElementNS('http://www.w3.org/2000/svg', 'text');
            box.group.appendChild(box.text);
        }
        if (box.text) {
            box.text.textContent = text;
            box.text.setAttribute('x', (x + 3).toFixed(2));
            box.text.setAttribute('y', y + 13);
        }
    };

    let top = 0, barTop = 0, barHeight = 0;

    const stick = () => barPlace.setAttribute('y', Math.max(barTop, window.scrollY));

    const layout = () => {
        svg.style.width = '100%';
        const width = Math.max(200, svg.getBoundingClientRect().width - 2 * MARGIN);
        const scale = width / (zoomed.weight || 1);
        for (const where of [headPlace, barPlace]) {
            where.setAttribute('width', width);
            where.setAttribute('height', 10000);
        }
        const headHeight = head.offsetHeight;
        barHeight = bar.offsetHeight;
        headPlace.setAttribute('y', MARGIN);
        headPlace.setAttribute('height', headHeight);
        barPlace.setAttribute('height', barHeight);
        barTop = MARGIN + headHeight + 6;
        top = barTop + barHeight + 6;
        const end = zoomed.begin + zoomed.weight;
        let deepest = 0;
        for (const box of boxes) {
            const over = box.depth < zoomed.depth && box.begin <= zoomed.begin &&
                box.begin + box.weight >= end;
            const under = box.depth >= zoomed.depth && box.begin >= zoomed.begin &&
                box.begin + box.weight <= end && (box.weight * scale >= 0.5 || box === zoomed);
            box.shown = over || under;
            box.over = over;
            if (box.shown) deepest = Math.max(deepest, box.depth);
        }
        for (const box of boxes) {
            box.group.style.display = box.shown ? '' : 'none';
            box.group.classList.toggle('above', box.over);
            if (!box.shown) continue;
            const begin = box.over ? zoomed.begin : box.begin;
            place(box, MARGIN + (begin - zoomed.begin) * scale,
                (box.over ? zoomed.weight : box.weight) * scale,
                top + (icicle ? box.depth : deepest - box.depth) * ROW);
        }
        const height = top + (deepest + 1) * ROW + MARGIN;
        svg.setAttribute('height', height);
        part('paper').setAttribute('height', height);
        stick();
    };

    // ---- Zoom, focus ----------------------------------------------------------------------------

    const become = (box) => {
        current.group.setAttribute('tabindex', '-1');
        current = box;
        current.group.setAttribute('tabindex', '0');
    };

    const focus = (box) => {
        become(box);
        box.group.focus({preventScroll: true});
        const low = box.y - barHeight - 6, high = box.y + 2 * ROW - window.innerHeight;
        if (window.scrollY > low || window.scrollY < high)
            window.scrollTo(0, window.scrollY > low ? low : high);
        say(box);
    };

    const zoom = (box) => {
        zoomed = box;
        layout();
        if (!current.shown) become(box);
        say(box);
    };

    const next = (box, step) => {
        const row = boxes.filter((other) => other.shown && other.depth === box.depth);
        return row[row.indexOf(box) + step];
    };

    const upsideDown = () => {
        icicle = !icicle;
        turn.textContent = icicle ? 'Flame' : 'Icicle';
        layout();
        window.scrollTo(0, icicle ? 0 : document.documentElement.getBoundingClientRect().height);
    };

    // ---- Search ---------------------------------------------------------------------------------

    // The text itself or, where it is one, the expression: f(x) finds both f(x) and fx.
    const matcher = (query) => {
        const text = query.toLowerCase();
        let expression = null;
        try {
            expression = new RegExp(query, 'i');
        } catch (error) { // such as "f("
        }
        return (name) => name.toLowerCase().includes(text) ||
            (expression !== null && expression.test(name));
    };

    // A match inside of a match is in its weight already.
    const search = () => {
        const query = input.value, matches = matcher(query);
        let weight = 0, count = 0;
        for (const box of boxes) {
            box.hit = query !== '' && box !== root && matches(box.name);
            box.inside = box.parent !== null && (box.parent.hit || box.parent.inside);
            count += box.hit;
            if (box.hit && !box.inside) weight += box.weight;
            box.group.classList.toggle('hit', box.hit);
            box.group.classList.toggle('dim', query !== '' && !box.hit);
        }
        found.textContent = query === '' ? ''
            : count + (count === 1 ? ' box, ' : ' boxes, ') + percent(weight / base) + ' % ' +
                svg.dataset.words;
    };

    const resetAll = () => {
        input.value = '';
        search();
        zoom(root);
    };

    // ---- Events ---------------------------------------------------------------------------------

    const graph = part('frames');
    const boxOf = (event) => {
        const group = event.target.closest('#frames > g');
        return group ? boxes[Number(group.dataset.i)] : null;
    };
    boxes.forEach((box, index) => {
        box.group.dataset.i = index;
        box.group.setAttribute('tabindex', '-1');
        box.group.setAttribute('role', 'treeitem');
        box.group.setAttribute('aria-level', box.depth + 1);
        box.group.setAttribute('aria-label', box.name + '; ' + box.facts);
    });
    graph.setAttribute('role', 'tree');
    graph.setAttribute('aria-label', 'Flame graph');
    graph.addEventListener('mouseover', (event) => boxOf(event) && say(boxOf(event)));
    graph.addEventListener('mouseleave', () => say(zoomed));
    graph.addEventListener('focusin', (event) => boxOf(event) && say(boxOf(event)));
    graph.addEventListener('click', (event) => {
        const box = boxOf(event);
        if (!box) return;
        zoom(box);
        focus(box);
    });

    const move = {
        ArrowLeft: (box) => next(box, -1),
        ArrowRight: (box) => next(box, 1),
        ArrowDown: (box) => icicle ? box.children.find((child) => child.shown) : box.parent,
        ArrowUp: (box) => icicle ? box.parent : box.children.find((child) => child.shown),
        Home: () => root,
    };
    graph.addEventListener('keydown', (event) => {
        const box = boxOf(event);
        if (!box || event.ctrlKey || event.altKey || event.metaKey) return;
        if (event.key === 'Enter' || event.key === ' ') {
            zoom(box);
            focus(box);
        } else if (move[event.key]) {
            const to = move[event.key](box);
            if (to) focus(to);
        } else {
            return;
        }
        event.preventDefault();
    });
    document.addEventListener('keydown', (event) => {
        if (event.ctrlKey || event.altKey || event.metaKey) return;
        if (event.key === 'Escape') {
            if (zoomed !== root && event.target !== input) zoom(root);
            else resetAll();
        } else if (event.target !== input && event.key === '/') {
            input.focus();
            input.select();
        } else if (event.target !== input && event.key.toLowerCase() === 'i') {
            upsideDown();
        } else if (event.target !== input && event.key === '?') {
            detailName.textContent = 'Keys';
            detailFacts.textContent = HELP;
        } else {
            return;
        }
        event.preventDefault();
    });
    input.addEventListener('input', search);
    form.addEventListener('submit', (event) => {
        event.preventDefault();
        const hit = boxes.find((box) => box.hit && box.shown);
        if (hit) focus(hit);
    });
    reset.addEventListener('click', resetAll);
    turn.addEventListener('click', upsideDown);
    help.addEventListener('click', () => {
        detailName.textContent = 'Keys';
        detailFacts.textContent = HELP;
    });
    window.addEventListener('resize', layout);
    window.addEventListener('scroll', stick);

    const paint = () => { // the legend's colours are those of the picture
        for (const swatch of legend.querySelectorAll('i')) {
            const rect = part('legend').querySelector('.' + swatch.dataset.of + ' rect');
            swatch.style.background = getComputedStyle(rect).fill;
        }
    };
    window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', paint);
    paint();
    svg.removeAttribute('viewBox');
    become(root);
    layout();
    say(root);
})();
