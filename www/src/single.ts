// The result of one flight.

import type L from "leaflet";
import type { Provenance } from "./api";
import { definitions, h } from "./dom";
import type { Takeaway } from "./export";
import type { Flight } from "./flight";
import { FlightLayer } from "./flightlayer";
import type { Plan } from "./plan";
import { planText } from "./plantext";
import {
  farText,
  isShown,
  layerBoxes,
  origin,
  placeLinks,
  type Result,
  type Stage,
  spotsOf,
  takeAway,
  takeawayOf,
  timeText,
  trackOf,
  warnings,
} from "./results";
import { marksOf, summarize } from "./summary";
import { formatAltitude, formatDuration, formatSpeed, formatUtcShort, type Units } from "./units";

export class SingleResult implements Result {
  #layer: FlightLayer | null = null;

  constructor(
    readonly stage: Stage,
    readonly flight: Flight,
    readonly provenance: Provenance,
    readonly plan: Plan,
  ) {}

  get says(): string {
    const { lands, end, duration } = summarize(this.flight);
    const where = `${end.lat.toFixed(4)}, ${end.lon.toFixed(4)}`;
    return `${lands ? "Landing" : "End of the flight"} at ${where} after ${formatDuration(duration)}`;
  }

  render(): void {
    this.remove();
    const { stage } = this;
    const layer = new FlightLayer(stage.view, this.flight, stage.units, (time) => stage.chartCursor(time));
    this.#layer = layer;
    const showWaypoints = () => layer.showWaypoints(isShown(stage.state.plan, "waypoints"));
    showWaypoints();
    stage.chart(this.flight, (time) => layer.setCursor(time));
    const { cycle, product, demo } = this.provenance;
    stage.panel.replaceChildren(
      ...flightSummary(this.flight, stage.units, warnings(this.provenance.warnings ?? [], demo)),
      layerBoxes(stage, ["waypoints"], showWaypoints),
      takeAway(() => this.takeaway(), ["flights"]),
      stage.tellsPlan ? h("p", { class: "note" }, `${planText(this.plan, stage.units)}.`) : "",
      h("p", { class: "note" }, `${origin(cycle, product, demo)}, member ${this.flight.member}.`),
    );
  }

  remove(): void {
    this.#layer?.remove();
    this.#layer = null;
  }

  bounds(): L.LatLngBounds | null {
    return this.#layer?.bounds ?? null;
  }

  takeaway(): Takeaway {
    const { warnings: notes = [] } = this.provenance;
    const title = `HABSIM flight, member ${this.flight.member}`;
    return {
      ...takeawayOf(title, this.plan, this.provenance, notes),
      tracks: [trackOf(this.flight, title)],
      spots: spotsOf(this.flight),
    };
  }
}

/** What a flight is, in the panel: where it ends, when, how far; its moments. */
export function flightSummary(flight: Flight, units: Units, notes: HTMLElement | null): (HTMLElement | string)[] {
  const summary = summarize(flight);
  const { end, lands, duration, highest, strongestWind } = summary;
  return [
    h("h2", {}, lands ? "Landing" : "End of the flight"),
    placeLinks(end),
    notes ?? "",
    definitions([
      [lands ? "Lands" : "Ends", timeText(end.time)],
      ["Duration", formatDuration(duration)],
      ["Distance", farText(summary, units)],
      [lands ? "Ground there" : "Altitude there", formatAltitude(end.alt, units)],
      ["Highest", formatAltitude(highest.alt, units)],
      ["Strongest wind", formatSpeed(strongestWind, units)],
    ]),
    h(
      "table",
      { class: "moments" },
      h("caption", {}, "Moments"),
      h(
        "thead",
        {},
        h("tr", {}, h("th", {}, "What"), h("th", {}, "UTC"), h("th", {}, "After"), h("th", {}, "Altitude")),
      ),
      h(
        "tbody",
        {},
        ...marksOf(flight).map(({ name, point }) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, name),
            h("td", {}, formatUtcShort(point.time).slice(-5)),
            h("td", {}, formatDuration(point.time - summary.launch.time)),
            h("td", {}, formatAltitude(point.alt, units)),
          ),
        ),
      ),
    ),
  ];
}
