// A plan in words.

import { formatCoordinates } from "./coordinates";
import { wrap } from "./geo";
import type { Plan } from "./plan";
import { formatAltitude, formatSpeed, type Units } from "./units";

/** What was flown, in a line. */
export function planText(plan: Plan, units: Units): string {
  const from = `From ${formatCoordinates({ lat: plan.lat, lon: wrap(plan.lon) }, "decimal")}`;
  const up = `${formatSpeed(plan.asc, units, "verticalSpeed")} up`;
  const down = `${formatSpeed(plan.desc, units, "verticalSpeed")} down`;
  const float = `float at ${formatAltitude(plan.float, units)} for ${plan.floatHours} h`;
  const balloon = {
    standard: [up, `burst at ${formatAltitude(plan.burst, units)}`, down],
    zpb: [up, float, down],
    float: [up, float],
  }[plan.profile];
  const drag = plan.coeff === 1 ? [] : [`${plan.coeff} of the wind`];
  return [from, ...balloon, ...drag].join(", ");
}
