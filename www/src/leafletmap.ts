// What the maps of all pages have in common.

import L from "leaflet";
import { wrap } from "./geo";
import type { Position } from "./plan";

export const CLICK = matchMedia("(pointer: coarse)").matches ? "Tap" : "Click";

/** A map that is drawn on canvas, with a scale (at most `scalePx` wide) and buttons to zoom. */
export function leafletMap(
  root: HTMLElement,
  { lat, lon }: Position,
  zoom: number,
  scalePx: number,
  options: L.MapOptions,
): L.Map {
  const map = L.map(root, {
    preferCanvas: true,
    zoomControl: false,
    minZoom: 2,
    maxZoom: 17,
    zoomSnap: 0.5,
    wheelPxPerZoomLevel: 100,
    ...options,
  });
  map.attributionControl.setPrefix(false);
  map.setView([lat, wrap(lon)], zoom);
  L.control.scale({ position: "bottomleft", maxWidth: scalePx }).addTo(map);
  L.control.zoom({ position: "topright" }).addTo(map);
  return map;
}

/** Where the pointer was: Leaflet's own `latlng` is the place of a small circle where one is under it. */
export function pointed(map: L.Map, { originalEvent }: L.LeafletMouseEvent): L.LatLng {
  return map.mouseEventToLatLng(originalEvent);
}

/** To 5 decimals, about a metre: what a click means. */
export function rounded(degrees: number): number {
  return Math.round(degrees * 1e5) / 1e5;
}
