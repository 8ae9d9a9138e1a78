"use strict";
// Sorts by the column of a pressed header and hides rows that do not match the filter. Without it
// the tables are complete, in the order of the run.
for (const box of document.querySelectorAll(".table")) {
  const body = box.querySelector("tbody");
  const headers = Array.from(box.querySelectorAll("thead th"));
  const rows = Array.from(body.rows);
  const words = rows.map((row) => row.textContent.toLowerCase());
  const status = box.querySelector("[role=status]");

  const key = (row, column) => {
    const cell = row.cells[column];
    const number = cell.dataset.s;
    return number === undefined ? cell.textContent.trim() : Number(number);
  };
  // Numbers before texts; empty cells last in both directions.
  const compare = (a, b, sign) => {
    const empty = (a === "" ? 1 : 0) - (b === "" ? 1 : 0);
    if (empty !== 0) return empty;
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return sign * a.localeCompare(b, "en", { numeric: true });
  };
  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const descending = header.getAttribute("aria-sort") === "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const keys = new Map(rows.map((row) => [row, key(row, column)]));
      const sorted = rows.slice().sort(
        (a, b) => compare(keys.get(a), keys.get(b), descending ? -1 : 1));
      body.append(...sorted);
    });
  });

  box.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase().split(/\s+/).filter((word) => word);
    let shown = 0;
    rows.forEach((row, index) => {
      const keep = wanted.every((word) => word.startsWith("!") && word.length > 1
        ? !words[index].includes(word.slice(1)) : words[index].includes(word));
      row.hidden = !keep;
      shown += keep ? 1 : 0;
    });
    status.textContent = shown === rows.length
      ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
  });
}
