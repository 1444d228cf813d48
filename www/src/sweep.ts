// The result of many launch times: landings joined in their order, and a table of them.

import L from "leaflet";
import type { Provenance } from "./api";
import { cssColour, rampColour } from "./colours";
import { h } from "./dom";
import type { Takeaway } from "./export";
import type { Flight } from "./flight";
import { FlightLayer, latLng } from "./flightlayer";
import { bearing, distance } from "./geo";
import type { Plan } from "./plan";
import { planText } from "./plantext";
import {
  isShown,
  layerBoxes,
  origin,
  type PlanStage,
  type Result,
  takeAway,
  takeawayOf,
  trackOf,
  warnings,
} from "./results";
import { flightSummary } from "./single";
import { summarize } from "./summary";
import { formatBearing, formatDistance, formatLocal, formatUtc, formatUtcShort } from "./units";

/** One launch of the sweep: its flight, or why there is none. */
export interface Launch {
  time: number;
  flight: Flight | null;
  problem: string | null;
}

export class SweepResult implements Result {
  readonly #group = L.layerGroup();
  readonly #flown: (Launch & { flight: Flight })[];
  #chosen: number | null = null;
  #layer: FlightLayer | null = null;

  constructor(
    readonly stage: PlanStage,
    readonly launches: Launch[],
    readonly provenance: Provenance,
    readonly plan: Plan,
  ) {
    this.#flown = launches.filter((launch): launch is Launch & { flight: Flight } => launch.flight !== null);
  }

  get says(): string {
    return `${this.#flown.length} of ${this.launches.length} launches are flown`;
  }

  render(): void {
    this.remove();
    this.#draw();
    this.#writePanel();
    this.#showChosen();
  }

  remove(): void {
    this.#group.clearLayers().remove();
    this.#layer?.remove();
    this.#layer = null;
  }

  bounds(): L.LatLngBounds | null {
    const bounds = L.latLngBounds([[this.plan.lat, this.plan.lon]]);
    for (const { flight } of this.#flown) bounds.extend(latLng(summarize(flight).end));
    if (this.#layer) bounds.extend(this.#layer.bounds);
    return bounds;
  }

  takeaway(): Takeaway {
    return {
      ...takeawayOf("HABSIM launch times", this.plan, this.provenance, this.provenance.warnings ?? []),
      tracks: this.#flown.map(({ flight, time }) => trackOf(flight, `Launch ${formatUtc(time)}`)),
      spots: this.#flown.map(({ flight, time }) => {
        const { end } = summarize(flight);
        const properties = {
          launch: new Date(time * 1000).toISOString(),
          distance_m: Math.round(distance(this.#from(), end)),
        };
        return {
          name: `Landing of ${formatUtc(time)}`,
          lat: end.lat,
          lon: end.lon,
          time: end.time,
          alt: end.alt,
          properties,
        };
      }),
    };
  }

  /** What distances are measured from. */
  #from(): { lat: number; lon: number } {
    return this.stage.state.plan.target ?? { lat: this.plan.lat, lon: this.plan.lon };
  }

  #colour(index: number): string {
    return rampColour(index / Math.max(1, this.#flown.length - 1), this.stage.dark);
  }

  #draw(): void {
    const { renderer, map } = this.stage.view;
    const ends = this.#flown.map(({ flight }) => latLng(summarize(flight).end));
    this.#group.addLayer(L.polyline(ends, { renderer, color: cssColour("--quiet"), weight: 1.5, interactive: false }));
    this.#flown.forEach(({ time }, i) => {
      const style = {
        renderer,
        radius: 7,
        weight: 2,
        color: cssColour("--paper"),
        fillColor: this.#colour(i),
        fillOpacity: 1,
      };
      const dot = L.circleMarker(ends[i]!, style).bindTooltip(`Launch ${formatUtcShort(time)} UTC`, {
        direction: "top",
      });
      dot.on("click", (event) => {
        // Near a landing a tool is used all the same.
        if (this.stage.view.tool) return;
        L.DomEvent.stopPropagation(event);
        this.#choose(i);
      });
      this.#group.addLayer(dot);
    });
    this.#group.addTo(map);
  }

  #choose(index: number): void {
    this.#chosen = this.#chosen === index ? null : index;
    this.#writePanel();
    this.#showChosen();
    // Charts that have just come take some of the map's room.
    if (this.#chosen !== null) this.stage.view.showAll();
    this.stage.panel.querySelectorAll<HTMLElement>("tbody button")[this.#rowOf(index)]?.focus();
  }

  /** The row of the table that a launch is in. */
  #rowOf(index: number): number {
    return this.#sorted().findIndex((row) => row.index === index);
  }

  #sorted() {
    const from = this.#from();
    return this.#flown
      .map(({ flight, time }, index) => {
        const { end } = summarize(flight);
        return { index, time, end, far: distance(from, end), towards: bearing(from, end) };
      })
      .sort((a, b) => a.far - b.far);
  }

  #showChosen(): void {
    this.#layer?.remove();
    this.#layer = null;
    const { stage } = this;
    const launch = this.#chosen === null ? null : this.#flown[this.#chosen]!;
    if (launch) {
      const layer = new FlightLayer(stage.view, launch.flight, stage.units, (time) => stage.chartCursor(time));
      layer.showWaypoints(isShown(stage.state.plan, "waypoints"));
      this.#layer = layer;
      stage.chart(launch.flight, (time) => layer.setCursor(time));
    } else stage.chart(null, () => {});
  }

  #writePanel(): void {
    const { stage } = this;
    const { cycle, product, demo } = this.provenance;
    const notes = [...(this.provenance.warnings ?? [])];
    const lost = this.launches.filter((launch) => launch.problem);
    if (lost.length) notes.push(`${lost.length} launches could not be flown: ${lost[0]!.problem}`);
    const chosen = this.#chosen === null ? null : this.#flown[this.#chosen]!;
    stage.panel.replaceChildren(
      h("h2", {}, `${this.#flown.length} launch times`),
      warnings(notes, demo) ?? "",
      this.#targetNote(),
      this.#table(),
      ...(chosen
        ? [
            h("h2", {}, `Launch ${formatUtc(chosen.time)}`),
            h(
              "button",
              { type: "button", onclick: () => stage.state.change({ time: chosen.time }) },
              "Use this launch time",
            ),
            ...flightSummary(chosen.flight, stage.units, null),
            layerBoxes(stage, ["waypoints"], () => this.#layer?.showWaypoints(isShown(stage.state.plan, "waypoints"))),
          ]
        : []),
      takeAway(() => this.takeaway(), ["everything", "flights", "landings"]),
      h("p", { class: "note" }, `${planText(this.plan, stage.units)}.`),
      h("p", { class: "note" }, `${origin(cycle, product, demo)}, member ${this.plan.model}.`),
    );
  }

  #useLaunch(): void {
    this.stage.state.change({ target: null });
    this.stage.panel.querySelector<HTMLElement>(".target button")?.focus();
  }

  #targetNote(): HTMLElement {
    const { view, state } = this.stage;
    const choose = h("button", { type: "button", onclick: () => view.choose("target") }, "Choose a point");
    if (!state.plan.target) return h("p", { class: "target" }, "Distances are from the launch. ", choose);
    const clear = h("button", { type: "button", onclick: () => this.#useLaunch() }, "Use the launch");
    return h("p", { class: "target" }, "Distances are from your point. ", choose, " ", clear);
  }

  #table(): HTMLElement {
    const body = this.#sorted().map(({ index, time, end, far, towards }) => {
      const chosen = this.#chosen === index;
      return h(
        "tr",
        { class: chosen ? "chosen" : "" },
        h(
          "th",
          { scope: "row" },
          h("i", { class: "swatch", style: `background:${this.#colour(index)}` }),
          h(
            "button",
            {
              type: "button",
              title: "Show this flight",
              "aria-pressed": String(chosen),
              onclick: () => this.#choose(index),
            },
            formatUtcShort(time),
          ),
          h("span", { class: "local" }, formatLocal(time).slice(11)),
        ),
        h("td", {}, landingTime(time, end.time)),
        h("td", {}, formatDistance(far, this.stage.units)),
        h("td", {}, formatBearing(towards).slice(0, 4)),
      );
    });
    const heads = ["Launch, UTC", "Lands", "Distance", "Towards"].map((name) => h("th", {}, name));
    return h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Launch times, nearest landing first" },
      h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...body)),
    );
  }
}

/** The time of day of a landing, with the days since the launch's. */
function landingTime(launch: number, landing: number): string {
  const days = Math.floor(landing / 86400) - Math.floor(launch / 86400);
  return `${formatUtcShort(landing).slice(-5)}${days ? ` +${days} d` : ""}`;
}
