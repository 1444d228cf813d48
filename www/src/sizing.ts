// What a gas balloon does, as the service sizes it, in words.

import type { ApiError, Values } from "./api";
import { type Balloon, FIELDS, type Fill } from "./plan";
import type { components } from "./schema";
import { formatAltitude, formatAmount, formatDuration, formatSpeed, type Units } from "./units";

export type Specs = components["schemas"]["BalloonSpecs"];
/** Numbers of which one says how much gas is filled in, by the names of the calculator. */
export type Wish = "ascent_rate" | "burst_altitude" | "volume" | "free_lift";

export const WISHES: Record<Fill, Wish> = {
  asc: "ascent_rate",
  burst: "burst_altitude",
  volume: "volume",
  lift: "free_lift",
};
const GRAVITY = 9.80665;

/** The question for a balloon that is filled at `altitude` m. */
export function sizingBody(balloon: Balloon, altitude: number): Values {
  const { envelope, gas, payload, fillBy, descendBy, chute } = balloon;
  return {
    envelope,
    lift_gas_type: gas,
    payload_mass: payload,
    [WISHES[fillBy]]: balloon[fillBy],
    launch_altitude: altitude,
    ...(descendBy === "chute" && { chute_diameter: chute }),
  };
}

/** What it does, in a few sentences. */
export function sizingText(specs: Specs, balloon: Balloon, units: Units): string {
  const { burst_altitude, float_altitude, descent_rate } = specs;
  const speed = (rate: number) => formatSpeed(rate, units, "verticalSpeed");
  const top = formatAltitude(burst_altitude ?? float_altitude!, units);
  const after = formatDuration(specs.ascent_seconds);
  return [
    `Climbs at ${speed(specs.ascent_rate)} at the launch and ${speed(specs.mean_ascent_rate)} on average.`,
    `${burst_altitude === null ? "Floats" : "Bursts"} at ${top}, after ${after}.`,
    `Takes ${fillingText(specs, balloon, units)}.`,
    ...(descent_rate === null ? [] : [`Comes down at ${speed(descent_rate)}.`]),
  ].join(" ");
}

/** How much gas it takes, and how to tell when it is in. */
export function fillingText({ volume, neck_lift, cylinders }: Specs, { gas }: Balloon, units: Units): string {
  const count = `${cylinders.count} ${cylinders.count === 1 ? "cylinder" : "cylinders"} (${cylinders.name})`;
  const lift = formatAmount(neck_lift / GRAVITY, "mass", units);
  return `${formatAmount(volume, "volume", units)} of ${gas}, ${count}: fill it until the neck lifts ${lift}`;
}

/** Why what can be sized cannot be flown, and the field that this is for; null where it can. */
export function notFlown(
  { burst_altitude, float_altitude }: Specs,
  { fillBy }: Balloon,
  units: Units,
): { name: "payload" | Fill; reason: string } | null {
  const top = burst_altitude ?? float_altitude!;
  const highest = FIELDS.burst.max;
  if (top <= highest) return null;
  const [name, verb] = burst_altitude === null ? (["payload", "Floats"] as const) : ([fillBy, "Bursts"] as const);
  const limit = formatAltitude(highest, units);
  return { name, reason: `${verb} at ${formatAltitude(top, units)}, flights go up to ${limit}` };
}

/** The field that a refusal belongs to. */
export function refusedField(error: ApiError, { fillBy }: Balloon): "envelope" | "payload" | "chute" | "alt" | Fill {
  const { envelope, payload_mass, chute_diameter, launch_altitude } = error.parameters;
  if (envelope) return "envelope";
  if (payload_mass) return "payload";
  if (chute_diameter) return "chute";
  return launch_altitude ? "alt" : fillBy;
}
