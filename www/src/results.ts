// What all results share: where they draw, the parts of their panels, and how they are taken away.

import type L from "leaflet";

import type { Provenance } from "./api";
import { formatCoordinates } from "./coordinates";
import { announce, h, icon, toast } from "./dom";
import { type Format, type Takeaway, write } from "./export";
import type { Flight } from "./flight";
import type { MapView } from "./map";
import type { Layer, Plan, Position } from "./plan";
import { planText } from "./plantext";
import type { PlanState } from "./state";
import { marksOf, type Summary } from "./summary";
import { formatBearing, formatDistance, formatLocal, formatUtc, type Units } from "./units";

/** What a result draws on, with tools where more than looking can be done. */
export type Drawing = Pick<MapView, "map" | "renderer"> & Partial<Pick<MapView, "tool" | "choose">>;

/** Where results are shown. */
export interface Stage {
  view: Drawing;
  state: PlanState;
  panel: HTMLElement;
  units: Units;
  dark: boolean;
  /** Whether the panel says what was flown; it stands elsewhere where it does not. */
  tellsPlan: boolean;
  /** Show the charts of a flight, or none. */
  chart(flight: Flight | null, onCursor: (time: number | null) => void): void;
  chartCursor(time: number | null): void;
}

/** The stage of the page on which the plan is made. */
export interface PlanStage extends Stage {
  view: MapView;
}

export interface Result {
  /** What was flown. */
  readonly plan: Plan;
  /** What it was flown on. */
  readonly provenance: Provenance;
  /** Draw on the map and write the panel; again when units, theme or layers change. */
  render(): void;
  /** Take everything off the map. */
  remove(): void;
  bounds(): L.LatLngBounds | null;
  takeaway(): Takeaway;
  /** In one sentence. */
  readonly says: string;
}

export const LAYER_NAMES: Record<Layer, string> = {
  waypoints: "Waypoints",
  paths: "Paths",
  landings: "Landings",
  heat: "Heat map",
  contours: "Contours",
  ellipse: "Mean, 50 and 90 % ellipses",
};

/** What the winds were, for people. */
export function origin(cycle: string, product: string, demo: boolean): string {
  const time = `${cycle.slice(0, 4)}-${cycle.slice(4, 6)}-${cycle.slice(6, 8)} ${cycle.slice(8)} UTC`;
  return demo ? `Demo winds of ${time}` : `GEFS ${product}, cycle of ${time}`;
}

export function warnings(texts: string[], demo: boolean): HTMLElement | null {
  const all = demo ? ["Demo winds, not a forecast", ...texts] : texts;
  return all.length ? h("ul", { class: "warnings" }, ...all.map((text) => h("li", {}, sentence(text)))) : null;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Coordinates to copy, and links that lead there. */
export function placeLinks(place: Position): HTMLElement {
  const text = formatCoordinates(place, "decimal");
  const [lat, lon] = text.split(",").map((part) => part.trim());
  const copy = () => void copyText(text, "The coordinates are copied");
  return h(
    "div",
    { class: "place" },
    h(
      "button",
      { type: "button", class: "copy", title: "Copy the coordinates", onclick: copy },
      h("code", {}, text),
      icon("copy"),
    ),
    h("span", { class: "dms" }, formatCoordinates(place, "dms")),
    h(
      "a",
      {
        href: `https://www.google.com/maps/dir/?api=1&destination=${lat},${lon}`,
        target: "_blank",
        rel: "noopener noreferrer",
      },
      "Navigate",
    ),
    h("a", { href: `geo:${lat},${lon}` }, "Open in a map app"),
  );
}

export async function copyText(text: string, done: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages without https may not use the clipboard; what is selected may be copied all the same.
    const area = h("textarea", { class: "visually-hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (!copied) {
      prompt("Copy this", text);
      return;
    }
  }
  toast(done);
  announce(done);
}

export function timeText(seconds: number): HTMLElement {
  return h("span", {}, formatUtc(seconds), h("br"), h("span", { class: "quiet" }, formatLocal(seconds)));
}

export function farText({ distance, bearing }: Pick<Summary, "distance" | "bearing">, units: Units): string {
  return `${formatDistance(distance, units)} towards ${formatBearing(bearing)}`;
}

/** Checkboxes for the layers of a result. */
export function layerBoxes(stage: Stage, layers: readonly Layer[], onChange: () => void): HTMLElement {
  const boxes = layers.map((layer) => {
    const input = h("input", { type: "checkbox", id: `show-${layer}`, checked: isShown(stage.state.plan, layer) });
    input.addEventListener("change", () => {
      const others = stage.state.plan.hidden.filter((name) => name !== layer);
      stage.state.change({ hidden: input.checked ? others : [...others, layer] });
      onChange();
    });
    return h("label", { class: "check" }, input, LAYER_NAMES[layer]);
  });
  return h("fieldset", { class: "layers" }, h("legend", {}, "Show on the map"), ...boxes);
}

export function isShown(plan: Plan, layer: Layer): boolean {
  return !plan.hidden.includes(layer);
}

type What = "everything" | "flights" | "landings" | "contours";
const FORMATS: Record<Format, { label: string; holds: What[] }> = {
  // A table has one kind of rows; GPX knows no areas.
  csv: { label: "CSV", holds: ["flights", "landings"] },
  kml: { label: "KML", holds: ["everything", "flights", "landings", "contours"] },
  gpx: { label: "GPX", holds: ["everything", "flights", "landings"] },
  geojson: { label: "GeoJSON", holds: ["everything", "flights", "landings", "contours"] },
};
const WHATS: Record<What, string> = {
  everything: "Everything",
  flights: "Flights",
  landings: "Landings",
  contours: "Contours",
};

/** Downloads of a result; with `kinds` a choice of what goes into the file. */
export function takeAway(takeaway: () => Takeaway, kinds: readonly What[]): HTMLElement {
  const buttons = Object.entries(FORMATS).map(([format, { label }]) =>
    h(
      "button",
      { type: "button", "data-format": format, onclick: () => download(takeaway(), what(), format as Format) },
      label,
    ),
  );
  const select = h(
    "select",
    { "aria-label": "What to take away" },
    ...kinds.map((kind) => h("option", { value: kind }, WHATS[kind])),
  );
  const what = () => select.value as What;
  const update = () => {
    for (const button of buttons) {
      const { holds, label } = FORMATS[button.dataset.format as Format];
      button.disabled = !holds.includes(what());
      button.title = button.disabled ? `${label} cannot hold ${WHATS[what()].toLowerCase()}` : "";
    }
  };
  select.addEventListener("change", update);
  update();
  return h(
    "fieldset",
    { class: "take" },
    h("legend", {}, "Take away"),
    kinds.length > 1 && select,
    h("div", { class: "row" }, ...buttons),
  );
}

/** When the first flight is launched, as part of a file's name: 20261122T1200Z. */
function launched({ tracks }: Takeaway): string {
  const first = Math.min(...tracks.map((track) => track.phases[0]!.points[0]!.time));
  return `${new Date(first * 1000).toISOString().slice(0, 16).replace(/[-:]/g, "")}Z`;
}

function download(all: Takeaway, what: What, format: Format): void {
  const part = {
    ...all,
    tracks: what === "everything" || what === "flights" ? all.tracks : [],
    spots: what === "everything" || what === "landings" || what === "flights" ? all.spots : [],
    areas: what === "everything" || what === "contours" ? all.areas : [],
  };
  const { text, type, extension } = write(part, format);
  const address = URL.createObjectURL(new Blob([text], { type }));
  const kind = what === "everything" ? "" : `-${what}`;
  h("a", {
    href: address,
    download: `habsim-${all.demo ? "demo-" : ""}${launched(all)}-cycle-${all.cycle}${kind}.${extension}`,
  }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Marks of a flight as places of a file. */
export function spotsOf(flight: Flight, prefix = ""): Takeaway["spots"] {
  return marksOf(flight).map(({ name, point }) => ({
    name: `${prefix}${name}`,
    lat: point.lat,
    lon: point.lon,
    time: point.time,
    alt: point.alt,
  }));
}

export function trackOf(flight: Flight, name: string): Takeaway["tracks"][number] {
  return { name, ...flight };
}

export function takeawayOf(title: string, plan: Plan, provenance: Provenance, warnings: string[]): Takeaway {
  const { cycle, product, demo } = provenance;
  // Files are in SI.
  const notes = [planText(plan, "metric"), ...warnings];
  return { title, cycle, product, demo, notes, tracks: [], spots: [], areas: [] };
}
