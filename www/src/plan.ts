// What a user plans: one launch, a balloon, and what to run with it. SI units, degrees, Unix seconds.

export const PROFILES = ["standard", "zpb", "float", "physical"] as const;
export type Profile = (typeof PROFILES)[number];
export const MODES = ["single", "ensemble", "sweep"] as const;
export type Mode = (typeof MODES)[number];
export const GASES = ["helium", "hydrogen", "methane"] as const;
/** Numbers of which one says how much gas is filled in. */
export const FILLS = ["asc", "burst", "volume", "lift"] as const;
export type Fill = (typeof FILLS)[number];
/** Numbers of which one says how fast a gas balloon comes down. */
export const DESCENTS = ["desc", "chute"] as const;
export const AIRS = ["standard", "model"] as const;

export interface Position {
  lat: number;
  lon: number;
}

/** Parts of a result that can be shown on the map or hidden. */
export const LAYERS = ["waypoints", "paths", "landings", "heat", "contours", "ellipse"] as const;
export type Layer = (typeof LAYERS)[number];

export interface Balloon {
  profile: Profile;
  /** Ascent rate, m/s; of a gas balloon at the launch. */
  asc: number;
  /** Descent rate, m/s; at sea level under a parachute. */
  desc: number;
  /** Burst altitude of `standard` and of a gas balloon that is filled for it, m. */
  burst: number;
  /** Altitude that `zpb` and `float` stay at, m. */
  float: number;
  /** How long they stay there, hours. */
  floatHours: number;
  /** Share of the wind that the balloon follows. */
  coeff: number;
  /** Of a gas balloon: its name in the list of the service. */
  envelope: string;
  gas: (typeof GASES)[number];
  /** With parachute and strings, kg. */
  payload: number;
  fillBy: Fill;
  /** Gas at sea level, m3. */
  volume: number;
  /** Free lift, N. */
  lift: number;
  descendBy: (typeof DESCENTS)[number];
  /** Parachute laid flat, m across. */
  chute: number;
  /** How long a gas balloon that does not burst stays up, hours. */
  afloat: number;
}

export interface Plan extends Balloon {
  lat: number;
  lon: number;
  /** Launch altitude, m above sea level; null starts on the ground. */
  alt: number | null;
  /** Launch, Unix seconds. */
  time: number;
  /** What a gas balloon climbs through: the standard atmosphere, or the air of the forecast. */
  air: (typeof AIRS)[number];
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

export const DEFAULT_BALLOON: Balloon = {
  profile: "standard",
  asc: 5,
  desc: 5,
  burst: 30000,
  float: 25000,
  floatHours: 2,
  coeff: 1,
  envelope: "kaymont-1200",
  gas: "helium",
  payload: 1,
  fillBy: "asc",
  volume: 3,
  lift: 10,
  descendBy: "desc",
  chute: 1,
  afloat: 0,
};

export const DEFAULT_PLAN: Plan = {
  ...DEFAULT_BALLOON,
  lat: 37.3553,
  lon: -121.8763,
  alt: null,
  time: 0,
  air: "standard",
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
  | "payload"
  | "volume"
  | "lift"
  | "chute"
  | "afloat"
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
  payload: {
    label: "Payload",
    quantity: "mass",
    min: 0,
    max: 20_000,
    parameter: "payload_mass",
    help: "With parachute and strings",
  },
  volume: {
    label: "Gas volume",
    quantity: "volume",
    min: 0.001,
    max: 2_000_000,
    parameter: "volume",
    help: "At sea level",
  },
  lift: {
    label: "Free lift",
    quantity: "force",
    min: 0.001,
    max: 1_000_000,
    parameter: "free_lift",
    help: "Beyond all that it carries",
  },
  chute: {
    label: "Parachute, m across",
    quantity: "plain",
    min: 0.01,
    max: 100,
    parameter: "chute_diameter",
    help: "Canopy laid flat",
  },
  afloat: { label: "Time afloat", quantity: "hours", min: 0, max: 48, parameter: "eqtime" },
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

export const PROFILE_NAMES: Record<Profile, string> = {
  standard: "Standard",
  zpb: "Zero-pressure",
  float: "Float",
  physical: "Gas balloon",
};

export type BalloonNumber = keyof Balloon & NumberName;
export const BALLOON_NUMBERS = Object.keys(DEFAULT_BALLOON).filter((name) => name in FIELDS) as BalloonNumber[];

/** What a balloon asks for, in the order of the flight. */
export function balloonFields({ profile, fillBy, descendBy }: Balloon): BalloonNumber[] {
  return {
    standard: ["asc", "burst", "desc"],
    zpb: ["asc", "float", "floatHours", "desc"],
    float: ["asc", "float", "floatHours"],
    physical: ["payload", fillBy, descendBy, "afloat"],
  }[profile] as BalloonNumber[];
}

/** Launches of one sweep at most: more would not be told apart on the map. */
export const MAX_LAUNCHES = 200;

/** The altitude that is asked for; null where the balloon finds its own. */
export function topField({ profile, fillBy }: Balloon): "burst" | "float" | null {
  if (profile === "physical") return fillBy === "burst" ? "burst" : null;
  return profile === "standard" ? "burst" : "float";
}

/** The balloon of what has more. */
export function balloonOf(from: Balloon): Balloon {
  const names = Object.keys(DEFAULT_BALLOON) as (keyof Balloon)[];
  return Object.fromEntries(names.map((name) => [name, from[name]])) as unknown as Balloon;
}

/** Launch times of the sweep, Unix seconds. */
export function launchTimes(plan: Plan): number[] {
  const every = plan.sweepMinutes * 60;
  const count = Math.floor((plan.sweepTo - plan.sweepFrom) / every + 1e-9) + 1;
  return Array.from({ length: Math.max(0, Math.min(count, MAX_LAUNCHES + 1)) }, (_, i) => plan.sweepFrom + i * every);
}
