// A plan as the part of a link after "#", for people to read and to send.
import { usedChoices, usedFields } from "./checks";
import { wrap } from "./geo";
import {
  AIRS,
  DEFAULT_PLAN,
  DESCENTS,
  FIELDS,
  FILLS,
  GASES,
  LAYERS,
  MODES,
  type NumberName,
  type Plan,
  type Position,
  PROFILES,
} from "./plan";
import { unitName } from "./units";

export interface Shared {
  plan: Partial<Plan>;
  /** The cycle that the plan was flown on, YYYYMMDDHH. */
  cycle: string | null;
  /** What the link holds and cannot be taken, in words. */
  problems: string[];
}

/** Corners that the zone of a link has at most. */
export const MAX_CORNERS = 200;

const LATEST = 1e11;
/** Which envelopes there are is known to the service. */
const ENVELOPE = /^[a-z0-9-]{1,32}$/;

/** The key in a link of each number of a plan. */
const KEYS: Record<NumberName, string> = {
  lat: "lat",
  lon: "lon",
  alt: "alt",
  asc: "asc",
  desc: "desc",
  burst: "burst",
  float: "float",
  floatHours: "hours",
  coeff: "coeff",
  model: "member",
  perturbations: "n",
  seed: "seed",
  sweepMinutes: "every",
  payload: "payload",
  volume: "volume",
  lift: "lift",
  chute: "chute",
  afloat: "afloat",
};
const NUMBERS = Object.entries(KEYS) as [NumberName, string][];
const TIMES = [
  ["time", "at", "Launch time"],
  ["sweepFrom", "from", "First launch"],
  ["sweepTo", "to", "Last launch"],
] as const;
const CHOICES = [
  ["profile", "profile", "Profile", PROFILES],
  ["mode", "run", "Run", MODES],
  ["gas", "gas", "Gas", GASES],
  ["fillBy", "fill", "Filled for", FILLS],
  ["descendBy", "down", "Comes down by", DESCENTS],
  ["air", "air", "Air", AIRS],
] as const;

/** A plan, and the cycle it was flown on, as the part of a link after "#". */
export function encodePlan(plan: Plan, cycle: string | null): string {
  const parts: string[] = [];
  const put = (key: string, value: string | null, usual: string | null = null) => {
    if (value !== null && value !== usual) parts.push(`${key}=${value}`);
  };
  const { lat, lon } = plan;
  put("lat", degrees(lat));
  put("lon", degrees(inLimits(lon)));
  put("at", written(plan.time));
  // What is flown is written in full: a link outlives what is usual today.
  const flown = new Set<keyof Plan>(["profile", "mode", ...usedChoices(plan), ...usedFields(plan)]);
  flown.delete("coeff");
  for (const [name, key] of [...CHOICES, ["envelope", "envelope"]] as const) {
    put(key, plan[name], flown.has(name) ? null : DEFAULT_PLAN[name]);
  }
  for (const [name, key] of NUMBERS.slice(2)) {
    put(key, decimal(plan[name]), flown.has(name) ? null : decimal(DEFAULT_PLAN[name]));
  }
  const isSweep = plan.mode === "sweep";
  for (const [name, key] of TIMES.slice(1)) put(key, isSweep ? written(plan[name]) : null);
  put("target", plan.target && corner(plan.target));
  put("zone", plan.zone.map(corner).join("_"), "");
  put("hide", plan.hidden.join(), "");
  put("cycle", cycle);
  return parts.join("&");
}

/** 7 decimals, of a degree a centimetre, are more than the API resolves; never in the form 1e-7. */
function decimal(value: number | null): string | null {
  return value === null ? null : value.toFixed(7).replace(/\.?0+$/, "");
}

function degrees(value: number): string {
  return decimal(value)!;
}

/** A longitude that the link may hold: the map goes round the Earth more than once. */
function inLimits(lon: number): number {
  return lon >= FIELDS.lon.min && lon <= FIELDS.lon.max ? lon : wrap(lon);
}

function corner({ lat, lon }: Position): string {
  return `${degrees(lat)},${degrees(inLimits(lon))}`;
}

/** Unix seconds as 2026-11-21T12:00Z, with seconds only when there are any; null for no time. */
function written(unixSeconds: number): string | null {
  const date = new Date(Math.round(unixSeconds * 1000));
  return Number.isNaN(date.getTime()) ? null : date.toISOString().replace(/(:00)?\.000Z$/, "Z");
}

/** What a link holds: each value that cannot be taken is left out and named. Never throws. */
export function decodePlan(hash: string): Shared {
  const shared: Shared = { plan: {}, cycle: null, problems: [] };
  const { plan, problems } = shared;
  const values = new URLSearchParams(hash.replace(/^[#?]/, "").replaceAll("&amp;", "&"));
  /** Gives the value of a key to `read`, which returns what is wrong with it. */
  const take = (key: string, read: (text: string) => string | undefined) => {
    const [text, ...more] = values.getAll(key);
    if (text === undefined) return;
    const problem = more.length ? `${key} stands more than once in the link` : read(text);
    if (problem) problems.push(problem);
  };

  for (const [name, key] of NUMBERS) {
    take(key, (text) => {
      const value = readNumber(text, name);
      if (typeof value === "string") return value;
      plan[name] = value;
    });
  }
  for (const [name, key, label] of TIMES) {
    take(key, (text) => {
      const time = readTime(text);
      if (time === null) return `${label} is ${quoted(text)}, it must be a time such as 2026-11-21T12:00Z`;
      plan[name] = time;
    });
  }
  for (const [name, key, label, choices] of CHOICES) {
    take(key, (text) => {
      const choice = choices.find((choice) => choice === text);
      if (!choice) return `${label} is ${quoted(text)}, it must be one of ${choices.join(", ")}`;
      Object.assign(plan, { [name]: choice });
    });
  }
  take("envelope", (text) => {
    if (!ENVELOPE.test(text)) return `Envelope is ${quoted(text)}, it must be a name such as kaymont-1200`;
    plan.envelope = text;
  });
  take("target", (text) => {
    const target = readCorner(text);
    if (typeof target === "string") return `Target: ${target}`;
    plan.target = target;
  });
  take("zone", (text) => {
    // Without one of its corners a zone would be another: all or none.
    const corners = text.split("_", MAX_CORNERS + 1).map(readCorner);
    if (corners.length > MAX_CORNERS) return `Zone has more than ${MAX_CORNERS} corners`;
    const problem = corners.find((corner) => typeof corner === "string");
    if (problem) return `Zone: ${problem}`;
    plan.zone = corners as Position[];
  });
  take("hide", (text) => {
    const names = text.split(",", LAYERS.length + 1);
    plan.hidden = LAYERS.filter((layer) => names.includes(layer));
    const unknown = names.find((name) => !LAYERS.some((layer) => layer === name));
    if (unknown !== undefined) return `Hidden layer is ${quoted(unknown)}, it must be one of ${LAYERS.join(", ")}`;
  });
  take("cycle", (text) => {
    if (!/^\d{10}$/.test(text)) return `Cycle is ${quoted(text)}, it must be a time such as 2026112106`;
    shared.cycle = text;
  });
  return shared;
}

/** The number of a field, or what is wrong with it. */
function readNumber(text: string, name: NumberName): number | string {
  const { label, quantity, min, max, whole } = FIELDS[name];
  // + 0 turns -0 into 0.
  const value = /^-?\d{1,20}(\.\d{0,20})?$/.test(text) ? Number(text) + 0 : Number.NaN;
  if (value >= min && value <= max && !(whole && !Number.isInteger(value))) return value;
  const unit = ` ${unitName(quantity, "metric")}`.trimEnd();
  const kind = Number.isNaN(value) ? "a number " : whole ? "whole, " : "";
  return `${label} is ${quoted(text)}${Number.isNaN(value) ? "" : unit}, it must be ${kind}${min}..${max}${unit}`;
}

/** Unix seconds, or null for no time since 1970 that the API takes. */
function readTime(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z$/.test(text)) return null;
  const time = Date.parse(text) / 1000;
  // Browsers differ in whether 30 February is no day or 2 March.
  return time >= 0 && time <= LATEST && written(time)!.startsWith(text.slice(0, 16)) ? time : null;
}

function readCorner(text: string): Position | string {
  const numbers = text.split(",", 3);
  if (numbers.length !== 2) return `${quoted(text)} is not a latitude, a comma and a longitude`;
  const [lat, lon] = [readNumber(numbers[0]!, "lat"), readNumber(numbers[1]!, "lon")];
  if (typeof lat === "string") return lat;
  return typeof lon === "string" ? lon : { lat, lon };
}

/** A value of a link in a message, cut where it would fill the page. */
function quoted(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text || "empty";
}
