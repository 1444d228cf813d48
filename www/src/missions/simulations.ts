// My simulations: what waits, runs and is done.

import { announce, h, iconButton } from "../dom";
import { ChoiceField } from "../fields";
import { type App, between, demoTag, heading, isOnDemo, moment, type Simulation, type Status, type View } from "./app";
import { cancel, edit, KINDS, nameOf, remove } from "./dialogs";
import { BUSY_MS, IDLE_MS, poll } from "./poll";
import { type Column, pager, table, tableRow } from "./table";

export interface Page {
  simulations: Simulation[];
  page: number;
  per_page: number;
  total: number;
}

const PER_PAGE = 20;

export const STATUSES: Record<Status, string> = {
  pending: "Waiting",
  processing: "Running",
  completed: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

export const isUnderWay = ({ status }: Pick<Simulation, "status">) => status === "pending" || status === "processing";

export const simulationsView: View = (root, app, signal) => {
  const status = new ChoiceField("status", "Status", [["", "Any"], ...Object.entries(STATUSES)]);
  const type = new ChoiceField("type", "Type", [["", "Any"], ...Object.entries(KINDS)]);
  const whose = new ChoiceField("whose", "Whose", [
    ["", app.session.user?.is_admin ? "Everybody's" : "Mine and shared"],
    ["me", "Mine"],
  ]);
  const trouble = h("p", { class: "bad", role: "status" });
  const place = h("div", { class: "scroll-x" });
  const below = h("div", {});
  let page = 1;
  const list = new List(app, place, () => watch.now());
  const look = async () => {
    const query = new URLSearchParams({ page: String(page), per_page: String(PER_PAGE) });
    if (status.text) query.set("status", status.text);
    if (type.text) query.set("type", type.text);
    if (whose.text) query.set("user_id", app.session.user!.id);
    const found = await app.session.ask<Page>("GET", `simulations/?${query}`, undefined, signal);
    // The last of a page may be gone.
    if (!found.simulations.length && page > 1) {
      page--;
      return 0;
    }
    list.show(found.simulations);
    below.replaceChildren(
      pager(page, PER_PAGE, found.total, (to) => {
        page = to;
        void watch.now();
      }),
    );
    return found.simulations.some(isUnderWay) ? BUSY_MS : IDLE_MS;
  };
  for (const field of [status, type, whose]) {
    field.input.addEventListener("change", () => {
      page = 1;
      void watch.now();
    });
  }
  root.append(
    heading("Simulations", h("a", { class: "button primary", href: "#/new" }, "New flight")),
    h("div", { class: "filters" }, status.root, type.root, whose.root),
    trouble,
    place,
    below,
  );
  const watch = poll(
    look,
    (reason) => {
      trouble.textContent = reason;
    },
    signal,
  );
};

/** The table, whose rows change in place so that nobody loses the button they are at. */
class List {
  readonly #rows = new Map<string, { element: HTMLTableRowElement; shown: string; status: Status }>();
  readonly #columns: Column<Simulation>[];
  #body: HTMLElement | null = null;

  constructor(
    readonly app: App,
    readonly place: HTMLElement,
    readonly onChange: () => void,
  ) {
    this.#columns = columnsOf(app, onChange);
  }

  show(found: Simulation[]): void {
    if (!found.length) {
      this.#rows.clear();
      this.#body = null;
      this.place.replaceChildren(
        h("p", { class: "empty" }, "No simulations here yet. ", h("a", { href: "#/new" }, "Start the first one"), "."),
      );
      return;
    }
    if (!this.#body) {
      const element = table("Simulations", this.#columns, []);
      this.#body = element.tBodies[0]!;
      this.place.replaceChildren(element);
    }
    const wanted = found.map((one) => this.#rowOf(one));
    const ids = new Set(found.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.#rows.delete(id);
    const held = [...this.#body.children];
    if (held.length !== wanted.length || held.some((row, i) => row !== wanted[i]))
      this.#body.replaceChildren(...wanted);
  }

  #rowOf(one: Simulation): HTMLTableRowElement {
    const before = this.#rows.get(one.id);
    // Progress alone is written into the row; all else makes it anew.
    const shown = JSON.stringify({ ...one, progress: 0, attempts: 0, computation_seconds: 0 });
    if (before?.shown === shown) {
      before.element.querySelector(".status")?.replaceWith(statusOf(one));
      return before.element;
    }
    const element = tableRow(this.#columns, one);
    if (before) {
      const active = document.activeElement;
      const label = before.element.contains(active) ? active?.getAttribute("aria-label") : null;
      before.element.replaceWith(element);
      if (label) {
        const same = [...element.querySelectorAll<HTMLElement>("[aria-label]")].find(
          (candidate) => candidate.getAttribute("aria-label") === label,
        );
        (same ?? element.querySelector<HTMLElement>("a, button"))?.focus();
      }
      if (before.status !== one.status) announce(`${nameOf(one)}: ${STATUSES[one.status]}`);
    }
    this.#rows.set(one.id, { element, shown, status: one.status });
    return element;
  }
}

/** The status, with how far it is while it runs and why it failed. */
export function statusOf(one: Simulation): HTMLElement {
  const chip = h("span", { class: "badge", "data-status": one.status }, STATUSES[one.status]);
  if (one.status !== "processing")
    return h("div", { class: "status" }, chip, one.error && h("span", { class: "note why" }, one.error));
  const percent = Math.floor(one.progress);
  return h(
    "div",
    { class: "status" },
    chip,
    h("progress", { max: 100, value: one.progress, "aria-label": `Progress of ${nameOf(one)}` }),
    h("span", { class: "note" }, `${percent} %`),
  );
}

export function nameCell(one: Simulation, app: App): HTMLElement {
  const marks = [
    one.user.id === app.session.user?.id ? null : h("span", { class: "note" }, `by ${one.user.username}`),
    one.shared && h("span", { class: "tag" }, "shared"),
    demoTag(isOnDemo(one)),
  ];
  return h(
    "div",
    {},
    h("a", { href: `#/simulations/${one.id}`, class: "name" }, nameOf(one)),
    ...marks.flatMap((mark) => (mark ? [" ", mark] : [])),
    one.description && h("span", { class: "note description" }, one.description),
  );
}

/** What every table of simulations begins with. */
export function firstColumns(app: App): Column<Simulation>[] {
  return [
    { title: "Name", kind: "main", cell: (one) => nameCell(one, app) },
    { title: "Type", cell: ({ type }) => KINDS[type] },
    { title: "Status", cell: statusOf },
    { title: "Submitted", cell: ({ created }) => moment(created) },
  ];
}

function columnsOf(app: App, onChange: () => void): Column<Simulation>[] {
  return [
    ...firstColumns(app),
    { title: "Took", kind: "number", cell: ({ started, completed }) => between(started, completed) ?? "–" },
    { title: "Actions", kind: "actions", cell: (one) => actionsOf(app, one, onChange) },
  ];
}

/** Open it; cancel, change and delete what is one's own. */
export function actionsOf(app: App, one: Simulation, onChange: () => void): HTMLElement {
  const name = nameOf(one);
  const isOwn = one.user.id === app.session.user?.id || app.session.user?.is_admin;
  return h(
    "div",
    { class: "row tight" },
    h("a", { class: "button", href: `#/simulations/${one.id}`, "aria-label": `Open ${name}` }, "Open"),
    isOwn && isUnderWay(one)
      ? h(
          "button",
          { type: "button", "aria-label": `Cancel ${name}`, onclick: () => cancel(app, one, onChange) },
          "Cancel",
        )
      : null,
    isOwn ? iconButton("edit", `Change ${name}`, () => edit(app, one, onChange)) : null,
    isOwn ? iconButton("trash", `Delete ${name}`, () => remove(app, one, onChange)) : null,
  );
}
