// What is said of a flight: where, when, how far.

import type { Flight, FlightPoint, PhaseName } from "./flight";
import { bearing, distance } from "./geo";

export interface Mark {
  name: string;
  point: FlightPoint;
}

export interface Summary {
  launch: FlightPoint;
  end: FlightPoint;
  /** Whether the flight comes down. */
  lands: boolean;
  highest: FlightPoint;
  /** s */
  duration: number;
  /** m over the ground, and degrees from the launch to the end. */
  distance: number;
  bearing: number;
  /** m/s */
  strongestWind: number;
}

export function allPoints(flight: Flight): FlightPoint[] {
  return flight.phases.flatMap((phase) => phase.points);
}

export function windSpeed(point: FlightPoint): number {
  return Math.hypot(point.u, point.v);
}

export function summarize(flight: Flight): Summary {
  const points = allPoints(flight);
  const launch = points[0]!;
  const end = points.at(-1)!;
  return {
    launch,
    end,
    lands: flight.phases.at(-1)!.name === "descent",
    highest: points.reduce((best, point) => (point.alt > best.alt ? point : best)),
    duration: end.time - launch.time,
    distance: distance(launch, end),
    bearing: bearing(launch, end),
    strongestWind: Math.max(...points.map(windSpeed)),
  };
}

/** The named moments of a flight: launch, burst or float, descent, landing or end. */
export function marksOf(flight: Flight): Mark[] {
  const phase = (name: PhaseName) => flight.phases.find((one) => one.name === name);
  const [ascent, coast, descent] = [phase("ascent"), phase("coast"), phase("descent")];
  const floats = coast !== undefined && coast.points.at(-1)!.time > coast.points[0]!.time;
  const { launch, end, lands } = summarize(flight);
  const marks: Mark[] = [{ name: "Launch", point: launch }];
  if (ascent && flight.phases.length > 1)
    marks.push({ name: floats ? "Float" : "Burst", point: ascent.points.at(-1)! });
  if (floats && descent) marks.push({ name: "Descent", point: descent.points[0]! });
  marks.push({ name: lands ? "Landing" : "End", point: end });
  return marks;
}

/** The flight at a time, straight between its points; null before and after it. */
export function at(points: FlightPoint[], time: number): FlightPoint | null {
  if (!points.length || time < points[0]!.time || time > points.at(-1)!.time) return null;
  let [low, high] = [0, points.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle]!.time <= time) low = middle;
    else high = middle;
  }
  const [a, b] = [points[low]!, points[high]!];
  const share = b.time > a.time ? (time - a.time) / (b.time - a.time) : 0;
  const between = (name: keyof FlightPoint) => a[name] + share * (b[name] - a[name]);
  return { time, lat: between("lat"), lon: between("lon"), alt: between("alt"), u: between("u"), v: between("v") };
}

// About this many waypoints on a flight, at round intervals.
const WAYPOINTS = 12;
const INTERVALS = [5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * 60);

/** The flight at round times. */
export function waypoints(flight: Flight): FlightPoint[] {
  const points = allPoints(flight);
  const { launch, end, duration } = summarize(flight);
  const every = INTERVALS.find((seconds) => duration / seconds <= WAYPOINTS) ?? 86400;
  const found: FlightPoint[] = [];
  for (let time = Math.ceil((launch.time + 1) / every) * every; time < end.time; time += every) {
    const point = at(points, time);
    if (point) found.push(point);
  }
  return found;
}
