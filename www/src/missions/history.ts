// What was simulated: sums, a list to search, and all of it as a file.

import { h, segments } from "../dom";
import { ChoiceField, TimeField } from "../fields";
import type { components } from "../schema";
import { formatBytes } from "../units";
import { type App, heading, type Kind, reasonOf, type Simulation, type Status, tookText, type View } from "./app";
import { KINDS } from "./dialogs";
import { actionsOf, firstColumns, type Page, STATUSES } from "./simulations";
import { type Column, pager, table } from "./table";

type Stats = components["schemas"]["HistoryStats"];
type Totals = components["schemas"]["Totals"];
type Of = "user" | "organization";

const PER_PAGE = 20;

export const historyView: View = async (root, app, signal) => {
  let of: Of = "user";
  let page = 1;
  let stats: Stats | null = null;
  const status = new ChoiceField("status", "Status", [["", "Any"], ...Object.entries(STATUSES)]);
  const type = new ChoiceField("type", "Type", [["", "Any"], ...Object.entries(KINDS)]);
  const since = new TimeField("since", "From, UTC", null, true);
  const until = new TimeField("until", "Until, UTC", null, true);
  const totals = h("section", { class: "card totals", "aria-label": "Sums" });
  const problem = h("p", { class: "bad", role: "alert" });
  const place = h("div", { class: "scroll-x" });
  const below = h("div", {});
  const exports = h("div", { class: "row" });

  const filters = (): URLSearchParams => {
    const query = new URLSearchParams();
    if (status.text) query.set("status", status.text);
    if (type.text) query.set("type", type.text);
    for (const [name, field] of [
      ["since", since],
      ["until", until],
    ] as const) {
      if (field.time !== null) query.set(name, new Date(field.time * 1000).toISOString());
    }
    return query;
  };
  const showTotals = () => {
    if (!stats) return;
    const sums = of === "user" ? stats.own : stats.organization;
    totals.replaceChildren(...(sums ? totalsOf(sums) : [h("p", { class: "empty" }, noOrganization(app))]));
  };
  const look = async () => {
    problem.textContent = "";
    const query = filters();
    exports.replaceChildren(
      ...(["csv", "json"] as const).map((format) => {
        const file = new URLSearchParams([...query, ["of", of], ["format", format]]);
        return h(
          "a",
          { class: "button", href: `/api/v1/history/export?${file}`, download: `habsim-history.${format}` },
          `Export ${format.toUpperCase()}`,
        );
      }),
    );
    query.set("page", String(page));
    query.set("per_page", String(PER_PAGE));
    try {
      const found = await app.session.ask<Page>("GET", `history/${of}?${query}`, undefined, signal);
      place.replaceChildren(
        found.simulations.length
          ? table("History", columnsOf(app, reload), found.simulations)
          : h("p", { class: "empty" }, of === "organization" ? "Nothing is shared here." : "Nothing is here."),
      );
      below.replaceChildren(
        pager(page, PER_PAGE, found.total, (to) => {
          page = to;
          void look();
        }),
      );
    } catch (error) {
      if (!signal.aborted) problem.textContent = reasonOf(error);
    }
  };
  const reload = async () => {
    await look();
    try {
      stats = await app.session.ask<Stats>("GET", "history/stats", undefined, signal);
      showTotals();
    } catch (error) {
      if (!signal.aborted) problem.textContent = reasonOf(error);
    }
  };
  for (const field of [status, type, since, until]) {
    field.input.addEventListener("change", () => {
      page = 1;
      void look();
    });
  }
  const whose = segments(
    "of",
    "Whose history",
    { user: "Mine", organization: app.session.user?.organization?.name ?? "Organisation" },
    of as Of,
    (chosen) => {
      of = chosen;
      page = 1;
      showTotals();
      void look();
    },
  );
  root.append(
    heading("History", exports),
    whose,
    totals,
    h("div", { class: "filters" }, status.root, type.root, since.root, until.root),
    problem,
    place,
    below,
  );
  await reload();
};

function noOrganization(app: App): string {
  return app.session.user?.organization
    ? "The organisation is not active."
    : "You are in no organisation; an administrator can add you to one.";
}

function totalsOf(sums: Totals): HTMLElement[] {
  const figures: [string, string][] = [
    ["Simulations", sums.simulations.toLocaleString("en")],
    ["Storage", formatBytes(sums.result_bytes)],
    ["Computing time", tookText(sums.computation_seconds)],
    ...Object.entries(sums.by_type).map(([type, count]): [string, string] => [
      `${KINDS[type as Kind]}s`.replace("chs", "ches"),
      count.toLocaleString("en"),
    ]),
  ];
  return [
    h(
      "div",
      { class: "figures" },
      ...figures.map(([label, value]) =>
        h("div", { class: "figure" }, h("span", { class: "note" }, label), h("strong", {}, value)),
      ),
    ),
    h(
      "p",
      { class: "row tight" },
      ...Object.entries(sums.by_status).map(([status, count]) =>
        h(
          "span",
          { class: "badge", "data-status": status },
          `${STATUSES[status as Status]} ${count.toLocaleString("en")}`,
        ),
      ),
    ),
  ];
}

function columnsOf(app: App, onChange: () => void): Column<Simulation>[] {
  return [
    ...firstColumns(app),
    { title: "Computing time", kind: "number", cell: (one) => tookText(one.computation_seconds) },
    { title: "Size", kind: "number", cell: ({ result_bytes }) => (result_bytes ? formatBytes(result_bytes) : "–") },
    { title: "Actions", kind: "actions", cell: (one) => actionsOf(app, one, onChange) },
  ];
}
