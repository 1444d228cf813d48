// A flight as the page keeps it, from the points the service answers.

export interface FlightPoint {
  /** Unix seconds. */
  time: number;
  lat: number;
  /** Degrees, continuous along the flight: beyond 180 where it crosses the antimeridian. */
  lon: number;
  /** m above sea level. */
  alt: number;
  /** Eastward and northward wind, m/s. */
  u: number;
  v: number;
}

export type PhaseName = "ascent" | "coast" | "descent";

export interface Phase {
  name: PhaseName;
  points: FlightPoint[];
}

export interface Flight {
  member: number;
  phases: Phase[];
}
