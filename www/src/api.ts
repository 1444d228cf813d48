// The public API of the service, with the types of its own description.

import type { Flight, PhaseName } from "./flight";
import { unroll } from "./geo";
import { type Balloon, FIELDS, type Plan } from "./plan";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type Status = Schemas["Status"];
export type Spaceshot = Schemas["Spaceshot"];
export type WindProfile = Schemas["WindProfile"];
export type Progress = Schemas["Progress"];
export type FlightAnswer = Schemas["Flight"];
export type Provenance = Schemas["Provenance"] & { warnings?: string[] };

/** An answer that says what is wrong. `parameters` has the reason for each parameter that was refused. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly parameters: Record<string, string>,
    readonly retryAfterSeconds: number | null,
  ) {
    super(message);
  }
}

/** No answer at all: the server is down, or the network between. */
export class UnreachableError extends Error {}

interface Answer<T> {
  body: T;
  provenance: Provenance | null;
}

/** One question. Raises ApiError or UnreachableError, or AbortError when `signal` says so. */
export async function ask<T>(
  path: string,
  parameters: Record<string, string> = {},
  signal?: AbortSignal,
  method = "GET",
): Promise<Answer<T>> {
  const query = new URLSearchParams(parameters).toString();
  try {
    return await exchange<T>(query ? `${path}?${query}` : path, { method, signal: signal ?? null });
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) signIn();
    throw error;
  }
}

/** One request with its answer. Raises as `ask`. */
export async function exchange<T>(path: string, request: RequestInit): Promise<Answer<T>> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, { ...request, headers: { Accept: "application/json", ...request.headers } });
    text = await response.text();
    // The last one alone: an open page asks for days.
    performance.clearMarks("habsim:answered");
    performance.mark("habsim:answered");
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw new UnreachableError("The server cannot be reached");
  }
  // A proxy whose service is away answers with a page of its own.
  if ([502, 504].includes(response.status)) throw new UnreachableError("The server cannot be reached");
  const body = parsed(text);
  if (!response.ok || body === undefined) throw refusal(response, body);
  const header = response.headers.get("X-HABSIM-Provenance");
  return { body: body as T, provenance: header ? (JSON.parse(header) as Provenance) : null };
}

/** A request with a JSON body. Raises as `ask`, and leaves it to the caller to sign in. */
export async function send<T>(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<T> {
  const answer = await exchange<T>(path, {
    method,
    signal: signal ?? null,
    headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
    body: body === undefined ? null : JSON.stringify(body),
  });
  return answer.body;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusal(response: Response, body: unknown): ApiError {
  const { error, details } = (body ?? {}) as {
    error?: string;
    details?: { parameters?: Record<string, string> } | null;
  };
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return new ApiError(
    error ?? `What answered (${response.status}) is no HABSIM service; a proxy or a sign-in page may be in between`,
    response.status,
    details?.parameters ?? {},
    Number.isFinite(seconds) ? seconds : null,
  );
}

/** The session has ended, or a password was set: the login leads back here, with the plan. */
function signIn(): void {
  location.assign(`/login?next=${location.pathname}${location.hash}`);
}

const FOLLOW_AGAIN_MS = 2000;
const RETRY_MS = [500, 1000, 2000, 3000, 5000];

/**
 * Asks again until there is an answer: while the server cannot be reached, and when it is too busy. The same question
 * has the same answer, so that asking twice does no harm.
 */
export async function insist<T>(
  question: () => Promise<T>,
  signal: AbortSignal,
  onTrouble: (what: "unreachable" | "busy") => void,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await question();
    } catch (error) {
      let wait = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]!;
      if (error instanceof UnreachableError) onTrouble("unreachable");
      else if (error instanceof ApiError && error.status === 429) {
        onTrouble("busy");
        wait = Math.max(wait, 1000 * (error.retryAfterSeconds ?? 0));
      } else throw error;
      await pause(wait, signal);
    }
  }
}

export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    if (signal.aborted) return reject(signal.reason);
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Values by the names of the API, in SI. */
export type Values = Record<string, number | string>;

/** A balloon, as flights and searches take it. */
export function balloonValues(balloon: Balloon): Values {
  const { profile, coeff } = balloon;
  const rates = {
    equil: profile === "standard" ? balloon.burst : balloon.float,
    eqtime: profile === "standard" ? 0 : balloon.floatHours,
    asc: balloon.asc,
    // A float never comes down, but the API takes a rate.
    desc: profile === "float" ? 5 : balloon.desc,
  };
  return { ...(profile === "physical" ? gasBalloonValues(balloon) : rates), coeff, profile };
}

function gasBalloonValues(balloon: Balloon): Values {
  const { envelope, gas, payload, fillBy, descendBy, afloat } = balloon;
  return {
    envelope,
    lift_gas_type: gas,
    payload_mass: payload,
    [FIELDS[fillBy].parameter!]: balloon[fillBy],
    [FIELDS[descendBy].parameter!]: balloon[descendBy],
    eqtime: afloat,
  };
}

/** The launch of a plan, at `time`. */
export function launchValues(plan: Plan, time: number): Values {
  return {
    timestamp: time,
    lat: plan.lat,
    lon: plan.lon,
    // Below the ground starts on it.
    alt: plan.alt ?? 0,
    ...balloonValues(plan),
    ...(plan.profile === "physical" && { atmosphere: plan.air }),
  };
}

/** The launch of a plan as parameters of a query. */
export function launchParameters(plan: Plan, time: number): Record<string, string> {
  const values = Object.entries(launchValues(plan, time));
  return Object.fromEntries(values.map(([name, value]) => [name, typeof value === "number" ? decimal(value) : value]));
}

/** Plain decimal notation, 9 decimals at most. */
function decimal(value: number): string {
  return value.toFixed(9).replace(/\.?0+$/, "");
}

export async function single(
  plan: Plan,
  time: number,
  signal: AbortSignal,
  cycle?: string,
): Promise<{ flight: Flight; provenance: Provenance }> {
  const parameters = { ...launchParameters(plan, time), model: String(plan.model), ...(cycle && { cycle }) };
  const { body, provenance } = await ask<FlightAnswer>("/sim/singlezpb", parameters, signal);
  if (!provenance)
    throw new ApiError("The answer does not say which winds it is from (X-HABSIM-Provenance)", 200, {}, null);
  return { flight: flightOf(body, plan.model, plan.lon), provenance };
}

/** Parameters of an ensemble, with an id for its progress stream. */
export function ensembleParameters(plan: Plan): Record<string, string> {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0"));
  return {
    ...launchParameters(plan, plan.time),
    num_perturbations: String(plan.perturbations),
    ...(plan.seed === null ? {} : { seed: String(plan.seed) }),
    request_id: id.join(""),
  };
}

const PHASES: PhaseName[] = ["ascent", "coast", "descent"];

/** A flight with continuous longitudes, the first within 180 degrees of `near`. */
export function flightOf(answer: FlightAnswer, member: number, near: number): Flight {
  const lons = unroll(
    answer.flatMap((points) => points.map((point) => point[2])),
    near,
  );
  let next = 0;
  const phases = PHASES.map((name, i) => ({
    name,
    points: answer[i]!.map(([time, lat, , alt, u, v]) => ({ time, lat, lon: lons[next++]!, alt, u, v })),
  }));
  return { member, phases: phases.filter((phase) => phase.points.length) };
}

/** Follows a run until `close` is called. */
export function follow(requestId: string, onProgress: (progress: Progress) => void): { close: () => void } {
  let source: EventSource;
  let timer = 0;
  const open = () => {
    source = new EventSource(`/sim/progress-stream?request_id=${requestId}`);
    source.onmessage = (event: MessageEvent<string>) => onProgress(JSON.parse(event.data) as Progress);
    source.onerror = () => {
      // The browser connects again by itself after a cut, but not after an answer that is no stream.
      if (source.readyState === EventSource.CLOSED) timer = window.setTimeout(open, FOLLOW_AGAIN_MS);
    };
  };
  open();
  return {
    close: () => {
      clearTimeout(timer);
      source.close();
    },
  };
}
