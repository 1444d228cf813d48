import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { write } from "../src/export";
import { distance } from "../src/geo";
import {
  type Candidate,
  cutText,
  type Found,
  fileName,
  percentText,
  reachedText,
  scaleTop,
  shownTimes,
  takeawayOf,
} from "../src/missions/launches";
import {
  bodyOf,
  type Draft,
  disagreement,
  draftFrom,
  draftOf,
  gridOf,
  LIMITS,
  membersText,
  planOfLaunch,
  readMembers,
} from "../src/missions/searches";
import { DEFAULT_PLAN } from "../src/plan";

const CONTRACT = new URL("../openapi.json", import.meta.url);
const START = Date.parse("2026-11-21T19:00:00Z") / 1000;
const DRAFT: Draft = draftOf({ ...DEFAULT_PLAN, lat: 47, lon: 8 }, START, START + 3 * 86_400);
const GAS_BALLOON = {
  ...DRAFT.balloons[0]!,
  name: "Latex",
  profile: "physical" as const,
  envelope: "hwoyee-600",
  gas: "hydrogen" as const,
  payload: 0.75,
  fillBy: "lift" as const,
  lift: 8,
  descendBy: "chute" as const,
  chute: 1.2,
};

describe("the body of a search", () => {
  test("of a launch window has the window alone", () => {
    const body = bodyOf(DRAFT);
    expect(body.window).toEqual({ from: "2026-11-21T19:00:00Z", to: "2026-11-24T19:00:00Z", step_hours: 6 });
    expect(body).not.toHaveProperty("arrival");
    expect(body.hit).toBe("land");
    expect(body.target).toEqual({ lat: 47, lon: 8, radius: 10_000 });
    expect(body.balloons[0]).toMatchObject({ profile: "standard", equil: 30_000, eqtime: 0 });
  });

  test("of a time at the target has the arrival alone", () => {
    const body = bodyOf({ ...DRAFT, mission: "target_window", arrival: START + 86_400 });
    expect(body.arrival).toEqual({ time: "2026-11-22T19:00:00Z", days: 2, tolerance_minutes: 30, step_hours: 6 });
    expect(body).not.toHaveProperty("window");
    expect(body).not.toHaveProperty("hit");
  });

  test.each<[string, Partial<Draft>]>([
    ["a launch window", { hit: "pass", members: [0, 3], refine: false }],
    ["a target window", { mission: "target_window", arrival: START + 9000, days: 1.5, hit: "pass" }],
    ["a gas balloon", { balloons: [GAS_BALLOON, { ...DRAFT.balloons[0]!, name: "Steady" }] }],
    ["a height", { target: { ...DRAFT.target, lowest: 10_000, highest: 12_000 } }],
  ])("is read back: %s", (_, change) => {
    const draft = { ...DRAFT, ...change };
    const read = draftFrom(bodyOf(draft) as unknown as Record<string, unknown>)!;
    // A body has either the window or the arrival.
    const same = draft.mission === "launch_window" ? { arrival: 0, days: 0, toleranceMinutes: 0 } : { from: 0, to: 0 };
    expect({ ...read, ...same }).toEqual({ ...draft, ...same });
  });

  test("of a gas balloon has what fills it and what it comes down by", () => {
    expect(bodyOf({ ...DRAFT, balloons: [GAS_BALLOON] }).balloons[0]).toEqual({
      name: "Latex",
      profile: "physical",
      envelope: "hwoyee-600",
      lift_gas_type: "hydrogen",
      payload_mass: 0.75,
      free_lift: 8,
      chute_diameter: 1.2,
      eqtime: 0,
      coeff: 1,
    });
  });

  test("of nothing, and of a balloon of another kind, is not read", () => {
    const body = bodyOf(DRAFT);
    const balloons = [{ ...body.balloons[0], profile: "rocket" }];
    expect(draftFrom({ ...body, balloons } as unknown as Record<string, unknown>)).toBeNull();
    expect(draftFrom({})).toBeNull();
  });
});

describe("the fields of a search", () => {
  test("have the limits of the service", () => {
    if (!existsSync(CONTRACT)) throw new Error("www/openapi.json is absent: `npm run check` makes it from the service");
    const { schemas } = JSON.parse(readFileSync(CONTRACT, "utf8")).components;
    const limits = (schema: string, field: string) => {
      const { anyOf, ...own } = schemas[schema].properties[field];
      const { minimum, exclusiveMinimum, maximum } = { ...own, ...anyOf?.[0] };
      return [minimum ?? exclusiveMinimum, maximum];
    };
    const pairs: [keyof typeof LIMITS, string, string][] = [
      ["targetRadius", "SearchTarget", "radius"],
      ["lowest", "SearchTarget", "lowest"],
      ["highest", "SearchTarget", "highest"],
      ["areaRadius", "SearchPlaces", "radius"],
      ["spacing", "SearchPlaces", "spacing"],
      ["stepHours", "SearchWindow", "step_hours"],
      ["tolerance", "SearchArrival", "tolerance_minutes"],
    ];
    for (const [name, schema, field] of pairs) {
      expect([LIMITS[name].min, LIMITS[name].max], name).toEqual(limits(schema, field));
    }
    expect(LIMITS.days.max).toBe(limits("SearchArrival", "days")[1]);
  });

  test.each([
    ["all", "all"],
    ["", "all"],
    [" 0 ", [0]],
    ["5-7, 0;3", [0, 3, 5, 6, 7]],
    ["2 2 1", [1, 2]],
  ])("read members %j", (text, members) => {
    expect(readMembers(text)).toEqual(members);
    const again = membersText(members as "all" | number[]);
    expect(readMembers(again)).toEqual(members);
  });

  test.each(["x", "1.5", "-3", "7-5", "100"])("refuse members %j", (text) => {
    expect(readMembers(text)).toHaveProperty("error");
  });

  test("must agree with each other", () => {
    expect(disagreement(DRAFT)).toBeNull();
    const target = { ...DRAFT.target, lowest: 2, highest: 1 };
    expect(disagreement({ ...DRAFT, target })?.field).toBe("highest");
    expect(disagreement({ ...DRAFT, to: DRAFT.from })?.field).toBe("to");
    expect(disagreement({ ...DRAFT, to: DRAFT.from, mission: "target_window" })).toBeNull();
    const [balloon] = DRAFT.balloons;
    expect(disagreement({ ...DRAFT, balloons: [balloon!, balloon!] })).toMatchObject({ field: "balloon", index: 1 });
  });

  test("make as many places as the service counts", () => {
    // 317 and 49 are the answers of /api/v1/reverse/estimate.
    expect(gridOf({ ...DRAFT.area, radius: 100_000, spacing: 10_000, shape: "circle" }, 2000)).toHaveLength(317);
    expect(gridOf({ ...DRAFT.area, radius: 100_000, spacing: 25_000, shape: "circle" }, 2000)).toHaveLength(49);
    expect(gridOf({ ...DRAFT.area, radius: 30_000, spacing: 10_000, shape: "square" }, 2000)).toHaveLength(49);
    expect(gridOf({ ...DRAFT.area, radius: 0, spacing: 10_000, shape: "circle" }, 2000)).toHaveLength(1);
    expect(gridOf({ ...DRAFT.area, radius: 2e6, spacing: 10, shape: "square" }, 2000)).toEqual([]);
  });
});

const CANDIDATE: Candidate = {
  rank: 1,
  over_water: false,
  time: "2026-11-22T13:00:00Z",
  lat: 47.1,
  lon: 7.9,
  configuration: "=Balloon",
  probability: 0.19,
  score: 0.14,
  members: 21,
  hits: 4,
  member: 3,
  distance: 3000.5,
  hit_time: "2026-11-22T15:26:00Z",
  hit_lat: 47,
  hit_lon: 8,
  hit_altitude: 88.1,
};
const NEVER: Candidate = {
  ...CANDIDATE,
  rank: 2,
  distance: null,
  hit_time: null,
  hit_lat: null,
  hit_lon: null,
  hit_altitude: null,
};
const FOUND = { provenance: { cycle: "2026112118", product: "demo", demo: true }, warnings: [] } as unknown as Found;

describe("what is found", () => {
  test("is a table with a row for each launch", () => {
    const [head, first, second] = write(takeawayOf("A search", FOUND, [CANDIDATE, NEVER]), "csv").text.split("\r\n");
    expect(head).toBe(
      "name,datetime,latitude,longitude,rank,balloon,probability,score,members,hits,distance_m,hit_time," +
        "hit_latitude,hit_longitude,hit_altitude_m",
    );
    // A spreadsheet takes no balloon for a formula.
    expect(first).toBe(
      "Launch 1,2026-11-22T13:00:00Z,47.1,7.9,1,'=Balloon,0.19,0.14,21,4,3000.5,2026-11-22T15:26:00Z,47,8,88.1",
    );
    expect(second!.endsWith("21,4,,,,,")).toBe(true);
  });

  test("is a point for each launch in GeoJSON", () => {
    const { features } = JSON.parse(write(takeawayOf("A search", FOUND, [CANDIDATE]), "geojson").text);
    expect(features[0].geometry).toEqual({ type: "Point", coordinates: [7.9, 47.1] });
    expect(features[0].properties).toMatchObject({ rank: 1, probability: 0.19, hit_altitude_m: 88.1 });
  });

  test("is flown on the map with all members", () => {
    const balloon = { ...DRAFT.balloons[0]!, profile: "zpb" as const, float: 20_000, floatHours: 3 };
    const plan = planOfLaunch(DEFAULT_PLAN, CANDIDATE, balloon, DRAFT);
    expect(plan).toMatchObject({ lat: 47.1, lon: 7.9, mode: "ensemble", profile: "zpb", float: 20_000, floatHours: 3 });
    expect(plan.time).toBe(Date.parse(CANDIDATE.time) / 1000);
  });

  test("takes the target of landings along as a zone", () => {
    const zoneOf = (search: Draft) => planOfLaunch(DEFAULT_PLAN, CANDIDATE, DRAFT.balloons[0]!, search).zone;
    const target = { ...DRAFT.target, lat: 60, lon: 179.99, radius: 20_000 };
    const zone = zoneOf({ ...DRAFT, target });
    expect(zone).toHaveLength(32);
    for (const corner of zone) {
      expect(distance(corner, target)).toBeCloseTo(20_000, -1);
      expect(Math.abs(corner.lon)).toBeLessThanOrEqual(180);
    }
    expect(zoneOf({ ...DRAFT, hit: "pass" })).toEqual([]);
    expect(zoneOf({ ...DRAFT, mission: "target_window" })).toEqual([]);
  });

  test("shows the best of many launch times, in their order", () => {
    const times = [4, 1, 3, 2].map((rank) => ({ rank })) as Parameters<typeof shownTimes>[0];
    expect(shownTimes(times, 2).map(({ rank }) => rank)).toEqual([1, 2]);
    expect(shownTimes(times, 4)).toHaveLength(4);
  });

  test("has files with a name for each launch time", () => {
    expect(fileName("0123456789", null, false)).toBe("habsim-launches-01234567");
    expect(fileName("0123456789", "2026-11-22T06:00:00Z", true)).toBe("habsim-demo-launches-01234567-20261122T0600Z");
  });

  test("counts members that nobody could judge among those that do not reach the zone", () => {
    expect(reachedText({ hits: 4, members: 21 }, 21)).toBe("4 of 21 members reach the zone.");
    expect(reachedText({ hits: 1, members: 1 }, 21)).toBe("1 of 21 members reach the zone, 20 cannot be judged.");
  });

  test("says what is not shown", () => {
    const map = { features: [{}, {}], total: 2, cut: false };
    const whole = { cut: false, total: 3, reaching: 2, map } as unknown as Found;
    expect(cutText(whole)).toBeNull();
    expect(cutText({ ...whole, cut: true, total: 1000, reaching: 6345 })).toBe(
      "The best 1,000 of 6,345 launches that reach the zone are listed.",
    );
    expect(cutText({ ...whole, map: { ...whole.map, total: 31_000, cut: true } })).toBe(
      "The best 2 of 31,000 places are on the map.",
    );
  });

  test("has a scale that is filled, and percents that can be told apart", () => {
    expect([0, 0.1, 0.15, 0.4, 0.6, 1].map(scaleTop)).toEqual([0.1, 0.1, 0.2, 0.5, 1, 1]);
    expect([0, 0.0001, 0.048, 0.19, 1].map(percentText)).toEqual(["0 %", "<0.1 %", "4.8 %", "19 %", "100 %"]);
  });
});
