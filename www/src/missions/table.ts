// Tables, most of them rows on a wide screen and cards on a narrow one.

import { h } from "../dom";

export interface Column<Row> {
  title: string;
  cell: (row: Row) => Node | string;
  /** Class of the cells: `number`, `actions`, `main`. */
  kind?: string;
}

/**
 * A table; `kind` is `rows stacked` for one of cards on a narrow screen, `rows` for one that stays what it is. Styles
 * for narrow screens change what tables are to screen readers; roles say it all the same.
 */
export function table<Row>(
  label: string,
  columns: Column<Row>[],
  rows: Row[],
  kind: "rows stacked" | "rows" = "rows stacked",
): HTMLTableElement {
  const head = h("tr", { role: "row" }, ...columns.map(({ title, kind }) => titleCell(title, kind)));
  const element = h(
    "table",
    { class: kind, role: "table", "aria-label": label },
    h("thead", { role: "rowgroup" }, head),
    h("tbody", { role: "rowgroup" }, ...rows.map((row) => tableRow(columns, row))),
  );
  return element;
}

function titleCell(title: string, kind = ""): HTMLElement {
  return h("th", { role: "columnheader", scope: "col", class: kind }, title);
}

export function tableRow<Row>(columns: Column<Row>[], row: Row): HTMLTableRowElement {
  return h(
    "tr",
    { role: "row" },
    ...columns.map(({ title, cell, kind }) =>
      h("td", { role: "cell", class: kind, "data-label": kind === "actions" ? "" : title }, cell(row)),
    ),
  );
}

/** Buttons from page to page; nothing where there is one page only. */
export function pager(page: number, perPage: number, total: number, onPage: (page: number) => void): HTMLElement {
  const pages = Math.max(1, Math.ceil(total / perPage));
  const step = (to: number, label: string) =>
    h("button", { type: "button", disabled: to < 1 || to > pages, onclick: () => onPage(to) }, label);
  const from = Math.min(total, (page - 1) * perPage + 1);
  const to = Math.min(total, page * perPage);
  return h(
    "nav",
    { class: "row pager", "aria-label": "Pages" },
    h("span", { class: "quiet" }, total ? `${from}–${to} of ${total.toLocaleString("en")}` : ""),
    h("span", { class: "spring" }),
    ...(pages > 1 ? [step(page - 1, "Newer"), step(page + 1, "Older")] : []),
  );
}
