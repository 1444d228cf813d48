import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { LIMITS as OWN_LIMITS } from "../src/ownenvelope";
import { AIRS, DEFAULT_PLAN, FIELDS, GASES, type NumberField, type NumberName, PROFILES } from "../src/plan";

const CONTRACT = new URL("../openapi.json", import.meta.url);

interface Schema {
  type?: string;
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
  default?: unknown;
  enum?: string[];
  anyOf?: Schema[];
}

/** The schemas of the query parameters of a route, by name. */
function parametersOf(path: string): Record<string, Schema> {
  if (!existsSync(CONTRACT)) throw new Error("www/openapi.json is absent: `npm run check` makes it from the service");
  const contract = JSON.parse(readFileSync(CONTRACT, "utf8"));
  const parameters: { name: string; schema: Schema }[] | undefined = contract.paths[path]?.get?.parameters;
  if (!parameters) throw new Error(`www/openapi.json has no GET ${path}`);
  return Object.fromEntries(parameters.map(({ name, schema }) => [name, numeric(schema)]));
}

/** Of a parameter that may be null, what it is otherwise. */
function numeric({ anyOf, ...schema }: Schema): Schema {
  return { ...schema, ...anyOf?.find(({ type }) => type !== "null") };
}

const ROUTES = ["/sim/spaceshot", "/sim/singlezpb"];
const LIMITED = Object.entries(FIELDS).filter(([, { parameter }]) => parameter) as [NumberName, NumberField][];

describe.each(ROUTES)("%s", (path) => {
  // `model` is of one flight only, the Monte Carlo of an ensemble only.
  const here = LIMITED.filter(([, { parameter }]) => existsSync(CONTRACT) && parametersOf(path)[parameter!]);

  test("is in the contract with most of the fields", () => {
    expect(parametersOf(path)).toBeTypeOf("object");
    expect(here.length).toBeGreaterThanOrEqual(9);
  });

  test.each(here)("has the limits of %s", (_, { parameter, quantity, min, max, whole }) => {
    const schema = parametersOf(path)[parameter!]!;
    expect(schema.type).toBe(whole ? "integer" : "number");
    expect(schema.exclusiveMinimum).toBeUndefined();
    expect(min).toBe(schema.minimum);
    // Altitudes, and what must be below its limit, stop one before it.
    const before = quantity === "altitude" || schema.exclusiveMaximum !== undefined ? 1 : 0;
    expect(max).toBe((schema.exclusiveMaximum ?? schema.maximum)! - before);
  });

  test.each([
    ["profile", PROFILES],
    ["lift_gas_type", GASES],
    ["atmosphere", AIRS],
  ])("has the choices of %s", (parameter, choices) => {
    expect(parametersOf(path)[parameter]!.enum!.toSorted()).toEqual(choices.toSorted());
  });

  test("has the usual values", () => {
    const { coeff, num_perturbations } = parametersOf(path);
    expect(DEFAULT_PLAN.coeff).toBe(coeff!.default);
    if (num_perturbations) expect(DEFAULT_PLAN.perturbations).toBe(num_perturbations.default);
  });
});

test("every limit is one of a parameter of a route", () => {
  const known = ROUTES.flatMap((path) => Object.keys(parametersOf(path)));
  for (const [, { parameter }] of LIMITED) expect(known).toContain(parameter);
});

test("an envelope of one's own has the limits of the service", () => {
  const { properties } = JSON.parse(readFileSync(CONTRACT, "utf8")).components.schemas.BalloonBody;
  const pairs = {
    mass: "envelope_mass",
    diameter: "burst_diameter",
    volume: "envelope_volume",
    pressure: "pressure_limit",
  } as const;
  for (const [name, property] of Object.entries(pairs)) {
    const { minimum, maximum } = numeric(properties[property]);
    const { min, max } = OWN_LIMITS[name as keyof typeof pairs];
    expect([min, max], name).toEqual([minimum, maximum]);
  }
});
