// A plan in words.

import { formatCoordinates } from "./coordinates";
import { wrap } from "./geo";
import type { Balloon, Plan } from "./plan";
import { formatAltitude, formatAmount, formatSpeed, type Units } from "./units";

/** What was flown, in a line. */
export function planText(plan: Plan, units: Units): string {
  const from = `From ${formatCoordinates({ lat: plan.lat, lon: wrap(plan.lon) }, "decimal")}`;
  const air = plan.profile === "physical" && plan.air === "model" ? ["through the air of the forecast"] : [];
  const drag = plan.coeff === 1 ? [] : [`${plan.coeff} of the wind`];
  return [from, balloonText(plan, units), ...air, ...drag].join(", ");
}

/** A balloon, in a part of a line. */
export function balloonText(balloon: Balloon, units: Units): string {
  const rate = formatSpeed(balloon.asc, units, "verticalSpeed");
  const up = `${rate} up`;
  const down = `${formatSpeed(balloon.desc, units, "verticalSpeed")} down`;
  const burst = `burst at ${formatAltitude(balloon.burst, units)}`;
  const float = `float at ${formatAltitude(balloon.float, units)} for ${balloon.floatHours} h`;
  const { envelope, gas, payload, fillBy, descendBy, chute, afloat } = balloon;
  const fill = {
    asc: `to climb at ${rate} at the launch`,
    burst: `to ${burst}`,
    volume: `with ${formatAmount(balloon.volume, "volume", units)}`,
    lift: `to a free lift of ${balloon.lift} N`,
  }[fillBy];
  return {
    standard: [up, burst, down],
    zpb: [up, float, down],
    float: [up, float],
    physical: [
      `${envelope} with a payload of ${formatAmount(payload, "mass", units)}`,
      `${gas} ${fill}`,
      ...(afloat ? [`${afloat} h afloat`] : []),
      descendBy === "desc" ? down : `parachute of ${chute} m`,
    ],
  }[balloon.profile].join(", ");
}
