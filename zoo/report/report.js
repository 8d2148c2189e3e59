/* Without this script everything is on the page, one level below the other. */
"use strict";
for (const section of document.querySelectorAll(".tabbed")) {
  const panes = [...section.querySelectorAll(":scope > .pane")];
  if (panes.length < 2) continue;
  const list = document.createElement("div");
  list.className = "tabs";
  list.setAttribute("role", "tablist");
  const tabs = panes.map((pane, number) => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.textContent = pane.querySelector("h3").textContent;
    tab.id = section.id + "-tab-" + number;
    tab.setAttribute("role", "tab");
    pane.setAttribute("role", "tabpanel");
    pane.setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("click", () => choose(number));
    list.append(tab);
    return tab;
  });
  const choose = (chosen) => {
    tabs.forEach((tab, number) => {
      tab.setAttribute("aria-selected", number === chosen);
      tab.tabIndex = number === chosen ? 0 : -1;
      panes[number].classList.toggle("away", number !== chosen);
    });
    for (const audio of section.querySelectorAll(".away audio")) audio.pause();
  };
  list.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = (tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length;
    choose(next);
    tabs[next].focus();
  });
  panes[0].before(list);
  section.classList.add("ready");
  choose(Math.floor((tabs.length - 1) / 2));
}
document.addEventListener("play", (event) => {
  for (const other of document.querySelectorAll("audio")) {
    if (other === event.target || other.paused) continue;
    const row = other.closest(".players");
    if (row && row.contains(event.target)) event.target.currentTime = other.currentTime;
    other.pause();
  }
}, true);
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => {
        const cell = row.cells[column];
        const text = cell.dataset.value ?? cell.textContent.replace("\u2212", "-");
        return text.trim() === "" ? NaN : Number(text.replace("inf", "Infinity"));
      };
      const rows = [...body.rows].map((row) => [key(row), row.cells[column].textContent, row]);
      const numbers = rows.some(([value]) => !Number.isNaN(value));
      rows.sort(([a, c], [b, d]) => {
        if (!numbers) return up ? c.localeCompare(d) : d.localeCompare(c);
        if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
        return up ? a - b : b - a;
      });
      body.append(...rows.map(([, , row]) => row));
    });
  });
}
for (const sheet of document.querySelectorAll(".sheet")) {
  sheet.title = "Click to see every pixel, and again to see it whole";
  sheet.addEventListener("click", () => sheet.classList.toggle("near"));
}
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not(#singles)")) details.open = true;
});
