// Puts the page together.

import "leaflet/dist/leaflet.css";
import "./style.css";
import { ApiError, UnreachableError } from "./api";
import { FlightCharts } from "./charts";
import { flownAlike } from "./checks";
import { announce, byId, h, icon, toast } from "./dom";
import { EnsembleResult } from "./ensemble";
import { PlanForm } from "./form";
import { MapView } from "./map";
import { DEFAULT_PLAN, type Plan } from "./plan";
import { copyText, type PlanStage, type Result } from "./results";
import { Runner } from "./run";
import { ServiceState } from "./service";
import { decodePlan, encodePlan } from "./share";
import { SingleResult } from "./single";
import { PlanState, remembered } from "./state";
import { store, storedUnits, wasSignedIn } from "./stored";
import { SweepResult } from "./sweep";
import { applyTheme, onTheme, showAs, theme, themeButton } from "./theme";
import type { Units } from "./units";
import { WindPanel } from "./wind";

const HOUR = 3600;
// A flight that follows the launch marker must not be asked for at every pixel.
const FOLLOW_MS = 120;
/** Time for the map to be drawn in other colours. */
const PRINT_AFTER_MS = 400;

applyTheme();
const link = decodePlan(location.hash.slice(1));
const state = new PlanState(firstPlan());
const units = storedUnits();
const view = new MapView(byId("map"), byId("hint"), state);
// Around what a result writes are the note that it is old, and how to share it.
const panel = h("div", { class: "result" });
const staleText = h("span", {});
const again = h("button", { type: "button", onclick: flyAgain }, "Fly again");
const stale = h("p", { class: "stale", id: "stale", hidden: true }, staleText, again);
const extras = h(
  "div",
  { class: "row share", hidden: true },
  h("button", { type: "button", id: "share", onclick: share }, "Copy a link to this plan"),
  // Whose cookie has run out is shown the way to sign in.
  wasSignedIn() && h("button", { type: "button", id: "save", onclick: () => void save() }, "Save as simulation"),
  h("button", { type: "button", id: "print", onclick: print }, "Print"),
);
byId("result").append(stale, panel, extras);
const chartRoot = h("section", { class: "chart-dock", "aria-label": "Charts of the flight", hidden: true });
let chartCursor: (time: number | null) => void = () => {};
const charts = new FlightCharts(chartRoot, (time) => chartCursor(time));
const stage: PlanStage = {
  view,
  state,
  panel,
  units,
  dark: theme() === "dark",
  tellsPlan: true,
  chart(flight, onCursor) {
    chartCursor = onCursor;
    chartRoot.hidden = flight === null;
    if (flight) charts.show(flight, stage.units);
    else charts.clear();
    placeCharts();
  },
  chartCursor: (time) => charts.setCursor(time),
};
const form = new PlanForm(byId("plan"), state, view, units);
const runner = new Runner(byId("action"), stage, form);
const wind = new WindPanel(byId("wind"), view, state, units);
const service = new ServiceState();
let result: Result | null = null;

function firstPlan(): Plan {
  const now = Math.ceil(Date.now() / 1000 / HOUR) * HOUR;
  // What a link leaves out is as usual, not as this browser had it the last time.
  const isLinked = Object.keys(link.plan).length > 0;
  const before = isLinked ? {} : remembered();
  const plan: Plan = { ...DEFAULT_PLAN, ...before, time: now, ...link.plan };
  if (!link.plan.sweepFrom) plan.sweepFrom = plan.time;
  if (!link.plan.sweepTo) plan.sweepTo = plan.sweepFrom + 24 * HOUR;
  return plan;
}

// Tabs

const TABS = ["plan", "result", "wind"] as const;
type Tab = (typeof TABS)[number];

function openTab(name: Tab): void {
  for (const tab of TABS) {
    const button = byId(`tab-${tab}`);
    button.setAttribute("aria-selected", String(tab === name));
    button.tabIndex = tab === name ? 0 : -1;
    byId(tab).hidden = tab !== name;
  }
  document.querySelector(".pages")!.scrollTop = 0;
  view.clickLaunches = name === "plan";
  wind.isShown = name === "wind";
}

for (const [i, tab] of TABS.entries()) {
  byId(`tab-${tab}`).addEventListener("click", () => openTab(tab));
  byId(`tab-${tab}`).addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    const next = TABS[(i + move + TABS.length) % TABS.length]!;
    openTab(next);
    byId(`tab-${next}`).focus();
  });
}

document.querySelector(".skip")!.addEventListener("click", (event) => {
  // The part of the address after # is the plan.
  event.preventDefault();
  byId("panel").focus();
});

// Charts are below the map where there is room, else in the panel

const wide = matchMedia("(min-width: 900px)");

function placeCharts(): void {
  if (wide.matches) document.querySelector(".map-side")!.append(chartRoot);
  else if (result) panel.querySelector("dl")?.after(chartRoot);
}
wide.addEventListener("change", placeCharts);

// Results

function emptyResult(): void {
  panel.replaceChildren(
    h("h2", {}, "No flight yet"),
    h("p", {}, "Plan a launch and fly it: the result is shown here and on the map."),
  );
}

runner.onResult = (found, quiet) => {
  result?.remove();
  result = found;
  const began = performance.getEntriesByName("habsim:answered").at(-1)!.startTime;
  render();
  if (!quiet && isIdle) {
    openTab("result");
    view.showAll();
  } else if (!quiet) toast("The result has come");
  updateLink();
  requestAnimationFrame(() => {
    // After the frame that shows it.
    setTimeout(() => performance.measure("habsim:drawn", { start: began, end: performance.now() }));
  });
};

function render(): void {
  if (!result) return;
  result.render();
  extras.hidden = false;
  // A simulation is one launch.
  const save = document.getElementById("save");
  if (save) save.hidden = result.plan.mode === "sweep";
  showStale();
  placeCharts();
}

function flyAgain(): void {
  // The button goes with the note.
  byId("fly").focus();
  void runner.run();
}

function showStale(): void {
  stale.hidden = !result || flownAlike(result.plan, state.plan);
  const reason = Object.values(form.problems())[0] || runner.refusal;
  staleText.textContent = reason ? `This plan does not fly: ${reason}` : "The plan has changed since. ";
  again.hidden = Boolean(reason);
}

function updateLink(): void {
  const cycle = result && flownAlike(result.plan, state.plan) ? result.provenance.cycle : service.status?.gefs_cycle;
  history.replaceState(null, "", `#${encodePlan(state.plan, cycle ?? null)}`);
}

function share(): void {
  updateLink();
  void copyText(location.href, "The link is copied");
}

/** The plan in hand goes to the queue; what does that comes when it is asked for. */
async function save(): Promise<void> {
  if (!result) return;
  const { saveAsSimulation } = await import("./missions/save");
  try {
    await saveAsSimulation(result.plan);
  } catch (error) {
    if (!(error instanceof ApiError || error instanceof UnreachableError)) throw error;
    toast(error.message);
  }
}

/** On paper everything is light, which the map takes some time for. */
function print(): void {
  showAs("light");
  setTimeout(() => window.print(), PRINT_AFTER_MS);
}
addEventListener("beforeprint", () => showAs("light"));
addEventListener("afterprint", applyTheme);

// What changes what

let follow = 0;
/** A single flight takes milliseconds: it follows the plan, and stops nothing that was asked for. */
function followPlan(): void {
  clearTimeout(follow);
  if (!(result instanceof SingleResult) || state.plan.mode !== "single" || runner.isAskedFor) return;
  if (!flownAlike(result.plan, state.plan)) follow = window.setTimeout(() => void runner.run(true), FOLLOW_MS);
}

const DRAWN_ONLY = new Set<keyof Plan>(["zone", "target", "hidden"]);

/** Launch times that nobody has chosen follow the launch time. */
let sweepFollows = !link.plan.sweepFrom && !link.plan.sweepTo;
let isFollowing = false;

function followTime(changed: ReadonlySet<keyof Plan>): void {
  if (!isFollowing && (changed.has("sweepFrom") || changed.has("sweepTo"))) sweepFollows = false;
  // A sweep that is shown stays what it is while one of its launch times is taken.
  if (!changed.has("time") || !sweepFollows || result instanceof SweepResult) return;
  const { time } = state.plan;
  const last = form.around.covers?.to ?? Number.POSITIVE_INFINITY;
  isFollowing = true;
  state.change({ sweepFrom: time, sweepTo: Math.max(time, Math.min(time + 24 * HOUR, last)) });
  isFollowing = false;
}

state.onChange((changed) => {
  followTime(changed);
  runner.forgive();
  if (changed.has("mode")) runner.label();
  if (result) updateLink();
  if (changed.has("zone") && result instanceof EnsembleResult) result.showZone();
  if (changed.has("target") && result && !(result instanceof EnsembleResult)) render();
  if ([...changed].every((name) => DRAWN_ONLY.has(name))) return;
  showStale();
  followPlan();
});

// Also what is no value yet, and no change of the plan.
byId("plan").addEventListener("input", () => runner.forgive());
byId("plan").addEventListener("submit", (event) => {
  event.preventDefault();
  void runner.run();
});

// Who has gone on to something else meanwhile is not taken away from it.
let isIdle = true;
for (const event of ["pointerdown", "keydown"]) {
  document.addEventListener(event, () => {
    isIdle = false;
  });
}
runner.onStart = () => {
  clearTimeout(follow);
  isIdle = true;
};
runner.onEnd = followPlan;
runner.onRefusal = showStale;
runner.onRefused = () => openTab("plan");

view.everything = () => result?.bounds() ?? null;
view.onWind = (place) => {
  openTab("wind");
  void wind.show(place);
};

const unitSelect = byId<HTMLSelectElement>("units");
unitSelect.value = units;
unitSelect.addEventListener("change", () => {
  stage.units = unitSelect.value as Units;
  store("units", stage.units);
  form.setUnits(stage.units);
  wind.setUnits(stage.units);
  render();
});

byId("missions-icon").replaceWith(icon("list"));
byId("theme-place").replaceWith(themeButton());
onTheme((now) => {
  stage.dark = now === "dark";
  render();
});

const firstTime = state.plan.time;
let isKnown = false;

service.onStatus = (status) => {
  const [from, to] = [Date.parse(status.covers.from) / 1000, Date.parse(status.covers.to) / 1000];
  form.setAround({ covers: { from, to }, members: status.members });
  if (isKnown) return;
  isKnown = true;
  // A plan nobody has touched begins where the winds do.
  if (!link.plan.time && state.plan.time === firstTime && (firstTime < from || firstTime > to)) {
    state.change({ time: Math.ceil(from / HOUR) * HOUR + HOUR });
  }
  flyLink(status.gefs_cycle);
};
service.onReturn = () => {
  form.refresh();
  wind.refresh();
};

emptyResult();
openTab("plan");
for (const problem of link.problems) toast(`The link is wrong in part: ${problem}`);
void service.look();
performance.mark("habsim:usable");

/** A link with a launch time is flown once there are winds. */
function flyLink(cycle: string): void {
  if (!link.plan.time) return;
  if (link.cycle && link.cycle !== cycle) announceCycle(link.cycle, cycle);
  const wasIdle = isIdle;
  void runner.run();
  isIdle = wasIdle;
}

function announceCycle(then: string, now: string): void {
  const text = `The link was made with cycle ${then}; this flight is of ${now}`;
  toast(text);
  announce(text);
}

// A link that is pasted into an open page, or gone back to.
addEventListener("hashchange", () => {
  location.reload();
});
