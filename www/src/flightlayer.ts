// One flight on the map, by phases; pointing at it tells time, altitude and wind.

import L from "leaflet";
import { cssColour, phaseColour } from "./colours";
import type { Flight, FlightPoint } from "./flight";
import { pin } from "./pin";
import type { Drawing } from "./results";
import { allPoints, at, type Mark, marksOf, waypoints, windSpeed } from "./summary";
import { formatAltitude, formatSpeed, formatUtcShort, type Units } from "./units";

const NEAR_PX = matchMedia("(pointer: coarse)").matches ? 36 : 18;

/** Half of a pin, and a little. */
const PIN_PX = 12;

export class FlightLayer {
  readonly #group = L.layerGroup();
  readonly #waypoints = L.layerGroup();
  readonly #cursor: L.CircleMarker;
  readonly #points: FlightPoint[];
  readonly #marks: Mark[];
  readonly #listener: L.LeafletMouseEventHandlerFn;

  constructor(
    readonly view: Drawing,
    flight: Flight,
    readonly units: Units,
    readonly onCursor: (time: number | null) => void,
  ) {
    this.#points = allPoints(flight);
    this.#marks = marksOf(flight);
    const { renderer } = view;
    const casing = {
      renderer,
      color: cssColour("--casing"),
      weight: 7,
      opacity: 0.75,
      interactive: false,
      smoothFactor: 0.5,
    };
    this.#group.addLayer(L.polyline(this.#points.map(latLng), casing));
    for (const phase of flight.phases) {
      const style = { renderer, color: phaseColour(phase.name), weight: 4, interactive: false, smoothFactor: 0.5 };
      this.#group.addLayer(L.polyline(phase.points.map(latLng), style));
    }
    for (const { name, point } of this.#marks.slice(1)) {
      const kind = name === "Landing" || name === "End" ? "landing-pin" : "burst-pin";
      // The cursor tells what it is at: a tooltip of its own would lie on top of the cursor's.
      const quiet = { interactive: false, keyboard: false };
      this.#group.addLayer(L.marker(latLng(point), { ...quiet, icon: pin(kind), zIndexOffset: 500 }));
    }
    for (const point of waypoints(flight)) {
      const style = {
        renderer,
        radius: 4,
        weight: 2,
        color: cssColour("--ink"),
        fillColor: cssColour("--paper"),
        fillOpacity: 1,
        interactive: false,
      };
      this.#waypoints.addLayer(L.circleMarker(latLng(point), style));
    }
    const style = {
      radius: 6,
      weight: 3,
      color: cssColour("--ink"),
      fillColor: cssColour("--paper"),
      fillOpacity: 1,
      interactive: false,
    };
    this.#cursor = L.circleMarker([0, 0], { ...style, renderer });
    this.#group.addTo(view.map);
    this.#listener = (event) => this.#point(event);
    view.map.on("mousemove", this.#listener).on("click", this.#listener);
  }

  get bounds(): L.LatLngBounds {
    return L.latLngBounds(this.#points.map(latLng));
  }

  showWaypoints(yes: boolean): void {
    if (yes) this.#waypoints.addTo(this.view.map);
    else this.#waypoints.remove();
  }

  /** Mark the flight at a time, Unix seconds. */
  setCursor(time: number | null): void {
    const point = time === null ? null : at(this.#points, time);
    if (!point) {
      this.#cursor.remove();
      return;
    }
    this.#cursor.setLatLng(latLng(point));
    if (!this.view.map.hasLayer(this.#cursor)) {
      this.#cursor.addTo(this.view.map).bindTooltip("", { permanent: true, direction: "top", offset: [0, -8] });
    }
    this.#cursor.setTooltipContent(this.#text(point));
  }

  remove(): void {
    this.view.map.off("mousemove", this.#listener).off("click", this.#listener);
    for (const layer of [this.#group, this.#waypoints, this.#cursor]) layer.remove();
  }

  #text(point: FlightPoint): string {
    const wind = formatSpeed(windSpeed(point), this.units);
    const mark = this.#marks.find((one) => one.point.time === point.time);
    return `${mark ? `${mark.name}, ` : ""}${formatUtcShort(point.time)} UTC<br>${formatAltitude(point.alt, this.units)}, wind ${wind}`;
  }

  #point(event: L.LeafletMouseEvent): void {
    const time = this.#nearest(event.containerPoint);
    this.setCursor(time);
    this.onCursor(time);
  }

  /** The time of the flight nearest to a place on the screen, of a mark on it; null where none is near. */
  #nearest(place: L.Point): number | null {
    const { map } = this.view;
    const mark = this.#marks.find(({ point }) => map.latLngToContainerPoint(latLng(point)).distanceTo(place) < PIN_PX);
    if (mark) return mark.point.time;
    let best = NEAR_PX ** 2;
    let found: number | null = null;
    let before: L.Point | null = null;
    for (let i = 0; i < this.#points.length; i++) {
      const here = map.latLngToContainerPoint(latLng(this.#points[i]!));
      if (before) {
        const [dx, dy] = [here.x - before.x, here.y - before.y];
        const length = dx * dx + dy * dy;
        const way = length ? ((place.x - before.x) * dx + (place.y - before.y) * dy) / length : 0;
        const share = Math.max(0, Math.min(1, way));
        const apart = (before.x + share * dx - place.x) ** 2 + (before.y + share * dy - place.y) ** 2;
        if (apart < best) {
          best = apart;
          // As the charts do, at a point that was flown.
          found = this.#points[share < 0.5 ? i - 1 : i]!.time;
        }
      }
      before = here;
    }
    return found;
  }
}

export function latLng(point: { lat: number; lon: number }): L.LatLngTuple {
  return [point.lat, point.lon];
}
