// The result of a flight or an ensemble as it was kept: on a map, in words, and as files.

import L from "leaflet";
import { type FlightAnswer, flightOf, type Provenance, type Spaceshot } from "../api";
import { FlightCharts } from "../charts";
import { h } from "../dom";
import { EnsembleResult } from "../ensemble";
import { latLng } from "../flightlayer";
import { pin } from "../pin";
import type { Result, Stage } from "../results";
import { SingleResult } from "../single";
import { PlanState } from "../state";
import { onTheme, theme } from "../theme";
import type { App, Simulation } from "./app";
import { launchOf } from "./configs";
import { PlaceMap } from "./placemap";

interface FlightKept {
  path: FlightAnswer;
  warnings: string[];
  provenance: Provenance;
}

/** Shows what a simulation that is done has found. Raises what `Session.ask` raises. */
export async function showKept(root: HTMLElement, app: App, one: Simulation, signal: AbortSignal): Promise<void> {
  const kept = await app.session.ask<FlightKept | Spaceshot>("GET", `simulations/${one.id}/results`, undefined, signal);
  if (signal.aborted) return;
  const plan = launchOf(one);
  const view = new PlaceMap("Map of the result", plan, 8, signal);
  view.choosing = null;
  const panel = h("section", { class: "card kept", "aria-label": "Result" });
  const dock = h("section", { class: "card", "aria-label": "Charts of the flight", hidden: true });
  let cursor: (time: number | null) => void = () => {};
  const charts = new FlightCharts(dock, (time) => cursor(time));
  const stage: Stage = {
    view,
    state: new PlanState(plan),
    panel,
    units: app.units,
    dark: theme() === "dark",
    tellsPlan: false,
    chart(flight, onCursor) {
      cursor = onCursor;
      dock.hidden = flight === null;
      if (flight) charts.show(flight, app.units);
    },
    chartCursor: (time) => charts.setCursor(time),
  };
  root.replaceChildren(
    h("div", { class: "split kept-split" }, panel, h("div", { class: "stack map-column" }, view.root, dock)),
  );
  const result: Result =
    "path" in kept
      ? new SingleResult(
          stage,
          flightOf(kept.path, plan.model, plan.lon),
          { ...kept.provenance, warnings: kept.warnings },
          plan,
        )
      : new EnsembleResult(stage, kept, plan);
  const launch = { icon: pin("launch-pin"), interactive: false, keyboard: false, zIndexOffset: 1000 };
  L.marker(latLng(plan), launch).addTo(view.map);
  view.onFit = () => {
    const bounds = result.bounds();
    if (bounds) view.showBounds(bounds);
  };
  result.render();
  view.onFit();
  onTheme((now) => {
    stage.dark = now === "dark";
    result.render();
  }, signal);
}
