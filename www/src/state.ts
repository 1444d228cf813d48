// The plan that the form and the map both change.

import { wrap } from "./geo";
import { DEFAULT_PLAN, type Plan } from "./plan";
import { decodePlan, encodePlan } from "./share";
import { store, stored } from "./stored";

type Listener = (changed: ReadonlySet<keyof Plan>) => void;

export class PlanState {
  plan: Plan;
  readonly #listeners: Listener[] = [];

  constructor(plan: Plan) {
    this.plan = { ...plan, ...onOneWorld(plan) };
  }

  onChange(listener: Listener): void {
    this.#listeners.push(listener);
  }

  change(part: Partial<Plan>): void {
    const changed = new Set<keyof Plan>();
    part = { ...part, ...onOneWorld(part) };
    for (const name of Object.keys(part) as (keyof Plan)[]) {
      if (JSON.stringify(part[name]) !== JSON.stringify(this.plan[name])) changed.add(name);
    }
    if (!changed.size) return;
    this.plan = { ...this.plan, ...part };
    remember(part);
    for (const listener of this.#listeners) listener(changed);
  }
}

/** Longitudes are -180..180 from here on, whichever way they were given: what is drawn near them agrees. */
function onOneWorld({ lon, target, zone }: Partial<Plan>): Partial<Plan> {
  return {
    ...(lon !== undefined && { lon: wrap(lon) }),
    ...(target && { target: { ...target, lon: wrap(target.lon) } }),
    ...(zone && { zone: zone.map((corner) => ({ ...corner, lon: wrap(corner.lon) })) }),
  };
}

/** Kept with the link that shows them only. */
const ONE_TIME: (keyof Plan)[] = ["time", "sweepFrom", "sweepTo", "zone", "target"];

/** The plan that this browser had the last time, without what has passed or was drawn for it. */
export function remembered(): Partial<Plan> {
  const text = stored<string>("plan", (value) => typeof value === "string", "");
  const { plan } = decodePlan(text);
  return without(plan, ONE_TIME);
}

/** What the user has changed is kept; the rest of a plan may be that of somebody's link. */
function remember(changed: Partial<Plan>): void {
  const kept = without(changed, ONE_TIME);
  if (Object.keys(kept).length) store("plan", encodePlan({ ...DEFAULT_PLAN, ...remembered(), ...kept }, null));
}

function without(plan: Partial<Plan>, names: readonly (keyof Plan)[]): Partial<Plan> {
  return Object.fromEntries(Object.entries(plan).filter(([name]) => !names.includes(name as keyof Plan)));
}
