import { describe, expect, test } from "vitest";
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
  PROFILES,
} from "../src/plan";
import { decodePlan, encodePlan } from "../src/share";

// 2026-11-21 12:00 UTC, by `date -u -d 2026-11-21T12:00 +%s`.
const NOON = 1795262400;
const PLAN: Plan = { ...DEFAULT_PLAN, time: NOON };

/** mulberry32: the same numbers, 0 to below 1, in each run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Any plan within the limits, in the steps that the API resolves; each field is the usual one now and then. */
function anyPlan(random: () => number): Plan {
  const rounded = (value: number, places: number) => Number(value.toFixed(places)) + 0;
  const pick = <T>(...choices: T[]): T => choices[Math.floor(random() * choices.length)]!;
  const number = (name: NumberName) => {
    const { min, max, whole, quantity } = FIELDS[name];
    const value = pick(min, max, min + random() * (max - min));
    return whole ? Math.round(value) : Math.max(min, rounded(value, quantity === "altitude" ? 2 : 7));
  };
  const position = () => ({ lat: number("lat"), lon: number("lon") });
  const time = () => pick(0, NOON, rounded(random() * 4e9, 0), rounded(random() * 4e9, 3), 1e11);
  const corners = pick(0, 1, 3, 7, 200);
  const full: Plan = {
    lat: number("lat"),
    lon: number("lon"),
    alt: pick(null, number("alt")),
    time: time(),
    profile: pick(...PROFILES),
    asc: number("asc"),
    desc: number("desc"),
    burst: number("burst"),
    float: number("float"),
    floatHours: number("floatHours"),
    coeff: number("coeff"),
    envelope: pick("kaymont-1200", "hwoyee-100", "-", "0123456789-abcdefghijklmnopqrstu"),
    gas: pick(...GASES),
    payload: number("payload"),
    fillBy: pick(...FILLS),
    volume: number("volume"),
    lift: number("lift"),
    descendBy: pick(...DESCENTS),
    chute: number("chute"),
    afloat: number("afloat"),
    air: pick(...AIRS),
    mode: pick(...MODES),
    model: number("model"),
    perturbations: number("perturbations"),
    seed: pick(null, number("seed")),
    sweepFrom: time(),
    sweepTo: time(),
    sweepMinutes: number("sweepMinutes"),
    target: pick(null, position()),
    zone: Array.from({ length: corners }, position),
    hidden: LAYERS.filter(() => random() < 0.3),
  };
  const usual = Object.fromEntries(Object.entries(DEFAULT_PLAN).filter(() => random() < 0.4));
  return { ...full, ...usual };
}

describe("a link", () => {
  test("reads as what it says: all that is flown, and of the rest what is not usual", () => {
    expect(encodePlan(PLAN, null)).toBe(
      "lat=37.3553&lon=-121.8763&at=2026-11-21T12:00Z&profile=standard&run=single&asc=5&desc=5&burst=30000&member=0",
    );
    const plan: Plan = {
      ...PLAN,
      alt: 24,
      time: NOON + 30,
      profile: "zpb",
      mode: "ensemble",
      float: 18000.5,
      floatHours: 1.5,
      perturbations: 5,
      seed: 2 ** 53 - 1,
      target: { lat: -0.0000001, lon: 10 },
      zone: [
        { lat: 37.1, lon: -121.5 },
        { lat: 37.2, lon: -121 },
        { lat: 38, lon: 190 },
      ],
      hidden: ["paths", "heat"],
    };
    expect(encodePlan(plan, "2026112106")).toBe(
      "lat=37.3553&lon=-121.8763&at=2026-11-21T12:00:30Z&profile=zpb&run=ensemble&alt=24&asc=5&desc=5&float=18000.5" +
        "&hours=1.5&n=5&seed=9007199254740991&target=-0.0000001,10&zone=37.1,-121.5_37.2,-121_38,190&hide=paths,heat&cycle=2026112106",
    );
  });

  test("of a gas balloon has all of it, and nothing that another fill would need", () => {
    const plan: Plan = {
      ...PLAN,
      profile: "physical",
      fillBy: "volume",
      volume: 4.5,
      descendBy: "chute",
      air: "model",
    };
    expect(encodePlan(plan, null)).toBe(
      "lat=37.3553&lon=-121.8763&at=2026-11-21T12:00Z&profile=physical&run=single&gas=helium&fill=volume&down=chute" +
        "&air=model&envelope=kaymont-1200&member=0&payload=1&volume=4.5&chute=1&afloat=0",
    );
  });

  test("gives back every field of any plan", () => {
    const random = generator(20261121);
    for (let i = 0; i < 2000; i++) {
      const plan = anyPlan(random);
      const cycle = random() < 0.5 ? null : "2026112106";
      const link = encodePlan(plan, cycle);
      const back = decodePlan(`#${link}`);
      expect(back.problems).toEqual([]);
      const { sweepFrom, sweepTo } = plan.mode === "sweep" ? plan : DEFAULT_PLAN;
      expect({ ...DEFAULT_PLAN, ...back.plan }).toEqual({ ...plan, sweepFrom, sweepTo });
      expect(back.cycle).toBe(cycle);
      // As messengers send it on.
      expect(
        decodePlan(encodeURI(link).replaceAll(":", "%3A").replaceAll(",", "%2C").replaceAll("&", "&amp;")),
      ).toEqual(back);
    }
  });

  test("brings longitudes of a map that went round the Earth back to within the limits", () => {
    const round = { ...PLAN, lon: 540.5, target: { lat: 1, lon: -190 }, zone: [{ lat: 2, lon: 725 }] };
    expect(decodePlan(encodePlan(round, null))).toMatchObject({
      plan: { lon: -179.5, target: { lat: 1, lon: 170 }, zone: [{ lat: 2, lon: 5 }] },
      problems: [],
    });
  });

  test("has no minus nothing", () => {
    expect(decodePlan("lat=-0&target=-0,-0").plan).toEqual({ lat: 0, target: { lat: 0, lon: 0 } });
  });

  test("of nothing is nothing", () => {
    for (const hash of ["", "#", "?", "#&&=&", "unknown=1&__proto__=2"]) {
      expect(decodePlan(hash)).toEqual({ plan: {}, cycle: null, problems: [] });
    }
  });

  test.each([
    ["lat=97.2", "Latitude is 97.2, it must be -90..90"],
    ["lon=-181", "Longitude is -181, it must be -180..360"],
    ["burst=60000", "Burst altitude is 60000 m, it must be 0..49999 m"],
    ["asc=fast", "Ascent rate is fast, it must be a number 0.1..20 m/s"],
    ["asc=1e1", "Ascent rate is 1e1, it must be a number 0.1..20 m/s"],
    ["asc=", "Ascent rate is empty, it must be a number 0.1..20 m/s"],
    ["asc=Infinity", "Ascent rate is Infinity, it must be a number 0.1..20 m/s"],
    ["hours=49", "Time at float is 49 h, it must be 0..48 h"],
    ["n=2.5", "Perturbations is 2.5, it must be whole, 1..100"],
    ["seed=9007199254740992", "Seed is 9007199254740992, it must be whole, 0..9007199254740991"],
    ["at=2026-02-30T12:00Z", "Launch time is 2026-02-30T12:00Z, it must be a time such as 2026-11-21T12:00Z"],
    ["at=2026-11-21T12:00", "Launch time is 2026-11-21T12:00, it must be a time such as 2026-11-21T12:00Z"],
    ["from=1969-12-31T23:59Z", "First launch is 1969-12-31T23:59Z, it must be a time such as 2026-11-21T12:00Z"],
    ["to=9999-12-31T23:59Z", "Last launch is 9999-12-31T23:59Z, it must be a time such as 2026-11-21T12:00Z"],
    ["profile=rocket", "Profile is rocket, it must be one of standard, zpb, float, physical"],
    ["envelope=../../etc", "Envelope is ../../etc, it must be a name such as kaymont-1200"],
    ["envelope=", "Envelope is empty, it must be a name such as kaymont-1200"],
    ["gas=xenon", "Gas is xenon, it must be one of helium, hydrogen, methane"],
    ["fill=toString", "Filled for is toString, it must be one of asc, burst, volume, lift"],
    ["payload=20001", "Payload is 20001 kg, it must be 0..20000 kg"],
    ["chute=0", "Parachute, m across is 0, it must be 0.01..100"],
    ["run=toString", "Run is toString, it must be one of single, ensemble, sweep"],
    ["target=37.1", "Target: 37.1 is not a latitude, a comma and a longitude"],
    ["target=97,10", "Target: Latitude is 97, it must be -90..90"],
    ["zone=1,2_3,4_5,600", "Zone: Longitude is 600, it must be -180..360"],
    ["zone=1,2_3,4,5_6,7", "Zone: 3,4,5 is not a latitude, a comma and a longitude"],
    [`zone=${Array(201).fill("1,2").join("_")}`, "Zone has more than 200 corners"],
    ["cycle=../etc", "Cycle is ../etc, it must be a time such as 2026112106"],
    ["desc=1&desc=2", "desc stands more than once in the link"],
    [`asc=${"x".repeat(1e6)}`, `Ascent rate is ${"x".repeat(40)}…, it must be a number 0.1..20 m/s`],
  ])("with %.40s loses that value only, in words", (wrong, problem) => {
    expect(decodePlan(`#burst=20000&${wrong}`.replace("#burst=20000&burst", "#burst"))).toEqual({
      plan: wrong.startsWith("burst") ? {} : { burst: 20000 },
      cycle: null,
      problems: [problem],
    });
  });

  test("keeps the layers that it knows", () => {
    expect(decodePlan("hide=heat,clouds,paths")).toEqual({
      plan: { hidden: ["paths", "heat"] },
      cycle: null,
      problems: ["Hidden layer is clouds, it must be one of waypoints, paths, landings, heat, contours, ellipse"],
    });
  });

  test("that is hostile never throws, and gives nothing beyond the limits", () => {
    const random = generator(7);
    const pieces = [
      ..."&=%#,_.:-+0123456789TZ\u0000é\ud800",
      ..."lat lon at zone target hide n seed cycle run envelope gas fill payload %ff %zz 1e9".split(" "),
    ];
    for (let i = 0; i < 5000; i++) {
      const hash = Array.from({ length: 12 }, () => pieces[Math.floor(random() * pieces.length)]).join("");
      const { plan } = decodePlan(hash);
      for (const [name, { min, max }] of Object.entries(FIELDS)) {
        const value = plan[name as NumberName];
        if (typeof value === "number") expect(value >= min && value <= max).toBe(true);
      }
    }
  });
});

test("a plan with numbers that are none still makes a link", () => {
  const { plan, problems } = decodePlan(encodePlan({ ...PLAN, asc: Number.NaN, time: Number.NaN }, null));
  expect(plan).not.toHaveProperty("asc");
  expect(plan).not.toHaveProperty("time");
  expect(problems).toHaveLength(1);
});
