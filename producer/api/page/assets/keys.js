"use strict";

// Keyboard shortcuts, listed in the dialog of the layout. Rows are focused by their first link.
const dialog = document.querySelector("dialog.keys");
const opener = document.querySelector("[data-keys]");
const links = () => [...document.querySelectorAll("main tbody tr")].map((row) => row.querySelector("a")).filter(Boolean);
const follow = (selector) => document.querySelector(selector)?.click();
const choose = (number) => document.querySelectorAll("form.judge input[type=radio]")[number]?.click();

const walk = (step) => {
  const all = links();
  const at = all.findIndex((link) => link.closest("tr").contains(document.activeElement));
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step];
  next?.focus();
  next?.closest("tr").scrollIntoView({block: "nearest"});
};

const KEYS = {
  "j": () => walk(1),
  "k": () => walk(-1),
  "x": () => document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]")?.click(),
  "n": () => follow("a[rel=next]"),
  "p": () => follow("a[rel=prev]"),
  "u": () => follow("a[rel=up]"),
  "/": () => document.querySelector("form[role=search]")?.querySelector("input, select")?.focus(),
  "1": () => choose(0),
  "2": () => choose(1),
  "3": () => choose(2),
  "?": () => dialog.showModal(),
};

document.addEventListener("keydown", (event) => {
  const writes = event.target.closest?.("input:not([type=checkbox]):not([type=radio]), textarea, select, dialog");
  if (writes || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) {
    return;
  }
  event.preventDefault();
  KEYS[event.key]();
});

opener.hidden = false;
opener.addEventListener("click", () => dialog.showModal());
