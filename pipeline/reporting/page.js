"use strict";
// Shows the values of a chart under a pointer, or with arrow keys in a chart that has the focus.
const tip = document.body.appendChild(document.createElement("div"));
tip.className = "tip";
tip.setAttribute("role", "status");
let shown = null;

function hide() {
  if (shown) shown.classList.remove("read");
  shown = null;
  tip.textContent = "";
}

function place() {
  if (!shown) return;
  const at = shown.getBoundingClientRect(), size = tip.getBoundingClientRect();
  const middle = at.left + at.width / 2 - size.width / 2;
  tip.style.left = Math.max(4, Math.min(middle, document.documentElement.clientWidth - size.width - 4)) + "px";
  const above = at.top - size.height - 6;
  tip.style.top = Math.max(4, above > 4 ? above : Math.min(at.bottom + 6, innerHeight - size.height - 4)) + "px";
}

function show(mark) {
  if (mark === shown) return;
  hide();
  shown = mark;
  mark.classList.add("read");
  tip.textContent = mark.dataset.tip;
  place();
}

for (const chart of document.querySelectorAll(".chart")) {
  const marks = [...chart.querySelectorAll("[data-tip]")];
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  chart.addEventListener("pointerover", (event) => {
    const mark = event.target.closest("[data-tip]");
    if (mark) show(mark);
    else hide();
  });
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    if (!(event.key in steps) || !marks.length) return;
    event.preventDefault();
    const step = steps[event.key], place = marks.indexOf(shown);
    show(marks[Math.max(0, Math.min(marks.length - 1, place + step))]);
  });
}
addEventListener("scroll", place, { passive: true });
// A print has no pointer: it shows all tables.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
