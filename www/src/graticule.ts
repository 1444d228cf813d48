// Degree lines: how far apart they are, and what stands beside them at the edges of the map.

import type L from "leaflet";
import { h } from "./dom";

const TILE = 256;
const SPACINGS = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01];

/** Degrees between the lines of the graticule near a latitude: the least that leaves them 100 pixels apart. */
export function spacing(zoom: number, lat = 0): number {
  // In steps, so that lines do not get lost between one latitude and the next.
  const stretch = Math.abs(lat) > 75 ? 4 : Math.abs(lat) > 60 ? 2 : 1;
  const pixels = (TILE * 2 ** zoom * stretch) / 360;
  return SPACINGS.findLast((step) => step * pixels >= 100) ?? SPACINGS[0]!;
}

/** Such as `37.5°N`, with as many decimals as the spacing needs; the longitude may be beyond 180. */
export function degreeText(value: number, step: number, axis: "lat" | "lon"): string {
  const turned = axis === "lon" ? ((((value + 180) % 360) + 360) % 360) - 180 : value;
  const text = Math.abs(turned).toFixed(step >= 1 ? 0 : step >= 0.1 ? 1 : 2);
  if (Number(text) === 0 || Number(text) === 180) return `${Number(text)}°`;
  return `${text}°${axis === "lat" ? (turned > 0 ? "N" : "S") : turned > 0 ? "E" : "W"}`;
}

/** The multiples of `step` between two values. */
export function multiples(from: number, to: number, step: number): number[] {
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.max(0, Math.floor(to / step) - first + 1) }, (_, i) => (first + i) * step);
}

/** Names the degree lines of the built-in map at its western and northern edge. */
export class DegreeLabels {
  readonly #map: L.Map;
  readonly #root = h("div", { class: "degrees", "aria-hidden": "true" });
  #isShown = true;

  constructor(map: L.Map) {
    this.#map = map;
    map.getContainer().append(this.#root);
    map.on("move zoomend resize", () => this.#draw());
    map.whenReady(() => this.#draw());
  }

  set isShown(yes: boolean) {
    this.#isShown = yes;
    this.#draw();
  }

  #draw(): void {
    const labels = this.#isShown ? [...this.#meridians(), ...this.#parallels()] : [];
    this.#root.replaceChildren(...labels);
  }

  *#meridians(): Iterable<HTMLElement> {
    const bounds = this.#map.getBounds();
    const step = this.#step();
    for (const lon of multiples(bounds.getWest(), bounds.getEast(), step)) {
      const { x } = this.#map.latLngToContainerPoint([bounds.getCenter().lat, lon]);
      yield h("span", { class: "meridian", style: `left:${x}px` }, degreeText(lon, step, "lon"));
    }
  }

  *#parallels(): Iterable<HTMLElement> {
    const bounds = this.#map.getBounds();
    // Lines are as close again towards the poles.
    for (const step of new Set([this.#step(), this.#step(61), this.#step(76)])) {
      for (const lat of multiples(bounds.getSouth(), bounds.getNorth(), step)) {
        if (this.#step(lat) !== step) continue;
        const { y } = this.#map.latLngToContainerPoint([lat, bounds.getCenter().lng]);
        yield h("span", { class: "parallel", style: `top:${y}px` }, degreeText(lat, step, "lat"));
      }
    }
  }

  /** Of the lines that the tiles have, which are drawn for whole zooms. */
  #step(lat = 0): number {
    return spacing(Math.round(this.#map.getZoom()), lat);
  }
}
