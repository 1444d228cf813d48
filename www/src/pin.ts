// Pins on the map, drawn by the style sheet.

import L from "leaflet";

export function pin(className: string): L.DivIcon {
  return L.divIcon({ className: `pin ${className}`, iconSize: [22, 22], iconAnchor: [11, 11] });
}
