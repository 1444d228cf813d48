// One simulation: how far it is, what it was asked, and its result.

import { ask, send } from "../api";
import { definitions, h } from "../dom";
import { DEFAULT_PLAN, type Plan } from "../plan";
import { planText } from "../plantext";
import { fillingText, type Specs, sizingBody } from "../sizing";
import { formatBytes, formatUtc } from "../units";
import {
  type App,
  between,
  demoTag,
  heading,
  isOnDemo,
  moment,
  oneOf,
  reasonOf,
  type Simulation,
  tookText,
  type View,
} from "./app";
import { lostOnMap, mapLink, planOf } from "./configs";
import { cancel, edit, KINDS, nameOf, remove } from "./dialogs";
import { BUSY_MS, IDLE_MS, poll } from "./poll";
import { draftFrom, type SearchBody } from "./searches";
import { searchLine, searchRows } from "./searchtext";
import { isUnderWay, simulationsView, statusOf } from "./simulations";

export const simulationView: View = (root, app, signal, id) => {
  if (!id) return simulationsView(root, app, signal, "");
  const trouble = h("p", { class: "bad", role: "status" });
  const top = h("div", {});
  const status = h("div", { class: "big-status", role: "status" });
  const facts = h("section", { class: "card" });
  const result = h("div", { class: "found" });
  const searched = h("div", {});
  let leaveMap: AbortController | null = null;
  root.append(trouble, top, result, h("div", { class: "facts" }, facts, searched));
  let shown = "";
  let hasResult = false;
  const look = async () => {
    const one = await oneOf(app, id, signal);
    status.replaceChildren(statusOf(one));
    const now = JSON.stringify({ ...one, progress: 0 });
    if (now !== shown) {
      shown = now;
      top.replaceChildren(headOf(one));
      facts.replaceChildren(...factsOf(one));
    }
    await showArea(one);
    if (one.status === "completed" && !hasResult) {
      hasResult = true;
      await showResult(result, app, one, signal);
    }
    return isUnderWay(one) ? BUSY_MS : IDLE_MS;
  };
  /** Where a search looks, until it has found something. */
  const showArea = async (one: Simulation) => {
    const isWanted = one.type === "reverse" && one.status !== "completed";
    if (isWanted === (leaveMap !== null)) return;
    leaveMap?.abort();
    leaveMap = null;
    searched.replaceChildren();
    if (!isWanted) return;
    leaveMap = new AbortController();
    const ends = AbortSignal.any([signal, leaveMap.signal]);
    const { showSearched } = await import("./searchmap");
    if (!ends.aborted) showSearched(searched, one.config, ends);
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
        [nameOf(one), status, demoTag(isOnDemo(one))],
        ...(link && !isUnderWay(one) ? [h("a", { class: "button", href: link }, "Fly again on the map")] : []),
        againLink(one),
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
      one.type === "reverse" && h("p", { class: "quiet" }, searchLine(searchOf(one), app.units)),
      one.description && h("p", { class: "description" }, one.description),
    );
  };
  const factsOf = (one: Simulation): HTMLElement[] => {
    const plan = planOf(one);
    const lost = lostOnMap(one);
    const cycle = one.provenance?.cycle;
    return [
      h("h3", {}, "What it is"),
      definitions([
        ["Type", KINDS[one.type]],
        ["Launch", plan ? formatUtc(plan.time) : null],
        ["Plan", plan && planText(plan, app.units)],
        ["Filling", plan?.profile === "physical" && fillingOf(plan, app, signal)],
        ["Perturbed", one.type === "ensemble" ? perturbedText(one) : null],
        ...(one.type === "reverse" ? searchRows(searchOf(one), app.units) : []),
        ["By", one.user.username],
        ["Shared", one.shared ? "with the organisation" : "no"],
        ["Submitted", moment(one.created)],
        ["Started", one.started && moment(one.started)],
        ["Ended", one.completed && moment(one.completed)],
        ["Waited", between(one.created, one.started)],
        ["Took", between(one.started, one.completed)],
        ["Computing time", one.computation_seconds ? `${tookText(one.computation_seconds)} of processors` : null],
        ["Result", one.result_bytes ? formatBytes(one.result_bytes) : null],
        ["Cycle", typeof cycle === "string" ? `${cycle}${isOnDemo(one) ? ", demo winds" : ""}` : null],
        ["Tries", one.attempts > 1 ? String(one.attempts) : null],
      ]),
      ...(lost.length && plan
        ? [
            h(
              "p",
              { class: "note" },
              `Flown again on the map it is without ${lost.join(" and ")}, which links cannot hold.`,
            ),
          ]
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

/** The gas of a balloon, once the service has sized it on the ground that it starts from. */
function fillingOf(plan: Plan, app: App, signal: AbortSignal): HTMLElement {
  const said = h("span", {}, "Asking how much gas it takes");
  const size = async () => {
    const place = { lat: String(plan.lat), lon: String(plan.lon) };
    const { elevation } = (await ask<{ elevation: number }>("/sim/elev", place, signal)).body;
    const body = sizingBody(plan, Math.max(plan.alt ?? 0, elevation));
    const specs = await send<Specs>("POST", "/api/v1/balloon-specs", body, {}, signal);
    said.textContent = fillingText(specs, plan, app.units);
  };
  size().catch((error: unknown) => {
    if (!signal.aborted) said.textContent = reasonOf(error);
  });
  return said;
}

/** How often each member of an ensemble is flown with everything varied a little, and by which numbers. */
function perturbedText({ config }: Simulation): string {
  const { num_perturbations, seed } = config as { num_perturbations?: number; seed?: number };
  const by = seed == null ? "seed from the request" : `seed ${seed}`;
  return `each member ${num_perturbations ?? DEFAULT_PLAN.perturbations} times, ${by}`;
}

/** Leads to the form, filled with what was asked here; null for what the form cannot hold. */
function againLink(one: Simulation): HTMLElement | null {
  const [form, isHeld] =
    one.type === "reverse" ? ["reverse", draftFrom(one.config) !== null] : ["new", planOf(one) !== null];
  return isHeld ? h("a", { class: "button", href: `#/${form}/${one.id}` }, "Use as a new plan") : null;
}

/** What it has found; it comes with its maps when there is something to show. */
async function showResult(root: HTMLElement, app: App, one: Simulation, signal: AbortSignal): Promise<void> {
  try {
    if (one.type === "reverse") await (await import("./found")).showFound(root, app, one, signal);
    else await (await import("./kept")).showKept(root, app, one, signal);
  } catch (error) {
    if (!signal.aborted) root.replaceChildren(h("p", { class: "bad", role: "alert" }, reasonOf(error)));
  }
}

function searchOf({ config }: Simulation): SearchBody {
  return config as unknown as SearchBody;
}
