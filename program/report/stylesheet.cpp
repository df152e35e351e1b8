#include "report/stylesheet.hpp"

namespace osc::program {

std::string_view report_stylesheet() {
  return R"css(
:root {
  color-scheme: light dark;
  --paper: #fdfdfb; --raised: #f5f4f0; --ink: #1d1e20; --muted: #67686b; --rule: #e2e0da; --faint: #eeece7;
  --a: #24598f; --b: #b0501e; --c: #2f7350; --same: #1f7a4d; --other: #b03a2a;
  --text: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Georgia, serif;
  --data: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #17181a; --raised: #1f2123; --ink: #e7e5e0; --muted: #9c9c98; --rule: #35373a; --faint: #26282a;
    --a: #85b4e4; --b: #e39a6a; --c: #83c6a2; --same: #7fcfa4; --other: #ef9483;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.6 var(--text); }
main { max-width: 69rem; margin: 0 auto; padding: 4.5rem 1.5rem 6rem; }
h1, h2, h3 { font-weight: 600; line-height: 1.2; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: 2.25rem; letter-spacing: -.012em; margin: 0 0 1.25rem; }
h2 { font-size: 1.4375rem; letter-spacing: -.005em; margin: 0 0 .5rem; }
h3 { font: 600 .9375rem/1.4 var(--data); margin: 2rem 0 .75rem; }
p, li { max-width: 42rem; text-wrap: pretty; }
p { margin: 0 0 1rem; }
ul { margin: 0; padding: 0; list-style: none; }
li { margin: 0 0 .75rem; }
section { margin-top: 5rem; }
section > p:first-of-type { color: var(--muted); margin-bottom: 1.75rem; }
code { font: .875em/1 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
a { color: inherit; text-decoration-color: var(--rule); text-underline-offset: .2em; }
a:hover { text-decoration-color: currentColor; }
figure { margin: 0; }
figcaption, .note { font: .8125rem/1.45 var(--data); color: var(--muted); overflow-wrap: anywhere; }

.lead { font-size: 1.1875rem; line-height: 1.55; max-width: 44rem; }
.scores { display: grid; grid-template-columns: repeat(6, auto); justify-content: space-between; gap: 1.5rem 2rem; margin: 2.75rem 0 0; padding: 1.5rem 0 0;
  border-top: 1px solid var(--rule); font-family: var(--data); }
.scores div { display: flex; flex-direction: column; min-width: 0; }
.scores dt { order: 2; font-size: .8125rem; line-height: 1.35; color: var(--muted); }
.scores dd { margin: 0 0 .25rem; font-size: 1.875rem; line-height: 1.15; font-weight: 500; font-variant-numeric: tabular-nums; letter-spacing: -.01em; }
.facts { font: .875rem/1.6 var(--data); color: var(--muted); margin: 2rem 0 0; max-width: none; }
.facts span { white-space: normal; margin-right: 1.5rem; }
.facts b { color: var(--ink); font-weight: 500; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
nav { font: .8125rem/1.9 var(--data); margin-top: 1.25rem; }
nav a { margin-right: 1rem; white-space: nowrap; }

.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 2rem 2.25rem; }
.panel figcaption { display: flex; flex-wrap: wrap; gap: 0 .6rem; align-items: baseline; margin-bottom: .25rem; }
.panel .name { color: var(--ink); font-weight: 600; }
.panel .value { margin-left: auto; color: var(--ink); font-variant-numeric: tabular-nums; }
h3 .note { font-weight: 400; margin-left: .4rem; }
.chart { display: block; width: 100%; height: auto; font: 10.5px var(--data); }
.chart .grid { stroke: var(--faint); stroke-width: 1; fill: none; }
.chart .ticks { fill: var(--muted); font-variant-numeric: tabular-nums; }
.chart .line { fill: none; stroke-width: 1.75; stroke-linejoin: round; stroke-linecap: round; }
.chart .dots, .chart .marks { fill: none; stroke-linecap: round; }
.chart .dots { stroke-width: 1.8; opacity: .3; }
.chart .marks { stroke-width: 4.5; }
.chart .label { font-weight: 600; stroke: none; }
.curve-0 { stroke: var(--a); } .curve-1 { stroke: var(--b); } .curve-2 { stroke: var(--c); }
.line.curve-1 { stroke-dasharray: 6 3; } .line.curve-2 { stroke-dasharray: 1.5 3.5; }
.label.curve-0 { fill: var(--a); } .label.curve-1 { fill: var(--b); } .label.curve-2 { fill: var(--c); }

img { display: block; width: 100%; height: auto; background: var(--faint); }
.sharp { image-rendering: pixelated; }
.tile span { display: block; font: .6875rem/1.4 var(--data); color: var(--muted); margin-top: .2rem; font-variant-numeric: tabular-nums;
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.swatch { display: inline-block; width: .5rem; height: .5rem; margin-right: .3rem; border-radius: 1px; box-shadow: 0 0 0 1px var(--rule);
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.wall { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 29rem), 1fr)); gap: 1.5rem 3rem; }
.strip { display: grid; grid-template-columns: repeat(var(--tiles), minmax(0, 1fr)); gap: .5rem .375rem; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 2.5rem 3rem; }
.views figcaption { margin-top: .5rem; }
.pair { display: block; width: 100%; height: auto; font: 500 11px var(--data); font-variant-numeric: tabular-nums; }
.pair path { fill: none; stroke-linecap: round; }
.pair .casing { stroke: var(--paper); stroke-width: 5.5; }
.pair .edge { stroke: var(--ink); stroke-width: 3.5; }
.pair .join { stroke-width: 2.2; }
.pair circle { stroke: #fff; stroke-width: 1.4; }
.cosines circle { stroke: none; }
.pair rect { fill: var(--paper); stroke: var(--ink); stroke-width: .8; }
.pair text { fill: var(--ink); }
.retrievals { display: grid; gap: 1.5rem; }
.retrieval { --across: 8; --gap: .625rem; --divide: 3.5rem; display: grid; column-gap: var(--divide);
  grid-template-columns: calc((100% - var(--divide) - (var(--across) - 1) * var(--gap)) / (var(--across) + 1)) minmax(0, 1fr); }
.nearest { position: relative; display: grid; grid-template-columns: repeat(var(--across), minmax(0, 1fr)); gap: .75rem var(--gap); }
.nearest::before { content: ""; position: absolute; left: calc(var(--divide) / -2); top: 0; bottom: 0; border-left: 1px solid var(--rule); }
.mark { width: .7rem; height: .7rem; margin-right: .25rem; vertical-align: -.06rem; fill: none; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
.mark.same { stroke: var(--same); }
.mark.other { stroke: var(--other); }

.table { margin: 0 0 3rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font: .875rem/1.4 var(--data); font-variant-numeric: tabular-nums; }
.table figcaption { font-size: .875rem; padding: 0 0 .75rem .6rem; }
th { text-align: left; font-weight: 500; vertical-align: bottom; padding: .3rem .9rem .3rem 0; }
thead th { color: var(--muted); font-size: .8125rem; }
thead .group { border-bottom: 1px solid var(--rule); padding-left: 1.1rem; color: var(--ink); white-space: nowrap; }
thead tr:last-child th { text-align: right; padding: .3rem .6rem; max-width: 6.5rem; }
thead tr:last-child .first { padding-left: 1.1rem; }
tbody th { vertical-align: top; min-width: 13rem; max-width: 19rem; }
tbody th small { display: block; font-size: .75rem; line-height: 1.4; font-weight: 400; color: var(--muted); }
tbody td { text-align: right; vertical-align: top; padding: .3rem .6rem; white-space: nowrap; }
tbody .first { padding-left: 1.1rem; }
tbody tr > * { border-top: 1px solid var(--rule); padding-top: .55rem; padding-bottom: .55rem; }
tbody .model > * { background: var(--raised); }
tbody th { padding-left: .6rem; }
thead tr:first-child th:first-child { padding-left: .6rem; }
td strong { font-weight: 700; }

pre { font: .8125rem/1.55 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; background: var(--raised); padding: 1.25rem 1.5rem; margin: 0;
  overflow-x: auto; tab-size: 2; }

@media (max-width: 60rem) {
  .scores { grid-template-columns: repeat(3, auto); justify-content: start; gap: 1.5rem 3rem; }
}
@media (max-width: 40rem) {
  main { padding: 2.5rem 1.125rem 4rem; }
  h1 { font-size: 1.75rem; }
  .lead { font-size: 1.0625rem; }
  section { margin-top: 3.5rem; }
  .scores { gap: 1.25rem 1.5rem; grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .scores dd { font-size: 1.4375rem; }
  .retrieval { --across: 4; --divide: 1.75rem; }
  tbody th { min-width: 9.5rem; }
}
@media print {
  p, li { break-inside: avoid; }
  @page { margin: 16mm 14mm; }
  body { font-size: 10pt; background: none; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  section { margin-top: 2.5rem; }
  h2, h3, section > p, .panel figcaption, .table figcaption { break-after: avoid; }
  .wall, .pairs { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 5mm 8mm; }
  .panels { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 5mm; }
  figure:not(.table), .strip, tr, .retrieval { break-inside: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  tbody th { min-width: 0; max-width: 48mm; }
  tbody th small { font-size: 7pt; }
  tbody td, thead tr:last-child th { padding-left: .3rem; padding-right: .3rem; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
}
)css";
}

}  // namespace osc::program
