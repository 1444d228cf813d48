// What a search looks like on a map.

import L from "leaflet";
import { cssColour } from "../colours";
import { destination } from "../geo";
import { onTheme } from "../theme";
import { circle, near, PlaceMap, square } from "./placemap";
import { type Draft, gridOf, type SearchBody } from "./searches";

const MOST_DOTS = 2000;

type Drawn = Pick<Draft, "target" | "area">;

/** Where a search that is kept looks, also one that its form cannot hold. */
export function zonesOf(config: Record<string, unknown>): Drawn {
  const { target, area } = config as unknown as SearchBody;
  return { target, area };
}

/** Puts a map of what is searched into `root`, until `signal`. */
export function showSearched(root: HTMLElement, config: Record<string, unknown>, signal: AbortSignal): void {
  const zones = zonesOf(config);
  const map = new PlaceMap("Map of the search", zones.area, 7, signal);
  const layer = L.layerGroup().addTo(map.map);
  const draw = () => drawSearch(map, layer, zones, true);
  map.choosing = null;
  map.onFit = () => map.showBounds(boundsOf(zones));
  draw();
  onTheme(draw, signal);
  root.replaceChildren(map.root);
  map.onFit();
}

/** The target, the search area, and the places of its grid where they can be told apart. */
export function drawSearch(map: PlaceMap, layer: L.LayerGroup, { target, area }: Drawn, withGrid: boolean): void {
  layer.clearLayers();
  const line = { color: cssColour("--zone"), weight: 2, interactive: false, renderer: map.renderer, smoothFactor: 0 };
  const corners = area.shape === "circle" ? circle(area, area.radius) : square(area, area.radius);
  if (area.radius > 0) layer.addLayer(L.polygon(corners, { ...line, dashArray: "6 5", weight: 1.5, fill: false }));
  for (const [east, north] of withGrid ? gridOf(area, MOST_DOTS) : []) {
    const way = Math.hypot(east, north);
    const place = destination(area, (Math.atan2(east, north) * 180) / Math.PI, way);
    const dot = { ...line, radius: 1.2, stroke: false, fillColor: cssColour("--quiet"), fillOpacity: 0.9 };
    layer.addLayer(L.circleMarker(near(place, area), dot));
  }
  const zone = { ...line, color: cssColour("--descent"), fillColor: cssColour("--descent"), fillOpacity: 0.18 };
  layer.addLayer(L.polygon(shifted(circle(target, target.radius), area.lon), zone));
  layer.addLayer(L.circleMarker(near(target, area), { ...zone, radius: 3, fillOpacity: 1 }));
}

/** An outline as a whole, near a longitude. */
function shifted(outline: L.LatLngTuple[], lon: number): L.LatLngTuple[] {
  const move = -360 * Math.round((outline[0]![1] - lon) / 360);
  return outline.map(([lat, east]) => [lat, east + move]);
}

export function boundsOf({ target, area }: Drawn): L.LatLngBounds {
  const corners = [...circle(area, Math.max(area.radius, 1000)), ...shifted(circle(target, target.radius), area.lon)];
  return L.latLngBounds(corners);
}
