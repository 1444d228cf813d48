// What is wrong with a plan, in words, before anything is sent.

import {
  balloonFields,
  FIELDS,
  launchTimes,
  MAX_LAUNCHES,
  type NumberField,
  type NumberName,
  type Plan,
  topField,
} from "./plan";
import { formatAltitude, formatUtc, fromShown, inputText, readNumber, toShown, type Units, unitName } from "./units";

export type FieldName = NumberName | "time" | "sweepFrom" | "sweepTo";
export type Problems = Partial<Record<FieldName, string>>;

/** What the service and the ground say. */
export interface Surroundings {
  /** Unix seconds that the winds cover. */
  covers: { from: number; to: number } | null;
  /** Members of the cycle. */
  members: readonly number[];
  /** Ground elevation at the launch, m. */
  ground: number | null;
}

/** What a plan uses of its numbers: others may be wrong without harm. */
export function usedFields(plan: Plan): NumberName[] {
  const modes: Record<Plan["mode"], NumberName[]> = {
    single: ["model"],
    ensemble: ["perturbations", "seed"],
    sweep: ["model", "sweepMinutes"],
  };
  return ["lat", "lon", "alt", ...balloonFields(plan), "coeff", ...modes[plan.mode]];
}

/** What a plan uses besides numbers. */
export function usedChoices(plan: Plan): ("envelope" | "gas" | "fillBy" | "descendBy" | "air")[] {
  return plan.profile === "physical" ? ["envelope", "gas", "fillBy", "descendBy", "air"] : [];
}

/** Whether two plans are flown alike: what is drawn of them may differ. */
export function flownAlike(a: Plan, b: Plan): boolean {
  const times: (keyof Plan)[] = a.mode === "sweep" ? ["sweepFrom", "sweepTo"] : ["time"];
  const names: (keyof Plan)[] = ["mode", "profile", ...usedChoices(a), ...usedFields(a), ...times];
  return names.every((name) => a[name] === b[name]);
}

/** Why `value` cannot be `name`, with the value and the limits as they are shown; null where it can. */
export function outOfRange(name: NumberName, value: number, units: Units): string | null {
  return outOfLimits(FIELDS[name], value, units);
}

/** Why `value` (SI) cannot be in a field; null where it can. */
export function outOfLimits(field: NumberField, value: number, units: Units): string | null {
  const { label, quantity, min, max, whole } = field;
  const unit = unitName(quantity, units);
  const show = (number: number) => {
    const shown = toShown(number, quantity, units);
    const text = Math.abs(shown) < 0.1 ? shown.toPrecision(2) : shown.toFixed(Math.abs(shown) < 10 ? 2 : 0);
    return Number(text).toLocaleString("en");
  };
  const measured = (text: string) => (unit ? `${text} ${unit}` : text);
  if (!Number.isFinite(value)) return `${label} needs a number`;
  if (whole && !Number.isInteger(value)) return `${label} is ${value}, it must be a whole number`;
  if (value < min || value > max)
    return `${label} is ${measured(show(value))}, it must be ${measured(`${show(min)} to ${show(max)}`)}`;
  return null;
}

/** The limits of a field as they are shown: "0.1 to 20 m/s". */
export function rangeText({ quantity, min, max }: NumberField, units: Units): string {
  const show = (limit: number) => Number(inputText(limit, quantity, units)).toLocaleString("en");
  return `${show(min)} to ${show(max)} ${unitName(quantity, units)}`.trimEnd();
}

/** The number (SI) of a field that a text means; null for nothing, NaN for what is no number. */
export function readField(field: NumberField, text: string, units: Units): number | null {
  if (text.trim() === "") return null;
  const { quantity, min, max } = field;
  const unit = unitName(quantity, units);
  const bare = unit && text.trim().endsWith(unit) ? text.trim().slice(0, -unit.length) : text;
  const value = Number(fromShown(readNumber(bare, quantity === "altitude"), quantity, units).toFixed(6));
  const shown = (of: number) => inputText(of, quantity, units);
  // Who types a limit as it is shown means it: 164,039 ft are 49,999.09 m.
  return [min, max].find((limit) => shown(limit) === shown(value)) ?? value;
}

/** Everything wrong with `plan`, by field. */
export function problemsOf(plan: Plan, around: Surroundings, units: Units): Problems {
  const found: Problems = {};
  for (const name of usedFields(plan)) {
    const value = plan[name];
    const reason = value === null ? null : outOfRange(name, value, units);
    if (reason) found[name] = reason;
  }
  const start = Math.max(plan.alt ?? 0, around.ground ?? 0);
  const top = topField(plan);
  if (top && !found[top] && plan[top] < start) {
    found[top] =
      `${FIELDS[top].label} is ${formatAltitude(plan[top], units)}, below the launch at ${formatAltitude(start, units)}`;
  }
  if (plan.mode !== "ensemble" && around.members.length && !around.members.includes(plan.model)) {
    found.model = `Member ${plan.model} is not in this cycle`;
  }
  return plan.mode === "sweep"
    ? { ...found, ...sweepProblems(plan, around) }
    : { ...found, ...timeProblem(plan, around) };
}

function timeProblem(plan: Plan, { covers }: Surroundings): Problems {
  const reason = outsideCover("Launch", plan.time, covers);
  return reason ? { time: reason } : {};
}

function sweepProblems(plan: Plan, { covers }: Surroundings): Problems {
  const from = outsideCover("The first launch", plan.sweepFrom, covers);
  const to = outsideCover("The last launch", plan.sweepTo, covers);
  if (from || to) return { ...(from && { sweepFrom: from }), ...(to && { sweepTo: to }) };
  if (plan.sweepTo < plan.sweepFrom) return { sweepTo: "The last launch is before the first" };
  if (launchTimes(plan).length > MAX_LAUNCHES) {
    const count = Math.floor((plan.sweepTo - plan.sweepFrom) / plan.sweepMinutes / 60) + 1;
    return { sweepMinutes: `That is ${count.toLocaleString("en")} launches, at most ${MAX_LAUNCHES} fly at once` };
  }
  return {};
}

function outsideCover(what: string, time: number, covers: Surroundings["covers"]): string | null {
  if (!Number.isFinite(time)) return `${what} needs a date and a time`;
  if (!covers || (time >= covers.from && time <= covers.to)) return null;
  return `${what} is at ${formatUtc(time)}; the winds cover ${formatUtc(covers.from)} to ${formatUtc(covers.to)}`;
}
