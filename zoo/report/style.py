"""The page's looks: light and dark, wide and narrow, on a screen and on paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf8; --card: #ffffff; --ink: #1d1c1a; --soft: #6a6762; --rule: #e4e1db;
  --tint: #eaf1f8; --c0: #1f5f99; --c1: #c2571a; --c2: #2f7d4f; --c3: #8d3f86; --c4: #a8861a;
  --c5: #2a8c95; --c6: #b0355a; --c7: #8a8780; --done: #2f7d4f; --open: #a8621a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #161719; --card: #1e2023; --ink: #e8e6e1; --soft: #a09d97; --rule: #34373b;
    --tint: #1f2f40; --c0: #79b4ea; --c1: #f0935a; --c2: #79c795; --c3: #d694d0; --c4: #dcbf5d;
    --c5: #6fcbd3; --c6: #ee86a4; --c7: #8f8d88; --done: #79c795; --open: #e6ac66;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
    sans-serif;
}
main { max-width: 70rem; margin: 0 auto; padding: 3rem 1.5rem 2rem; }
h1, h2, h3, h4 { line-height: 1.2; margin: 0; text-wrap: balance; }
h1 { font-size: clamp(1.9rem, 5vw, 2.75rem); letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { font-size: 1.4rem; letter-spacing: -.01em; margin-bottom: .75rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
h4 { font-size: .875rem; margin: 1.25rem 0 .5rem; overflow-wrap: anywhere; }
h4.listen { font-size: 1rem; margin-top: 2rem; }
p { margin: 0 0 .75rem; max-width: 46rem; }
section { margin-top: 3.5rem; }
figure { margin: 0; min-width: 0; }
code, pre { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre {
  margin: 0; padding: .75rem 1rem; background: var(--card); border: 1px solid var(--rule);
  border-radius: .5rem; white-space: pre-wrap; overflow-wrap: anywhere;
}
.kicker { color: var(--soft); font-size: .875rem; margin-bottom: .35rem; }
.lead { font-size: 1.0625rem; }
h1 + .lead { margin: .6rem 0 0; color: var(--soft); }
.note { color: var(--soft); font-size: .8125rem; }
.chip {
  display: inline-block; margin: .85rem .5rem 0 0; padding: .1rem .7rem; border-radius: 1rem;
  border: 1px solid currentColor; font-size: .8125rem; font-weight: 600;
}
.chip.done { color: var(--done); }
.chip.open { color: var(--open); }
aside {
  margin-top: 1.5rem; padding: .75rem 1rem; border-left: 3px solid var(--open);
  background: var(--card); border-radius: 0 .5rem .5rem 0; font-size: .9375rem;
}
aside p { margin: .15rem 0; }

.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: 1px;
  margin: 1.75rem 0 0; background: var(--rule); border: 1px solid var(--rule);
  border-radius: .75rem; overflow: hidden;
}
.tiles > div { background: var(--card); padding: 1rem 1.25rem 1.1rem; }
.tiles dt { color: var(--soft); font-size: .8125rem; }
.tiles dd {
  margin: .1rem 0 0; font-size: 1.6rem; line-height: 1.25; font-weight: 600;
  letter-spacing: -.015em; font-variant-numeric: tabular-nums;
}
.tiles small {
  display: block; min-height: 1.4em; font-size: .8125rem; font-weight: 400; letter-spacing: 0;
  color: var(--soft);
}

.charts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr));
  gap: 1.25rem; margin: 0 0 1rem;
}
.chart {
  padding: .9rem 1rem .5rem; max-width: 36rem;
  background: var(--card); border: 1px solid var(--rule); border-radius: .75rem;
}
.chart figcaption {
  display: flex; flex-wrap: wrap; justify-content: space-between; gap: .1rem 1rem;
  font-size: .875rem; font-weight: 600; margin-bottom: .4rem;
}
.legend { display: flex; gap: 1rem; font-weight: 400; color: var(--soft); font-size: .8125rem; }
.key {
  display: inline-block; width: 1rem; height: .2rem; border-radius: .1rem; margin-right: .4rem;
  vertical-align: middle; background: currentColor;
}
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 11.5px; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .name { fill: currentColor; }
svg .name.c0 { font-weight: 650; }
.grid { stroke: var(--rule); stroke-width: 1; }
.axis, .tick { stroke: var(--c7); stroke-width: 1; }
.line {
  fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linejoin: round;
  stroke-linecap: round;
}
.line.c0.dots { stroke-width: 2.5; }
.line.faint { stroke-width: 1; opacity: .3; }
.line.dashed { stroke-dasharray: 5 4; }
circle { fill: currentColor; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); }
.c3 { color: var(--c3); } .c4 { color: var(--c4); } .c5 { color: var(--c5); }
.c6 { color: var(--c6); } .c7 { color: var(--c7); }

.wide { overflow-x: auto; margin: 0 0 1rem; }
.tall { max-height: 40rem; overflow-y: auto; }
table {
  border-collapse: collapse; width: 100%; font-size: .9375rem;
  font-variant-numeric: tabular-nums;
}
th, td { padding: .3rem .75rem; text-align: left; white-space: nowrap; }
th { font-weight: 400; }
thead th { font-weight: 600; font-size: .8125rem; border-bottom: 1px solid var(--c7); }
.number { text-align: right; }
.level th {
  padding-top: 1.1rem; font-weight: 600; font-size: .8125rem;
  border-bottom: 1px solid var(--rule);
}
.scores tbody tr:not(.level):hover { background: var(--card); }
.scores tr.ours, .scores tr.ours:hover { background: var(--tint); }
.ours th { font-weight: 600; color: var(--c0); box-shadow: inset 3px 0 var(--c0); }
.sortable { font-size: .8125rem; }
.sortable td, .sortable th { border-bottom: 1px solid var(--rule); }
.sortable thead th { position: sticky; top: 0; background: var(--paper); vertical-align: bottom; }
.sortable thead button {
  all: unset; cursor: pointer; font: inherit; white-space: normal; display: inline-block;
}
.sortable button:hover { text-decoration: underline; }
[aria-sort="ascending"] button::after { content: " \\2191"; }
[aria-sort="descending"] button::after { content: " \\2193"; }

.sheet {
  overflow-x: auto; background: #fff; border: 1px solid var(--rule); border-radius: .5rem;
  margin-bottom: 1rem; width: fit-content; max-width: 100%;
}
.sheet img { display: block; max-width: 100%; height: auto; cursor: zoom-in; }
.pane figcaption { font-size: .875rem; font-weight: 600; margin-bottom: .4rem; }
.pane + .pane { margin-top: 2.5rem; }
.ready .pane { margin-top: 0; }
.ready .pane.away { display: none; }
.ready .pane > h3 {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}
.tabs { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0 0 1.25rem; }
.tabs button {
  font: inherit; font-size: .875rem; color: var(--ink); background: var(--card);
  border: 1px solid var(--rule); border-radius: 1.5rem; padding: .3rem .95rem; cursor: pointer;
}
.tabs button:hover { border-color: var(--c0); }
.tabs [aria-selected="true"] {
  background: var(--c0); border-color: var(--c0); color: var(--paper);
}
:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
.players {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr));
  gap: .75rem 1rem;
}
.player figcaption {
  display: flex; justify-content: space-between; font-size: .8125rem; margin: 0 .25rem .2rem;
}
.player figcaption span { color: var(--soft); font-weight: 400; }
.player.ours figcaption { color: var(--c0); }
audio { width: 100%; height: 2.25rem; display: block; }

.cards {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  gap: .5rem 3rem;
}
dl { margin: 0; }
.facts {
  display: grid; grid-template-columns: 8.5rem 1fr; font-size: .9375rem; align-content: start;
}
.facts dt, .facts dd { padding: .25rem 0; border-top: 1px solid var(--rule); margin: 0; }
.facts dd { overflow-wrap: anywhere; min-width: 0; }
.facts dt, .pairs dt { color: var(--soft); }
details { margin-top: 1rem; border-top: 1px solid var(--rule); padding-top: .75rem; }
#singles { margin-top: 3rem; }
summary { cursor: pointer; font-weight: 600; font-size: .9375rem; }
summary:hover { color: var(--c0); }
details > :not(summary) { margin-top: .75rem; }
.pairs {
  display: grid; grid-template-columns: minmax(7rem, 14rem) 1fr; gap: .25rem 1.5rem;
  font-size: .875rem;
}
.pairs dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
footer {
  margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--rule); color: var(--soft);
  font-size: .8125rem;
}

@media (max-width: 40rem) {
  main { padding: 1.75rem 1rem 1.5rem; }
  section { margin-top: 2.75rem; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .tiles > div { padding: .8rem .9rem; }
  .tiles dd { font-size: 1.3rem; }
  .chart { padding: .7rem .6rem .3rem; }
  .pairs { grid-template-columns: 1fr; gap: 0; }
  .pairs dd { margin-bottom: .6rem; }
  .facts { grid-template-columns: 7rem 1fr; }
  .scores thead th:first-child, .scores tbody tr:not(.level) th {
    position: sticky; left: 0; background: var(--paper);
  }
  .scores tbody tr.ours th { background: var(--tint); }
  .large text { font-size: 13.5px; }
  .sheet img { max-width: 52rem; }
}
.sheet.near img { max-width: none; cursor: zoom-out; }
@media print {
  :root {
    --paper: #fff; --card: #fff; --ink: #000; --soft: #555; --rule: #ccc; --tint: #eef3f8;
    --c0: #1f5f99; --c1: #c2571a; --c2: #2f7d4f; --c3: #8d3f86; --c4: #a8861a; --c5: #2a8c95;
    --c6: #b0355a; --c7: #777; --done: #2f7d4f; --open: #a8621a;
  }
  body { font-size: 10pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  .tabs, audio, .listen, .piece, .player { display: none; }
  .ready .pane.away { display: block; }
  .ready .pane > h3 { position: static; width: auto; height: auto; clip-path: none; }
  .sheet img, .sheet.near img { max-width: 100%; }
  .wide, .sheet { overflow: visible; }
  .chart, .sheet, .tiles, .level { break-inside: avoid; }
  h2, h3, .level { break-after: avoid; }
}
"""
