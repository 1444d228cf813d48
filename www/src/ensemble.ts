// The result of an ensemble: paths and landings of all members, and where it probably lands.

import L from "leaflet";
import { flightOf, type Spaceshot } from "./api";
import { cssColour, rampColour } from "./colours";
import { definitions, h } from "./dom";
import type { Takeaway } from "./export";
import type { Flight } from "./flight";
import { latLng } from "./flightlayer";
import { bearing, distance, ellipseOutline, nearest, shareInside, unrollPolygons } from "./geo";
import { HeatLayer } from "./heat";
import { pin } from "./pin";
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
  trackOf,
  warnings,
} from "./results";
import { allPoints, summarize } from "./summary";
import { formatDistance, formatDuration, formatPercent, formatUtc, formatUtcShort, type Units } from "./units";

// More would hide the heat map below them.
const MANY_LANDINGS = 600;
/** Across the landings, at which the four labels of contours are apart. */
const LABELLED_PX = 160;
const SHOWN = ["paths", "landings", "heat", "contours", "ellipse"] as const;

interface Landing {
  lat: number;
  lon: number;
  weight: number;
  member: number;
  perturbation: number;
}

export class EnsembleResult implements Result {
  readonly flights: Flight[];
  readonly landings: Landing[];
  readonly mean: { lat: number; lon: number };
  readonly #layers = new Map<string, L.Layer>();
  readonly #paths = new Map<number, L.Polyline>();
  /** Whether the table of members is open. */
  #showsMembers = false;
  #contourGroup = L.layerGroup();
  #contourLabels = L.layerGroup();
  readonly #zoneNote = h("p", { class: "zone-share", role: "status" });

  constructor(
    readonly stage: Stage,
    readonly answer: Spaceshot,
    readonly plan: Plan,
  ) {
    this.flights = answer.paths.flatMap((path, i) => (path ? [flightOf(path, answer.members[i]!, plan.lon)] : []));
    const near = this.flights[0] ? allPoints(this.flights[0]).at(-1)!.lon : plan.lon;
    this.landings = answer.heatmap_data.map((row) => ({
      lat: row.lat,
      lon: nearest(row.lon, near),
      weight: row.weight,
      member: row.model_id,
      perturbation: row.perturbation_id,
    }));
    this.mean = { lat: answer.landing.mean.lat, lon: nearest(answer.landing.mean.lon, near) };
  }

  get provenance(): Spaceshot["provenance"] {
    return this.answer.provenance;
  }

  get says(): string {
    const { lat, lon } = this.answer.landing.mean;
    return `${this.landings.length} ${this.#lands ? "landings" : "ends"} of ${this.flights.length} members, on average at ${lat.toFixed(3)}, ${lon.toFixed(3)}`;
  }

  /** Whether these flights come down. */
  get #lands(): boolean {
    return this.flights.some((flight) => summarize(flight).lands);
  }

  render(): void {
    this.remove();
    this.#draw();
    this.#show();
    this.stage.view.map.on("zoomend", this.#labelContours, this);
    this.#labelContours();
    this.stage.chart(null, () => {});
    this.#writePanel();
    this.showZone();
  }

  remove(): void {
    this.stage.view.map.off("zoomend", this.#labelContours, this);
    for (const layer of this.#layers.values()) layer.remove();
    this.#layers.clear();
    this.#paths.clear();
  }

  bounds(): L.LatLngBounds | null {
    const bounds = this.#landingBounds();
    for (const flight of this.flights) for (const point of allPoints(flight)) bounds.extend(latLng(point));
    return bounds;
  }

  /** The probability of the user's zone, once it has one. */
  showZone(): void {
    const { zone } = this.stage.state.plan;
    const note = this.#zoneNote;
    if (zone.length < 3) {
      const begin = () => this.stage.view.choose?.("zone");
      note.replaceChildren(
        h("button", { type: "button", onclick: begin }, "Draw a zone"),
        " to see how probable a landing in it is",
      );
      return;
    }
    const clear = () => {
      this.stage.state.change({ zone: [] });
      note.querySelector("button")?.focus();
    };
    const share = formatPercent(shareInside(this.landings, zone));
    note.replaceChildren(
      h("strong", {}, share),
      " of the landings are in your zone ",
      h("button", { type: "button", onclick: clear }, "Remove it"),
    );
  }

  takeaway(): Takeaway {
    const { answer } = this;
    const title = `HABSIM ensemble of ${this.flights.length} members`;
    // Of the perturbed flights the service says the place only.
    const ends = new Map(
      this.flights.map((flight) => {
        const { time, alt } = summarize(flight).end;
        return [flight.member, { time, alt }];
      }),
    );
    const members = this.flights.map((flight) => trackOf(flight, `Member ${flight.member}`));
    return {
      ...takeawayOf(title, this.plan, answer.provenance, answer.warnings),
      tracks: members,
      spots: [
        ...this.flights.slice(0, 1).flatMap((flight) => spotsOf(flight).slice(0, 1)),
        { name: "Mean landing", lat: answer.landing.mean.lat, lon: answer.landing.mean.lon },
        ...this.landings.map(({ lat, lon, member, perturbation, weight }) => ({
          name: perturbation < 0 ? `Landing of member ${member}` : `Landing ${member}.${perturbation}`,
          lat,
          lon,
          ...(perturbation < 0 && ends.get(member)),
          properties: { member, perturbation, weight },
        })),
      ],
      areas: answer.landing.contours.features.map(({ properties, geometry }) => ({
        name: `${Math.round(100 * properties.probability)} % of landings`,
        probability: properties.probability,
        areaKm2: properties.area_km2,
        polygons: geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates,
      })),
    };
  }

  // The map

  #draw(): void {
    const { stage } = this;
    const { renderer } = stage.view;
    const heat = new HeatLayer();
    heat.setPoints(this.landings);
    heat.setTheme(stage.dark ? "dark" : "light");
    this.#layers.set("heat", heat);
    this.#layers.set("contours", this.#contours());

    const paths = L.layerGroup();
    for (const flight of this.flights) {
      const style = {
        renderer,
        color: this.#colour(flight.member),
        weight: flight.member === 0 ? 3 : 1.75,
        opacity: 0.85,
      };
      const line = L.polyline(allPoints(flight).map(latLng), { ...style, smoothFactor: 1 });
      line.bindTooltip(() => this.#memberText(flight), { sticky: true });
      line.on("mouseover click", () => this.#highlight(flight.member));
      line.on("mouseout", () => this.#highlight(null));
      this.#paths.set(flight.member, line);
      paths.addLayer(line);
    }
    this.#layers.set("paths", paths);

    const dots = L.layerGroup();
    const many = this.landings.length > MANY_LANDINGS;
    for (const landing of this.landings) {
      const own = landing.perturbation < 0;
      const style = own
        ? { radius: 5, weight: 1.5, color: cssColour("--paper"), fillOpacity: 1 }
        : { radius: many ? 1.5 : 2, stroke: false, fillOpacity: many ? 0.4 : 0.55, interactive: false };
      const dot = L.circleMarker(latLng(landing), { renderer, fillColor: this.#colour(landing.member), ...style });
      if (own) {
        const flight = this.flights.find(({ member }) => member === landing.member);
        if (flight) dot.bindTooltip(() => this.#memberText(flight));
        dot.on("mouseover click", () => this.#highlight(landing.member));
        dot.on("mouseout", () => this.#highlight(null));
      }
      dots.addLayer(dot);
    }
    this.#layers.set("landings", dots);
    this.#layers.set("ellipse", this.#ellipses());
  }

  /** The layers that the plan shows. */
  #show(): void {
    for (const [name, layer] of this.#layers) {
      if (isShown(this.stage.state.plan, name as (typeof SHOWN)[number])) layer.addTo(this.stage.view.map);
      else layer.remove();
    }
  }

  #contours(): L.Layer {
    const { renderer } = this.stage.view;
    const group = L.layerGroup();
    this.#contourLabels = L.layerGroup();
    const { features } = this.answer.landing.contours;
    for (const feature of features.toReversed()) {
      const { properties, geometry } = feature;
      const { fills, lines } = unrollPolygons(
        geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates,
        this.mean.lon,
      );
      const colour = cssColour("--contour");
      const common = { renderer, interactive: false, smoothFactor: 0.5 };
      group.addLayer(L.polygon(fills, { ...common, stroke: false, fillColor: colour, fillOpacity: 0.05 }));
      group.addLayer(L.polyline(lines, { ...common, color: colour, weight: 1.75, opacity: 0.95 }));
      const place = extreme(lines.flat(), features.indexOf(feature));
      const text = `${Math.round(100 * properties.probability)} %`;
      const label = L.divIcon({ className: "contour-label", html: text, iconSize: [40, 14], iconAnchor: [20, 7] });
      this.#contourLabels.addLayer(L.marker(place, { icon: label, interactive: false, keyboard: false }));
    }
    this.#contourGroup = group;
    return group;
  }

  /** Labels stand where the contours are large enough for them. */
  #labelContours(): void {
    const { map } = this.stage.view;
    const bounds = this.#landingBounds();
    const size = map
      .latLngToLayerPoint(bounds.getSouthEast())
      .distanceTo(map.latLngToLayerPoint(bounds.getNorthWest()));
    if (size < LABELLED_PX) this.#contourGroup.removeLayer(this.#contourLabels);
    else this.#contourGroup.addLayer(this.#contourLabels);
  }

  #landingBounds(): L.LatLngBounds {
    return L.latLngBounds(this.landings.map(latLng));
  }

  #ellipses(): L.Layer {
    const { renderer } = this.stage.view;
    const group = L.layerGroup();
    for (const { semi_major_m, semi_minor_m, bearing_deg } of Object.values(this.answer.landing.ellipse)) {
      const outline = ellipseOutline(this.mean, semi_major_m, semi_minor_m, bearing_deg, 72).map(latLng);
      const style = {
        renderer,
        color: cssColour("--ink"),
        weight: 1.25,
        dashArray: "5 5",
        fill: false,
        interactive: false,
      };
      group.addLayer(L.polygon(outline, style));
    }
    const marker = L.marker(latLng(this.mean), { icon: pin("mean-pin"), alt: "Mean landing", keyboard: false });
    return group.addLayer(marker.bindTooltip("Mean landing", { direction: "top", offset: [0, -8] }));
  }

  #colour(member: number): string {
    if (member === 0) return cssColour("--ink");
    const { members } = this.answer;
    return rampColour(members.indexOf(member) / Math.max(1, members.length - 1), this.stage.dark);
  }

  #memberText(flight: Flight): string {
    const { end, lands, duration } = summarize(flight);
    const name = flight.member === 0 ? "Member 0, the control" : `Member ${flight.member}`;
    return `${name}<br>${lands ? "lands" : "ends"} ${formatUtcShort(end.time)} UTC<br>after ${formatDuration(duration)}`;
  }

  #highlight(member: number | null): void {
    if (this.stage.view.tool && member !== null) return;
    for (const [number, line] of this.#paths) {
      const chosen = number === member;
      line.setStyle({
        weight: chosen ? 5 : number === 0 ? 3 : 1.75,
        opacity: member === null || chosen ? 0.85 : 0.25,
      });
      if (chosen) line.bringToFront();
    }
  }

  #closer(): void {
    this.stage.view.map.fitBounds(this.#landingBounds().pad(0.1), { maxZoom: 13, animate: false });
  }

  // The panel

  #writePanel(): void {
    const { answer, stage } = this;
    const { cycle, product, demo } = answer.provenance;
    stage.panel.replaceChildren(
      h("h2", {}, this.#lands ? "Mean landing" : "Mean end of the flight"),
      placeLinks({ lat: answer.landing.mean.lat, lon: answer.landing.mean.lon }),
      warnings(answer.warnings, demo) ?? "",
      definitions([...this.#numbers(stage.units)]),
      h("button", { type: "button", class: "closer", onclick: () => this.#closer() }, "Zoom to the landings"),
      stage.view.choose ? this.#zoneNote : "",
      layerBoxes(stage, SHOWN, () => this.#show()),
      this.#regions(),
      this.#memberTable(stage.units),
      takeAway(() => this.takeaway(), ["everything", "flights", "landings", "contours"]),
      stage.tellsPlan
        ? h("p", { class: "note" }, `${planText(this.plan, stage.units)}. Launch ${formatUtc(this.plan.time)}.`)
        : "",
      h("p", { class: "note" }, `${origin(cycle, product, demo)}. Seed ${answer.seed}.`),
    );
  }

  *#numbers(units: Units): Iterable<[string, string]> {
    const { landing, failed_members } = this.answer;
    const launch = { lat: this.plan.lat, lon: this.plan.lon };
    const times = this.flights.map((flight) => summarize(flight).end.time);
    const [first, last] = [Math.min(...times), Math.max(...times)];
    const { "90": wide } = landing.ellipse;
    yield [
      "From the launch",
      farText({ distance: distance(launch, landing.mean), bearing: bearing(launch, landing.mean) }, units),
    ];
    yield [this.#lands ? "Members land" : "Members end", spanText(first, last)];
    yield [
      "90 % ellipse",
      `${formatDistance(2 * wide.semi_major_m, units)} × ${formatDistance(2 * wide.semi_minor_m, units)}`,
    ];
    yield ["Over water", formatPercent(landing.over_water)];
    const each = `${this.flights.length} members × ${this.plan.perturbations + 1}`;
    yield [this.#lands ? "Landings" : "Flights", `${this.landings.length.toLocaleString("en")} (${each})`];
    if (failed_members.length) yield ["Left out", failed_members.map((one) => `member ${one.model_id}`).join(", ")];
  }

  #regions(): HTMLElement {
    const { features } = this.answer.landing.contours;
    const square = this.stage.units === "metric" ? { size: 1, name: "km²" } : { size: 2.589988, name: "sq mi" };
    const rows = features.map(({ properties }) => {
      const area = properties.area_km2 / square.size;
      const text = area.toLocaleString("en", { maximumSignificantDigits: 3 });
      return h(
        "tr",
        {},
        h("th", { scope: "row" }, `${Math.round(100 * properties.probability)} %`),
        h("td", {}, `${text} ${square.name}`),
      );
    });
    const heads = h("tr", {}, h("th", {}, "Probability"), h("th", {}, "Area"));
    return h(
      "table",
      {},
      h("caption", {}, "Contours of the smoothed landings"),
      h("thead", {}, heads),
      h("tbody", {}, ...rows),
    );
  }

  #memberTable(units: Units): HTMLElement {
    const rows = this.flights.map((flight) => {
      const { end, distance: far } = summarize(flight);
      const row = h(
        "tr",
        {},
        h(
          "th",
          { scope: "row" },
          h("i", { class: "swatch", style: `background:${this.#colour(flight.member)}` }),
          String(flight.member),
        ),
        h("td", {}, formatUtcShort(end.time)),
        h("td", {}, formatDistance(far, units)),
        h("td", {}, formatDistance(distance(end, this.mean), units)),
      );
      row.addEventListener("mouseenter", () => this.#highlight(flight.member));
      row.addEventListener("mouseleave", () => this.#highlight(null));
      return row;
    });
    const heads = ["Member", "Lands, UTC", "Distance", "From the mean"].map((name) => h("th", {}, name));
    const ontoggle = (event: Event) => {
      this.#showsMembers = (event.target as HTMLDetailsElement).open;
    };
    return h(
      "details",
      { open: this.#showsMembers, ontoggle },
      h("summary", {}, `The ${this.flights.length} members`),
      h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...rows)),
    );
  }
}

/** The point of an outline that is furthest north, east, south or west: labels of regions in one another stay apart. */
function extreme(outline: [number, number][], side: number): [number, number] {
  const axis = side % 2 ? 1 : 0;
  const sign = side % 4 === 1 || side % 4 === 0 ? 1 : -1;
  return outline.reduce((best, point) => (sign * point[axis]! > sign * best[axis]! ? point : best));
}

function spanText(first: number, last: number): string {
  const [from, to] = [formatUtcShort(first), formatUtcShort(last)];
  if (from === to) return `${from} UTC`;
  const sameDay = from.slice(0, -6) === to.slice(0, -6);
  return `${from} to ${sameDay ? to.slice(-5) : to} UTC`;
}
