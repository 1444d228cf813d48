// One simulation: how far it is, what it was asked, and its result.

import { definitions, h } from "../dom";
import { balloonText, planText } from "../plantext";
import { formatBytes, formatDuration, formatUtc } from "../units";
import { heading, moment, type Simulation, type View } from "./app";
import { lostOnMap, mapLink, planOf } from "./configs";
import { cancel, edit, KINDS, nameOf, remove } from "./dialogs";

import { BUSY_MS, IDLE_MS, poll } from "./poll";
import { draftFrom } from "./searches";
import { isUnderWay, simulationsView, statusOf } from "./simulations";

export const simulationView: View = (root, app, signal, id) => {
  if (!id) return simulationsView(root, app, signal, "");
  const trouble = h("p", { class: "bad", role: "status" });
  const top = h("div", {});
  const status = h("div", { class: "big-status", role: "status" });
  const facts = h("section", { class: "card" });
  const result = h("div", { class: "found" });
  root.append(trouble, top, status, result, facts);
  let shown = "";
  let hasResult = false;
  const look = async () => {
    const one = await app.session.ask<Simulation>("GET", `simulations/${encodeURIComponent(id)}`, undefined, signal);
    status.replaceChildren(statusOf(one));
    const now = JSON.stringify({ ...one, progress: 0 });
    if (now !== shown) {
      shown = now;
      top.replaceChildren(headOf(one));
      facts.replaceChildren(...factsOf(one));
    }
    if (one.type === "reverse" && one.status === "completed" && !hasResult) {
      hasResult = true;
      const { showFound } = await import("./found");
      if (!signal.aborted) await showFound(result, app, one, signal);
    }
    return isUnderWay(one) ? BUSY_MS : IDLE_MS;
  };
  const headOf = (one: Simulation) => {
    const isOwn = one.user.id === app.session.user?.id || app.session.user?.is_admin === true;
    const again = () => void watch.now();
    const link = mapLink(one);
    return h(
      "div",
      {},
      h("p", {}, h("a", { href: "#/simulations" }, "Simulations")),
      heading(
        nameOf(one),
        ...(link ? [h("a", { class: "button primary", href: link }, "Open on the map")] : []),
        ...(isOwn && isUnderWay(one)
          ? [h("button", { type: "button", onclick: () => cancel(app, one, again) }, "Cancel")]
          : []),
        ...(isOwn
          ? [
              h("button", { type: "button", onclick: () => edit(app, one, again) }, "Name and share"),
              h("button", { type: "button", onclick: () => remove(app, one, () => app.go("/simulations")) }, "Delete"),
            ]
          : []),
      ),
      one.description && h("p", { class: "description" }, one.description),
    );
  };
  const factsOf = (one: Simulation): HTMLElement[] => {
    const plan = planOf(one);
    const lost = lostOnMap(one);
    const balloons = (one.type === "reverse" && draftFrom(one.config)?.balloons) || [];
    const cycle = one.provenance?.cycle;
    return [
      h("h3", {}, "What it is"),
      definitions([
        ["Type", KINDS[one.type]],
        ["Launch", plan ? formatUtc(plan.time) : null],
        ["Plan", plan && planText(plan, app.units)],
        ["Balloons", balloons.map((balloon) => `${balloon.name}: ${balloonText(balloon, app.units)}`).join("; ")],
        ["By", one.user.username],
        ["Shared", one.shared ? "with the organisation" : "no"],
        ["Submitted", moment(one.created)],
        ["Started", moment(one.started)],
        ["Ended", moment(one.completed)],
        ["Computed for", one.completed ? formatDuration(one.computation_seconds) : null],
        ["Result", one.result_bytes ? formatBytes(one.result_bytes) : null],
        ["Cycle", typeof cycle === "string" ? cycle : null],
        ["Tries", one.attempts > 1 ? String(one.attempts) : null],
      ]),
      ...(lost.length && plan
        ? [h("p", { class: "note" }, `On the map it is flown without ${lost.join(" and ")}, which links cannot hold.`)]
        : []),
      h(
        "details",
        {},
        h("summary", {}, "Config as JSON"),
        h("pre", { tabindex: 0, "aria-label": "Config" }, JSON.stringify(one.config, null, 2)),
      ),
    ];
  };
  const watch = poll(
    look,
    (reason) => {
      trouble.textContent = reason;
    },
    signal,
  );
};
