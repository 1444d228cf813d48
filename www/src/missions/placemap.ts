// A small map on which places are chosen and searches are drawn.

import L from "leaflet";
import { BaseMaps } from "../basemap";
import { h, iconButton, toast } from "../dom";
import { destination, nearest, unroll, wrap } from "../geo";
import { CLICK, leafletMap, pointed, rounded } from "../leafletmap";
import type { Position } from "../plan";
import { onTheme, theme } from "../theme";

const CIRCLE_CORNERS = 90;

export class PlaceMap {
  readonly root: HTMLElement;
  readonly map: L.Map;
  readonly renderer = L.canvas({ padding: 0.3, tolerance: 6 });
  onPlace: (place: Position) => void = () => {};
  /** Shows all that is drawn. */
  onFit: () => void = () => {};
  #isPlaced = false;
  readonly #hint = h("p", { class: "hint" });

  /** `label` says what the map is for. The map lives until `signal`. */
  constructor(label: string, centre: Position, zoom: number, signal: AbortSignal) {
    const box = h("div", { class: "map" });
    this.root = h("div", { class: "place-map" }, box, this.#hint);
    this.map = leafletMap(box, centre, zoom, 120, {
      renderer: this.renderer,
      // A page that scrolls would stop at the map.
      scrollWheelZoom: false,
    });
    this.#addButton();
    box.setAttribute(
      "aria-label",
      `${label}; arrow keys move it, plus and minus zoom, Enter chooses the cross in the middle`,
    );
    box.setAttribute("role", "application");
    box.append(h("div", { class: "cross", "aria-hidden": "true" }));
    // Once the map is used, the wheel zooms it.
    this.map.on("focus click", () => this.map.scrollWheelZoom.enable());
    this.map.on("blur", () => this.map.scrollWheelZoom.disable());
    this.map.on("click", (event) => this.#choose(pointed(this.map, event)));
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.target !== box) return;
      event.preventDefault();
      this.#choose(this.map.getCenter());
    });
    const bases = new BaseMaps(this.map, toast);
    bases.setTheme(theme());
    onTheme((now) => bases.setTheme(now), signal);
    const watch = new ResizeObserver(() => {
      const before = this.map.getSize();
      this.map.invalidateSize({ pan: false });
      // A map that had no size yet has its middle in its corner.
      if (!before.x && !this.#isPlaced) this.map.setView([centre.lat, wrap(centre.lon)], zoom);
    });
    watch.observe(box);
    signal.addEventListener("abort", () => {
      watch.disconnect();
      this.map.remove();
    });
  }

  /** What a click chooses, in words; null where it chooses nothing. */
  set choosing(what: string | null) {
    this.#hint.textContent = what ? `${CLICK} the map to choose ${what}` : "";
    this.#hint.hidden = !what;
    this.root.classList.toggle("choosing", what !== null);
  }

  showBounds(bounds: L.LatLngBounds): void {
    if (!bounds.isValid()) return;
    this.#isPlaced = true;
    this.map.invalidateSize({ pan: false });
    this.map.fitBounds(bounds, { maxZoom: 12, animate: false, padding: [24, 24] });
  }

  #choose({ lat, lng }: L.LatLng): void {
    if (Math.abs(lat) <= 90) this.onPlace({ lat: rounded(lat), lon: rounded(wrap(lng)) });
  }

  #addButton(): void {
    const bar = h(
      "div",
      { class: "leaflet-bar tools" },
      iconButton("fit", "Show everything", () => this.onFit(), { class: "" }),
    );
    L.DomEvent.disableClickPropagation(bar);
    const control = new L.Control({ position: "topright" });
    control.onAdd = () => bar;
    control.addTo(this.map);
  }
}

/** The outline of a circle on the Earth, near its centre's longitude. */
export function circle(centre: Position, radius: number): L.LatLngTuple[] {
  return outline(
    centre,
    Array.from({ length: CIRCLE_CORNERS }, (_, i) => destination(centre, (360 * i) / CIRCLE_CORNERS, radius)),
  );
}

/** The outline of a square of half side `radius`, its sides drawn through points so that they bend as they do. */
export function square(centre: Position, radius: number): L.LatLngTuple[] {
  const steps = Array.from({ length: 10 }, (_, i) => (i / 10) * 2 - 1);
  const sides = [
    steps.map((s) => [s, 1]),
    steps.map((s) => [1, -s]),
    steps.map((s) => [-s, -1]),
    steps.map((s) => [-1, s]),
  ].flat() as [number, number][];
  return outline(
    centre,
    sides.map(([east, north]) =>
      destination(centre, (Math.atan2(east, north) * 180) / Math.PI, radius * Math.hypot(east, north)),
    ),
  );
}

function outline(centre: Position, corners: Position[]): L.LatLngTuple[] {
  const near = wrap(centre.lon);
  const lons = unroll(
    corners.map(({ lon }) => lon),
    near,
  );
  return corners.map(({ lat }, i) => [lat, lons[i]!]);
}

export function near(place: Position, centre: Position): L.LatLngTuple {
  return [place.lat, nearest(place.lon, wrap(centre.lon))];
}
