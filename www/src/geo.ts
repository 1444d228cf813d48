// Distances and shapes on a sphere, and longitudes without a seam.
import type { Position } from "./plan";

/** The mean radius of the Earth, m, as the service takes it. */
export const EARTH_RADIUS = 6371009;

const DEGREE = Math.PI / 180;

/** A longitude within -180..180. */
export function wrap(lon: number): number {
  return lon >= -180 && lon <= 180 ? lon : nearest(lon, 0);
}

/** The name of a meridian that is within 180 degrees of `near`. */
export function nearest(lon: number, near: number): number {
  return lon - 360 * Math.round((lon - near) / 360);
}

/** The longitudes of a track without jumps, each the short way from the one before, the first within 180 of `near`. */
export function unroll(lons: number[], near: number): number[] {
  let last = near;
  return lons.map((lon) => {
    last = nearest(lon, last);
    return last;
  });
}

/** The great-circle distance, m (haversine). */
export function distance(a: Position, b: Position): number {
  const h =
    Math.sin(((b.lat - a.lat) * DEGREE) / 2) ** 2 +
    Math.cos(a.lat * DEGREE) * Math.cos(b.lat * DEGREE) * Math.sin(((b.lon - a.lon) * DEGREE) / 2) ** 2;
  return 2 * EARTH_RADIUS * Math.asin(Math.sqrt(Math.min(1, h)));
}

/** The bearing, degrees 0..360 clockwise from north, in which the great circle from `a` to `b` starts. */
export function bearing(a: Position, b: Position): number {
  const [from, to, turn] = [a.lat * DEGREE, b.lat * DEGREE, (b.lon - a.lon) * DEGREE];
  const east = Math.sin(turn) * Math.cos(to);
  const north = Math.cos(from) * Math.sin(to) - Math.sin(from) * Math.cos(to) * Math.cos(turn);
  return (Math.atan2(east, north) / DEGREE + 360) % 360;
}

/** Where a great circle leads to; the longitude is within 180 degrees of the start's, also beyond 180. */
export function destination(from: Position, bearingDeg: number, metres: number): Position {
  const [lat, course, arc] = [from.lat * DEGREE, bearingDeg * DEGREE, metres / EARTH_RADIUS];
  const north = Math.sin(lat) * Math.cos(arc) + Math.cos(lat) * Math.sin(arc) * Math.cos(course);
  const end = Math.asin(Math.max(-1, Math.min(1, north)));
  const turn = Math.atan2(
    Math.sin(course) * Math.sin(arc) * Math.cos(lat),
    Math.cos(arc) - Math.sin(lat) * Math.sin(end),
  );
  return { lat: end / DEGREE, lon: from.lon + turn / DEGREE };
}

/**
 * The outline of an ellipse (semi-axes m, bearing of the long one in degrees) with `points` corners, not closed, its
 * longitudes without jumps.
 */
export function ellipseOutline(
  centre: Position,
  semiMajor_m: number,
  semiMinor_m: number,
  bearing_deg: number,
  points: number,
): Position[] {
  const outline = Array.from({ length: points }, (_, i) => {
    const along = semiMajor_m * Math.cos((2 * Math.PI * i) / points);
    const across = semiMinor_m * Math.sin((2 * Math.PI * i) / points);
    return destination(centre, bearing_deg + Math.atan2(across, along) / DEGREE, Math.hypot(along, across));
  });
  const lons = unroll(
    outline.map(({ lon }) => lon),
    centre.lon,
  );
  return outline.map(({ lat }, i) => ({ lat, lon: lons[i]! }));
}

/**
 * Whether a point is inside a polygon whose edges are straight on the map and go the short way round, also across the
 * antimeridian. Where the outline crosses itself, an area that is surrounded twice is outside. Must not surround a pole.
 */
export function inside(point: Position, polygon: Position[]): boolean {
  let within = false;
  // The meridian north of the point crosses the outline an odd number of times.
  let before = polygon.at(-1);
  for (const corner of polygon) {
    const start = nearest(before!.lon, point.lon);
    const end = nearest(corner.lon, start);
    if (start > point.lon !== end > point.lon) {
      const way = (point.lon - start) / (end - start);
      if (before!.lat + way * (corner.lat - before!.lat) > point.lat) within = !within;
    }
    before = corner;
  }
  return within;
}

/** The share, 0..1, of the weight of points that is inside a polygon; 0 for no points. */
export function shareInside(points: (Position & { weight: number })[], polygon: Position[]): number {
  let [all, within] = [0, 0];
  for (const point of points) {
    all += point.weight;
    if (inside(point, polygon)) within += point.weight;
  }
  return all && within / all;
}

export type LatLon = [lat: number, lon: number];

export interface Unrolled {
  /** Polygons of rings to fill; the first ring of each is its outer one. */
  fills: LatLon[][][];
  /** The outline to draw: without the cuts along +-180 degrees and the poles. */
  lines: LatLon[][];
}

/**
 * Areas to draw near a longitude, of GeoJSON MultiPolygon coordinates that are cut at +-180: each polygon moved by whole
 * turns, as one, to where its middle is within 180 degrees of `near`.
 */
export function unrollPolygons(polygons: number[][][][], near: number): Unrolled {
  const drawn: Unrolled = { fills: [], lines: [] };
  for (const polygon of polygons) {
    const lons = (polygon[0] ?? []).map((corner) => corner[0]!);
    const middle = (Math.min(...lons) + Math.max(...lons)) / 2;
    const move = -360 * Math.round((middle - near) / 360);
    const moved = ([lon, lat]: number[]): LatLon => [lat!, lon! + move];
    drawn.fills.push(polygon.map((ring) => ring.map(moved)));
    for (const ring of polygon) drawn.lines.push(...withoutSeams(ring).map((line) => line.map(moved)));
  }
  return drawn;
}

/** The pieces of a closed ring between its edges along +-180 degrees or a pole; the whole of it when it has none. */
function withoutSeams(ring: number[][]): number[][][] {
  const edges = ring.length - 1;
  const seam = (i: number) => isSeam(ring[i % edges]!, ring[(i % edges) + 1]!);
  const first = ring.findIndex((_, i) => i < edges && seam(i));
  if (first < 0) return [ring];
  const lines: number[][][] = [];
  let line: number[][] = [];
  // Once round from the end of a seam, so that no line is broken where the ring starts.
  for (let i = first + 1; i <= first + edges; i++) {
    if (!line.length) line.push(ring[i % edges]!);
    if (!seam(i)) line.push(ring[(i % edges) + 1]!);
    else {
      if (line.length > 1) lines.push(line);
      line = [];
    }
  }
  return lines;
}

function isSeam([lon, lat]: number[], [nextLon, nextLat]: number[]): boolean {
  return (Math.abs(lon!) === 180 && lon === nextLon) || (Math.abs(lat!) === 90 && lat === nextLat);
}
