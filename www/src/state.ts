// The plan that the form and the map both change.

import { wrap } from "./geo";
import { DEFAULT_PLAN, type Plan } from "./plan";
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
    remember(this.plan);
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

/** The plan that this browser had the last time. Times are left out: they have passed. */
export function remembered(): Partial<Plan> {
  const { time: _, sweepFrom: __, sweepTo: ___, ...kept } = stored<Partial<Plan>>("plan", {});
  const known = Object.entries(kept).filter(([name, value]) => {
    const sample = DEFAULT_PLAN[name as keyof Plan];
    return name in DEFAULT_PLAN && (sample === null || value === null || typeof sample === typeof value);
  });
  return Object.fromEntries(known) as Partial<Plan>;
}

function remember(plan: Plan): void {
  store("plan", plan);
}
