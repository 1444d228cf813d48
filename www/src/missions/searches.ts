// A search for launches as its form holds it, and as the service takes it.

import { balloonValues } from "../api";
import { ellipseOutline, wrap } from "../geo";
import { type Balloon, balloonOf, type NumberField, type Plan, type Position } from "../plan";
import type { components } from "../schema";
import { balloonFrom } from "./configs";

export type SearchBody = components["schemas"]["ReversePlanBody"];

export type Mission = SearchBody["mission"];
export type Hit = "pass" | "land";
export type Shape = "circle" | "square";

/** A balloon that could be launched. */
export interface BalloonDraft extends Balloon {
  name: string;
}

/** SI units, degrees, Unix seconds. */
export interface Draft {
  target: Position & { radius: number; lowest: number | null; highest: number | null };
  area: Position & { radius: number; spacing: number; shape: Shape };
  mission: Mission;
  hit: Hit;
  from: number;
  to: number;
  stepHours: number;
  arrival: number;
  days: number;
  toleranceMinutes: number;
  balloons: BalloonDraft[];
  members: "all" | number[];
  refine: boolean;
}

const DAY = 86_400;
const WIDEST = 2_000_000;
const HIGHEST = 50_000;
export const MOST_BALLOONS = 20;
/** Of a circle in a link: a polygon of 32 corners lacks 0.6 % of its area. */
const ZONE_CORNERS = 32;

/** Limits of the service, which a test compares. */
export const LIMITS = {
  targetRadius: { label: "Radius", quantity: "distance", min: 1, max: WIDEST, help: "Of the zone" },
  lowest: { label: "Lowest", quantity: "altitude", min: -500, max: HIGHEST },
  highest: { label: "Highest", quantity: "altitude", min: -500, max: HIGHEST },
  areaRadius: { label: "Radius", quantity: "distance", min: 0, max: WIDEST, help: "Or half the side" },
  spacing: { label: "Spacing", quantity: "distance", min: 10, max: WIDEST, help: "Between places" },
  stepHours: { label: "Every", quantity: "hours", min: 0.05, max: 168 },
  days: { label: "Days before it", quantity: "plain", min: 0.01, max: 30 },
  tolerance: { label: "Tolerance", quantity: "minutes", min: 0, max: 1440 },
} satisfies Record<string, NumberField>;

/** A search to begin with: towards the launch of a plan, from all round it. */
export function draftOf(plan: Plan, from: number, to: number): Draft {
  const { lat, lon } = plan;
  return {
    target: { lat, lon, radius: 10_000, lowest: null, highest: null },
    area: { lat, lon, radius: 100_000, spacing: 10_000, shape: "circle" },
    mission: "launch_window",
    hit: "land",
    from,
    to,
    stepHours: 6,
    arrival: to,
    days: 2,
    toleranceMinutes: 30,
    balloons: [{ ...balloonOf(plan), name: "Balloon" }],
    members: "all",
    refine: true,
  };
}

/** What the service is sent; without a name, which comes when it is submitted. */
export function bodyOf(draft: Draft): SearchBody {
  const { target, area, mission, hit, stepHours, members, refine } = draft;
  const { lowest, highest, ...zone } = target;
  return {
    target: { ...zone, ...(lowest !== null && { lowest }), ...(highest !== null && { highest }) },
    area,
    mission,
    ...(mission === "launch_window"
      ? { hit, window: { from: rfc3339(draft.from), to: rfc3339(draft.to), step_hours: stepHours } }
      : {
          arrival: {
            time: rfc3339(draft.arrival),
            days: draft.days,
            tolerance_minutes: draft.toleranceMinutes,
            step_hours: stepHours,
          },
        }),
    balloons: draft.balloons.map((balloon) => ({ name: balloon.name, ...balloonValues(balloon) })),
    members,
    refine,
  } as SearchBody;
}

function rfc3339(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString().replace(".000Z", "Z");
}

/** The search of a config that is kept; null for one that the form cannot hold. */
export function draftFrom(config: Record<string, unknown>): Draft | null {
  const body = config as unknown as SearchBody;
  const { target, area, mission, window, arrival } = body;
  if (!target || !area || !(window || arrival)) return null;
  const balloons: BalloonDraft[] = [];
  for (const kept of body.balloons ?? []) {
    const balloon = balloonFrom(kept as unknown as Record<string, unknown>);
    if (!balloon) return null;
    balloons.push({ ...balloon, name: kept.name });
  }
  const seconds = (text: string) => Date.parse(text) / 1000;
  const to = window ? seconds(window.to) : seconds(arrival!.time);
  return {
    target: {
      lat: target.lat,
      lon: target.lon,
      radius: target.radius,
      lowest: target.lowest ?? null,
      highest: target.highest ?? null,
    },
    area: { lat: area.lat, lon: area.lon, radius: area.radius, spacing: area.spacing, shape: area.shape ?? "circle" },
    mission,
    hit: body.hit ?? "pass",
    from: window ? seconds(window.from) : to - (arrival!.days ?? 1) * DAY,
    to,
    stepHours: (window ?? arrival)!.step_hours ?? 6,
    arrival: to,
    days: arrival?.days ?? 2,
    toleranceMinutes: arrival?.tolerance_minutes ?? 0,
    balloons,
    members: Array.isArray(body.members) ? (body.members as number[]) : "all",
    refine: body.refine ?? true,
  };
}

/** The outline of a target. A flight through it need not land in it: only a search for landings makes it a zone. */
function landingZone({ target, mission, hit }: Draft): Position[] {
  if (mission !== "launch_window" || hit !== "land") return [];
  const { radius } = target;
  return ellipseOutline(target, radius, radius, 0, ZONE_CORNERS).map(({ lat, lon }) => ({
    lat: Number(lat.toFixed(5)),
    lon: Number(wrap(lon).toFixed(5)),
  }));
}

/** The plan of a launch that `search` has found, to fly it with all members. */
export function planOfLaunch(
  start: Plan,
  launch: { time: string; lat: number; lon: number },
  balloon: BalloonDraft,
  search: Draft,
): Plan {
  return {
    ...start,
    ...balloonOf(balloon),
    lat: launch.lat,
    lon: launch.lon,
    alt: null,
    time: Date.parse(launch.time) / 1000,
    mode: "ensemble",
    zone: landingZone(search),
  };
}

/** Members as people write them: "all", "0", "0, 3, 5-8"; or what is wrong. */
export function readMembers(text: string): "all" | number[] | { error: string } {
  const plain = text.trim().toLowerCase();
  if (!plain || plain === "all") return "all";
  const found = new Set<number>();
  for (const part of plain.split(/[,;\s]+/).filter(Boolean)) {
    const [, first, last] = /^(\d{1,2})(?:[-–](\d{1,2}))?$/.exec(part) ?? [];
    if (first === undefined) return { error: `"${part.slice(0, 20)}" is no member: write all, or such as 0, 3, 5-8` };
    const [from, to] = [Number(first), Number(last ?? first)];
    if (to < from) return { error: `${part} goes backwards` };
    for (let member = from; member <= to; member++) found.add(member);
  }
  return [...found].sort((a, b) => a - b);
}

export function membersText(members: "all" | number[]): string {
  return members === "all" ? "all" : members.join(", ");
}

/** What is wrong with a search that no field alone can tell. */
export function disagreement(
  draft: Draft,
): { field: "highest" | "to" | "balloon"; reason: string; index?: number } | null {
  const { target, mission, from, to, balloons } = draft;
  if (target.lowest !== null && target.highest !== null && target.lowest > target.highest) {
    return { field: "highest", reason: "The highest altitude is below the lowest" };
  }
  if (mission === "launch_window" && to <= from) return { field: "to", reason: "The last launch is before the first" };
  const names = balloons.map(({ name }) => name);
  const index = names.findIndex((name, i) => names.indexOf(name) < i);
  if (index >= 0) return { field: "balloon", index, reason: "Another balloon has this name" };
  return null;
}

/** Launch places as the service counts them, up to `most`: metres east and north of the middle. */
export function gridOf({ radius, spacing, shape }: Draft["area"], most: number): [east: number, north: number][] {
  const reach = (radius / spacing) * (1 + 1e-9);
  const half = Math.floor(reach);
  if ((2 * half + 1) ** 2 > 1.5 * most) return [];
  const found: [number, number][] = [];
  for (let north = -half; north <= half; north++) {
    for (let east = -half; east <= half; east++) {
      if (shape === "square" || Math.hypot(east, north) <= reach) found.push([east * spacing, north * spacing]);
    }
  }
  return found.length > most ? [] : found;
}
