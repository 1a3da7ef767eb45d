"use strict";

// Figures: text and grid lines take the page's colours, again when the theme changes and on paper.
function pageColours() {
  const style = getComputedStyle(document.documentElement);
  return { ink: style.getPropertyValue("--ink").trim(), line: style.getPropertyValue("--line").trim(), paper: style.getPropertyValue("--paper").trim() };
}

function themed(layout) {
  const { ink, line, paper } = pageColours();
  const update = { "font.color": ink, "hoverlabel.bgcolor": paper, "hoverlabel.font.color": ink, "hoverlabel.bordercolor": line };
  for (const axis of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
    update[axis + ".gridcolor"] = line;
    update[axis + ".linecolor"] = line;
    update[axis + ".zerolinecolor"] = line;
  }
  return update;
}

// Where the screen is narrow, a figure takes its other arrangement: panels one above the other.
const NARROW_PX = 560;

function fitted(plot) {
  const { wide, narrow } = plot.layout.meta;
  return { ...(plot.clientWidth < NARROW_PX ? narrow : wide), ...themed(plot.layout) };
}

// On paper a figure has the width of a page and less than the height of one that lies on its side: a printer
// takes the page as it stands on the screen.
const PAPER_PX = { width: 680, height: 620 };

function drawFigures() {
  const plots = [...document.querySelectorAll("[data-figure]")];
  const refit = () => plots.forEach((plot) => Plotly.relayout(plot, fitted(plot)));
  for (const plot of plots) {
    const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    Plotly.newPlot(plot, figure.data, figure.layout, { responsive: true, displaylogo: false, displayModeBar: true, modeBarButtons: [["toImage", "resetScale2d"]] })
      .then(() => Plotly.relayout(plot, fitted(plot)));
  }
  addEventListener("resize", refit);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refit);
  addEventListener("beforeprint", () => {
    for (const plot of plots) {
      plot.style.width = PAPER_PX.width + "px";
      const wanted = fitted(plot);
      Plotly.relayout(plot, { ...wanted, width: PAPER_PX.width, height: Math.min(wanted.height, PAPER_PX.height) });
    }
  });
  addEventListener("afterprint", () => {
    for (const plot of plots) {
      plot.style.width = "";
      Plotly.relayout(plot, { ...fitted(plot), autosize: true, width: null });
    }
  });
}

// The table of runs: a button in each heading sorts, two fields filter. What is unknown sorts last either way.
function sortBy(table, header) {
  const index = [...header.parentElement.children].indexOf(header);
  const direction = header.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  const sign = direction === "ascending" ? 1 : -1;
  const numeric = header.dataset.numeric === "true";
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => ({ row, key: row.cells[index].dataset.sort }));
  keyed.sort((a, b) => {
    if (a.key === "" || b.key === "") return (a.key === "" ? 1 : 0) - (b.key === "" ? 1 : 0);
    return sign * (numeric ? Number(a.key) - Number(b.key) : a.key.localeCompare(b.key, "en", { numeric: true }));
  });
  for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
  body.append(...keyed.map((item) => item.row));
}

function filterRows(table) {
  const text = document.getElementById("filter-text").value.trim().toLowerCase();
  const outcome = document.getElementById("filter-outcome").value;
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) {
    const matches = row.textContent.toLowerCase().includes(text) && (outcome === "" || row.dataset.outcome === outcome);
    row.hidden = !matches;
  }
  const shown = rows.filter((row) => !row.hidden).length;
  document.getElementById("filter-count").textContent = shown + " of " + rows.length + (rows.length === 1 ? " run" : " runs");
}

function enableTable() {
  const table = document.getElementById("runs");
  if (table === null) return;
  for (const header of table.tHead.rows[0].cells) {
    header.querySelector("button").addEventListener("click", () => sortBy(table, header));
  }
  for (const id of ["filter-text", "filter-outcome"]) {
    for (const event of ["input", "change"]) document.getElementById(id).addEventListener(event, () => filterRows(table));
  }
  filterRows(table);
}

enableTable();
drawFigures();
