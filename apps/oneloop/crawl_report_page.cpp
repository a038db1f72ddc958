// The style and the script of the HTML report. Their hashes are in its Content-Security-Policy:
// whoever changes a letter here puts the new ones there (tests/crawl_report_browser_test.py tells
// them).
#include "crawl_report_internal.hpp"

namespace tool {

const char* const page_style = R"css(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #16191d; --soft: #5b6470; --line: #e1e5ea;
  --link: #0b5cc4; --bad: #b3261e; --bad-soft: #fcebea; --warn: #8a5300; --warn-soft: #fdf2dd;
  --good: #17693a; --good-soft: #e4f4ea; --hover: #f0f3f7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111418; --card: #1a1e24; --ink: #e8eaed; --soft: #9aa4b1; --line: #2d343d;
    --link: #82b4ff; --bad: #ff8a80; --bad-soft: #3a1d1c; --warn: #f3be62; --warn-soft: #362a14;
    --good: #79d69c; --good-soft: #163222; --hover: #21262e;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: anywhere;
}
main, header, footer { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 0; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 4px; }
.starts { color: var(--soft); margin: 0; padding: 0; list-style: none; }
.verdict {
  display: inline-block; margin: 1rem 0 0; padding: .35rem .9rem; border-radius: 99px;
  font-weight: 600; background: var(--good-soft); color: var(--good);
}
.verdict.bad { background: var(--bad-soft); color: var(--bad); }
.verdict.warn { background: var(--warn-soft); color: var(--warn); }
.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(6.9rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0 0; padding: 0; list-style: none;
}
.tiles > li {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: .7rem .9rem;
}
.tiles b { display: block; font-size: 1.4rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .85rem; }
.tiles .bad b { color: var(--bad); }
.tiles .warn b { color: var(--warn); }
section { margin: 1.75rem 0 0; }
.head { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem .75rem; margin: 0 0 .6rem; }
.head .count { color: var(--soft); font-variant-numeric: tabular-nums; }
.tools { display: flex; flex-wrap: wrap; gap: .5rem; margin-left: auto; }
.tools[hidden] { display: none; }
input, select, button { font: inherit; color: inherit; }
input[type=search], select, .more button {
  min-height: 2.4rem; padding: .3rem .7rem; background: var(--card); min-width: 0; max-width: 100%;
  border: 1px solid var(--line); border-radius: 8px;
}
input[type=search] { width: 17rem; }
select { max-width: 14rem; text-overflow: ellipsis; }
.more { margin: .6rem 0 0; }
.more button { cursor: pointer; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; }
.empty { padding: 1rem; margin: 0; color: var(--soft); }
table { width: 100%; border-collapse: collapse; table-layout: fixed; }
th, td { text-align: left; vertical-align: top; padding: .6rem .9rem; }
th { color: var(--soft); font-weight: 600; font-size: .85rem; }
thead { border-bottom: 1px solid var(--line); }
tbody tr + tr { border-top: 1px solid var(--line); }
tbody tr:hover { background: var(--hover); }
th button { all: unset; cursor: pointer; }
th button:hover { color: var(--ink); }
th button:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
th button::after { content: "\2195"; opacity: .45; padding-left: .35em; }
th[aria-sort=ascending] button::after { content: "\2191"; opacity: 1; }
th[aria-sort=descending] button::after { content: "\2193"; opacity: 1; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
.w1 { width: 6rem; } .w2 { width: 13rem; } .w3 { width: 37%; } .w4 { width: 32%; }
td > *, .src > * { unicode-bidi: isolate; }
td ul { margin: 0; padding: 0; list-style: none; }
td li + li { margin-top: .3rem; }
.badge {
  display: inline-block; padding: 0 .5rem; border-radius: 6px; font-weight: 600; font-size: .85rem;
  background: var(--bad-soft); color: var(--bad); font-variant-numeric: tabular-nums;
}
.badge.warn { background: var(--warn-soft); color: var(--warn); }
.badge.soft { background: var(--hover); color: var(--soft); }
.why { display: block; color: var(--soft); font-size: .9rem; }
.at, .text { color: var(--soft); }
.text { display: block; font-size: .9rem; }
.starts li { max-height: 6em; overflow: hidden; }
code { font: .85em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: var(--soft); }
summary { cursor: pointer; color: var(--link); margin-top: .3rem; }
details ul { margin-top: .3rem; }
footer { color: var(--soft); padding-top: 2rem; padding-bottom: 2rem; font-size: .9rem; }
@media (max-width: 46rem) {
  main, header, footer { padding-left: .9rem; padding-right: .9rem; }
  header { padding-top: 1.25rem; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(5.4rem, 1fr)); gap: .5rem; }
  .tiles > li { padding: .55rem .7rem; }
  .tiles b { font-size: 1.2rem; }
  .tools { width: 100%; margin-left: 0; }
  input[type=search] { width: 100%; }
  select { flex: 1 1 8rem; }
  table, thead, tbody, tr, th, td { display: block; width: auto; }
  thead { padding: .5rem .9rem; }
  thead tr { display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
  thead th { padding: 0; }
  th button { padding: .3rem 0; }
  tbody tr { padding: .7rem .9rem; }
  .w1, .w2, .w3, .w4 { width: auto; }
  td { padding: .1rem 0; }
  .n { text-align: left; }
  td.n { display: inline-block; margin-right: 1rem; }
  td[data-label]::before { content: attr(data-label) " "; color: var(--soft); font-size: .85rem; }
  td.block[data-label]::before { display: block; margin-top: .25rem; }
}
/* What the script will take out is not laid out first. */
@media (scripting: enabled) { tbody:not(.ready) tr:nth-child(n + 501) { display: none; } }
@media print {
  .tools, .more, th button::after { display: none !important; }
  body { background: none; }
}
)css";

const char* const page_script = R"js(
"use strict";
(() => {
  const page_size = 500;
  const roles = {TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TD: "cell"};
  const order = new Intl.Collator(undefined, {numeric: true, sensitivity: "base"});

  // A table that is laid out as blocks, on a phone, is still one for screen readers.
  const name = (e) => e.setAttribute("role", roles[e.tagName]);

  const set_up = (section) => {
    const table = section.querySelector("table");
    if (!table) return;
    const body = table.tBodies[0];
    const all = [...body.rows].map((row) => ({row, text: null, key: null}));
    let shown = page_size;
    for (const e of [table, table.tHead, table.tHead.rows[0], body]) name(e);

    const search = section.querySelector("input[type=search]");
    const selects = [...section.querySelectorAll("select")];
    const count = section.querySelector(".count");
    const more = document.createElement("p");
    const button = document.createElement("button");
    more.className = "more";
    more.hidden = true;
    button.type = "button";
    more.append(button);
    section.append(more);

    for (const select of selects) {
      const counts = new Map();
      for (const {row} of all) {
        const value = row.dataset[select.name];
        if (value) counts.set(value, (counts.get(value) || 0) + 1);
      }
      const values = [...counts].sort((a, b) => b[1] - a[1] || order.compare(a[0], b[0]));
      for (const [value, n] of values.slice(0, 1000)) {
        select.add(new Option(`${value} (${n.toLocaleString("en")})`, value));
      }
      select.hidden = values.length < 2;
    }

    const update = () => {
      const words = search ? search.value.toLowerCase().split(/\s+/).filter(Boolean) : [];
      let matching = 0;
      const rows = [];
      for (const item of all) {
        let fits = selects.every((s) => !s.value || item.row.dataset[s.name] === s.value);
        if (fits && words.length) {
          if (item.text === null) item.text = item.row.textContent.toLowerCase();
          fits = words.every((w) => item.text.includes(w));
        }
        if (!fits || ++matching > shown) continue;
        rows.push(item.row);
        [item.row, ...item.row.cells].forEach(name);
      }
      // Rows that are not shown are not in the page: it stays quick with ten thousand of them.
      body.replaceChildren(...rows);
      const number = (n) => n.toLocaleString("en");
      if (count) {
        count.textContent = matching === all.length ? number(all.length)
                                                    : `${number(matching)} of ${number(all.length)}`;
      }
      more.hidden = matching <= shown;
      button.textContent = `Show ${number(Math.min(page_size, matching - shown))} more`;
    };

    button.addEventListener("click", () => { shown += page_size; update(); });
    const restart = () => { shown = page_size; update(); };
    if (search) search.addEventListener("input", restart);
    for (const select of selects) select.addEventListener("change", restart);

    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const sort = document.createElement("button");
      sort.type = "button";
      sort.append(...head.childNodes);
      head.append(sort);
      head.setAttribute("role", "columnheader");
      head.setAttribute("aria-sort", "none");
      const numeric = head.classList.contains("n");
      const key = (row) => {
        const cell = row.cells[column];
        const value = cell.dataset.value ?? cell.textContent.trim();
        return numeric ? Number(value) : value;
      };
      sort.addEventListener("click", () => {
        // Numbers: the largest first.
        const now = head.getAttribute("aria-sort");
        const down = now === "none" ? numeric : now === "ascending";
        for (const h of heads) h.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        for (const item of all) item.key = key(item.row);
        const compare = numeric ? (a, b) => a.key - b.key : (a, b) => order.compare(a.key, b.key);
        all.sort((a, b) => down ? compare(b, a) : compare(a, b));
        restart();
      });
    });

    const tools = section.querySelector(".tools");
    if (tools) tools.hidden = false;
    update();
    body.classList.add("ready");
  };

  for (const section of document.querySelectorAll("section")) set_up(section);
})();
)js";

}  // namespace tool
