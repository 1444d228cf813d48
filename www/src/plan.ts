// What a user plans: one launch, a balloon, and what to run with it. SI units, degrees, Unix seconds.

export type Profile = "standard" | "zpb" | "float";
export type Mode = "single" | "ensemble" | "sweep";

export interface Position {
  lat: number;
  lon: number;
}

/** Parts of a result that can be shown on the map or hidden. */
export const LAYERS = ["waypoints", "paths", "landings", "heat", "contours", "ellipse"] as const;
export type Layer = (typeof LAYERS)[number];

export interface Plan {
  lat: number;
  lon: number;
  /** Launch altitude, m above sea level; null starts on the ground. */
  alt: number | null;
  /** Launch, Unix seconds. */
  time: number;
  profile: Profile;
  /** Ascent rate, m/s. */
  asc: number;
  /** Descent rate, m/s; at sea level under a parachute. */
  desc: number;
  /** Burst altitude of `standard`, m. */
  burst: number;
  /** Altitude that `zpb` and `float` stay at, m. */
  float: number;
  /** How long they stay there, hours. */
  floatHours: number;
  /** Share of the wind that the balloon follows. */
  coeff: number;
  mode: Mode;
  /** Member of the single flight and of the sweep; 0 is the control. */
  model: number;
  /** Monte Carlo copies of each member's flight. */
  perturbations: number;
  /** Of the Monte Carlo; null lets the service choose one from the request. */
  seed: number | null;
  /** Launch times of the sweep: Unix seconds, and minutes between them. */
  sweepFrom: number;
  sweepTo: number;
  sweepMinutes: number;
  /** The point that the sweep's landings are measured from; null is the launch. */
  target: Position | null;
  /** Corners of the area whose probability is asked for; fewer than three are none. */
  zone: Position[];
  hidden: Layer[];
}

export const DEFAULT_PLAN: Plan = {
  lat: 37.3553,
  lon: -121.8763,
  alt: null,
  time: 0,
  profile: "standard",
  asc: 5,
  desc: 5,
  burst: 30000,
  float: 25000,
  floatHours: 2,
  coeff: 1,
  mode: "single",
  model: 0,
  perturbations: 20,
  seed: null,
  sweepFrom: 0,
  sweepTo: 0,
  sweepMinutes: 60,
  target: null,
  zone: [],
  hidden: [],
};

/** Which unit a number is shown in. */
export type Quantity =
  | "altitude"
  | "distance"
  | "verticalSpeed"
  | "windSpeed"
  | "mass"
  | "volume"
  | "force"
  | "hours"
  | "minutes"
  | "plain";

export type NumberName =
  | "lat"
  | "lon"
  | "alt"
  | "asc"
  | "desc"
  | "burst"
  | "float"
  | "floatHours"
  | "coeff"
  | "model"
  | "perturbations"
  | "seed"
  | "sweepMinutes";

export interface NumberField {
  label: string;
  quantity: Quantity;
  min: number;
  max: number;
  whole?: true;
  /** The parameter of the API that holds the same number, whose limits these are. */
  parameter?: string;
  help?: string;
}

// Below 50 km: the API takes altitudes under its limit, not at it.
const HIGHEST = 49999;

export const FIELDS: Record<NumberName, NumberField> = {
  lat: { label: "Latitude", quantity: "plain", min: -90, max: 90, parameter: "lat" },
  lon: { label: "Longitude", quantity: "plain", min: -180, max: 360, parameter: "lon" },
  alt: { label: "Launch altitude", quantity: "altitude", min: 0, max: HIGHEST, parameter: "alt" },
  asc: { label: "Ascent rate", quantity: "verticalSpeed", min: 0.1, max: 20, parameter: "asc" },
  desc: { label: "Descent rate", quantity: "verticalSpeed", min: 0.1, max: 20, parameter: "desc" },
  burst: { label: "Burst altitude", quantity: "altitude", min: 0, max: HIGHEST, parameter: "equil" },
  float: { label: "Float altitude", quantity: "altitude", min: 0, max: HIGHEST, parameter: "equil" },
  floatHours: { label: "Time at float", quantity: "hours", min: 0, max: 48, parameter: "eqtime" },
  coeff: { label: "Wind factor", quantity: "plain", min: 0.5, max: 1.5, parameter: "coeff" },
  model: { label: "Member", quantity: "plain", min: 0, max: 99, whole: true, parameter: "model" },
  perturbations: {
    label: "Perturbations",
    quantity: "plain",
    min: 1,
    max: 100,
    whole: true,
    parameter: "num_perturbations",
  },
  seed: { label: "Seed", quantity: "plain", min: 0, max: 2 ** 53 - 1, whole: true, parameter: "seed" },
  sweepMinutes: { label: "Every", quantity: "minutes", min: 1, max: 1440, whole: true },
};

/** What a profile asks for, in the order of the flight. */
export const BALLOON_FIELDS: Record<Profile, NumberName[]> = {
  standard: ["asc", "burst", "desc"],
  zpb: ["asc", "float", "floatHours", "desc"],
  float: ["asc", "float", "floatHours"],
};

/** Launches of one sweep at most: more would not be told apart on the map. */
export const MAX_LAUNCHES = 200;

/** The altitude, m, that the balloon goes to. */
export function topOf(plan: Plan): number {
  return plan.profile === "standard" ? plan.burst : plan.float;
}

/** Launch times of the sweep, Unix seconds. */
export function launchTimes(plan: Plan): number[] {
  const every = plan.sweepMinutes * 60;
  const count = Math.floor((plan.sweepTo - plan.sweepFrom) / every + 1e-9) + 1;
  return Array.from({ length: Math.max(0, Math.min(count, MAX_LAUNCHES + 1)) }, (_, i) => plan.sweepFrom + i * every);
}
