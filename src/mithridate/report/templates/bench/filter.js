"use strict";
// Hides rows and figures that do not match; everything is there and readable without it.
const bar = document.getElementById("filters");
const selects = [...bar.querySelectorAll("select")];
const items = [...document.querySelectorAll(".item")];
const count = bar.querySelector("output");

function matches(item) {
  return selects.every((select) => {
    if (select.selectedIndex === 0) return true;
    const own = item.dataset[select.name];
    return own === undefined || own === select.value;
  });
}

function apply() {
  for (const item of items) item.hidden = !matches(item);
  for (const body of document.querySelectorAll("tbody.group")) {
    body.hidden = ![...body.querySelectorAll(".item")].some((item) => !item.hidden);
  }
  for (const section of document.querySelectorAll(".filtered")) {
    const own = [...section.querySelectorAll(".item")];
    section.querySelector(".nothing").hidden = own.some((item) => !item.hidden);
    // what a filter asks for shall not stay folded away
    const chosen = selects.some((select) => select.selectedIndex > 0);
    for (const fold of section.querySelectorAll("details")) if (chosen) fold.open = true;
  }
  const rows = items.filter((item) => item.matches("tr:not(.soft-row)"));
  count.value = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
}

bar.hidden = false;
bar.addEventListener("change", apply);
bar.querySelector("button").addEventListener("click", () => {
  for (const select of selects) select.selectedIndex = 0;
  apply();
});
apply();
