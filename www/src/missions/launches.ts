// What a search has found, as files and in words.

import type { Takeaway } from "../export";
import type { components } from "../schema";

type Schemas = components["schemas"];
export type Found = Schemas["SearchResults"];
export type Launch = Schemas["BestLaunch"];
export type Candidate = Schemas["LaunchCandidate"];
export type LaunchTime = Schemas["SearchLaunchTime"];

/** Launches as places of a file. */
export function takeawayOf(title: string, found: Found, candidates: Candidate[]): Takeaway {
  const { cycle, product, demo } = found.provenance;
  return {
    title,
    cycle,
    product,
    demo,
    notes: found.warnings,
    tracks: [],
    areas: [],
    spots: candidates.map((one) => ({
      name: `Launch ${one.rank}`,
      lat: one.lat,
      lon: one.lon,
      time: Date.parse(one.time) / 1000,
      properties: {
        rank: one.rank,
        balloon: one.configuration,
        probability: one.probability,
        score: one.score,
        members: one.members,
        hits: one.hits,
        ...known({
          distance_m: one.distance,
          hit_time: one.hit_time,
          hit_latitude: one.hit_lat,
          hit_longitude: one.hit_lon,
          hit_altitude_m: one.hit_altitude,
        }),
      },
    })),
  };
}

/** The name of a file of launches: of a search, or of one `time` of it. */
export function fileName(id: string, time: string | null, demo: boolean): string {
  const at = time === null ? "" : `-${time.slice(0, 16).replace(/[-:]/g, "")}Z`;
  return `habsim-${demo ? "demo-" : ""}launches-${id.slice(0, 8)}${at}`;
}

function known(values: Record<string, string | number | null>): Record<string, string | number> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)) as Record<
    string,
    string | number
  >;
}

/** How many of all members reach the zone; those that nobody could judge do not count as reaching it. */
export function reachedText({ hits, members }: Pick<Launch, "hits" | "members">, all: number): string {
  const unknown = all - members;
  return `${hits} of ${all} members reach the zone${unknown > 0 ? `, ${unknown} cannot be judged` : ""}.`;
}

/** What is not shown of what was found, or null. */
export function cutText({ cut, total, reaching, map }: Found): string | null {
  const count = (number: number) => number.toLocaleString("en");
  const parts = [
    ...(cut ? [`the best ${count(total)} of ${count(reaching)} launches that reach the zone are listed`] : []),
    ...(map.cut ? [`the best ${count(map.features.length)} of ${count(map.total)} places are on the map`] : []),
  ];
  const text = parts.join("; ");
  return text ? `${text[0]!.toUpperCase()}${text.slice(1)}.` : null;
}

/** The launch times to show, in the order of time: the best where there are more than `most`. */
export function shownTimes(times: LaunchTime[], most: number): LaunchTime[] {
  return times.length <= most ? times : times.filter(({ rank }) => rank <= most);
}

/** The end of a scale that probabilities fill well: 10, 20, 50 or 100 %. */
export function scaleTop(highest: number): number {
  return [0.1, 0.2, 0.5, 1].find((top) => highest <= top) ?? 1;
}

/** Probabilities with decimals where whole percents would tell nothing apart. */
export function percentText(share: number): string {
  if (share > 0 && share < 0.001) return "<0.1 %";
  const percent = share * 100;
  return `${percent > 0 && percent < 9.95 ? percent.toFixed(1) : Math.round(percent)} %`;
}
