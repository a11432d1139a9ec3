// SPDX-License-Identifier: GPL-3.0-or-later
// Of every page: light or dark, links to the sections, wide tables for the keyboard.
"use strict";
(function () {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function add(parent, tag, text, facts) {
    const element = document.createElement(tag);
    element.textContent = text || "";
    Object.keys(facts || {}).forEach((name) => element.setAttribute(name, facts[name]));
    parent.appendChild(element);
    return element;
  }

  function addTheme(header) {
    const label = add(header, "label", "Colours ", { class: "theme" });
    const select = add(label, "select", "", { id: "theme" });
    [["", "as the system"], ["light", "light"], ["dark", "dark"]].forEach(([value, text]) => {
      add(select, "option", text, { value: value });
    });
    select.addEventListener("change", () => {
      if (select.value) root.setAttribute("data-theme", select.value);
      else root.removeAttribute("data-theme");
      document.dispatchEvent(new Event("colours"));
    });
    dark.addEventListener("change", () => document.dispatchEvent(new Event("colours")));
  }

  // The reader's choice of dark is not for paper.
  function watchPrinting() {
    let chosen = null;
    addEventListener("beforeprint", () => {
      chosen = root.getAttribute("data-theme");
      root.setAttribute("data-theme", "light");
      document.dispatchEvent(new Event("colours"));
    });
    addEventListener("afterprint", () => {
      if (chosen === null) root.removeAttribute("data-theme");
      else root.setAttribute("data-theme", chosen);
      document.dispatchEvent(new Event("colours"));
    });
  }

  function addLinks(header) {
    const nav = add(header, "nav", "", { "aria-label": "Sections" });
    const list = add(nav, "ul");
    document.querySelectorAll("main > section:not([hidden])").forEach((section) => {
      const title = section.querySelector("h2");
      if (title) add(add(list, "li"), "a", title.textContent, { href: "#" + section.id });
    });
  }

  // What must be moved sideways can be, without a mouse.
  function watchTables() {
    const boxes = Array.from(document.querySelectorAll(".scroll"));
    const look = () => boxes.forEach((box) => {
      if (box.scrollWidth <= box.clientWidth) {
        box.removeAttribute("tabindex");
        box.removeAttribute("role");
        box.removeAttribute("aria-label");
        return;
      }
      const caption = box.querySelector("caption");
      box.setAttribute("tabindex", "0");
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", (caption ? caption.textContent : "Table") + ", scrolls sideways");
    });
    addEventListener("resize", look);
    look();
  }

  const header = document.querySelector("header");
  addLinks(header);
  addTheme(header);
  watchPrinting();
  watchTables();
})();
