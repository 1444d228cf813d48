// Runs a plan: asks the service, shows how far it is, and hands over the result.

import * as api from "./api";
import { announce, h } from "./dom";
import { EnsembleResult } from "./ensemble";
import type { PlanForm } from "./form";
import { launchTimes, type Plan } from "./plan";
import type { PlanStage, Result } from "./results";
import { SingleResult } from "./single";
import { type Launch, SweepResult } from "./sweep";
import { formatBytes } from "./units";

// What ends sooner needs no progress bar; one that flashes is worse than none.
const SHOW_AFTER_MS = 150;
const SWEEP_AT_ONCE = 4;

const LABELS: Record<Plan["mode"], string> = {
  single: "Fly",
  ensemble: "Fly the ensemble",
  sweep: "Fly all launch times",
};

export class Runner {
  onResult: (result: Result, quiet: boolean) => void = () => {};
  onStart: () => void = () => {};
  /** Called when a result is there and nothing runs any more. */
  onEnd: () => void = () => {};
  /** Called before what is wrong with the plan is shown in its fields. */
  onRefused: () => void = () => {};
  /** Called when `refusal` has changed. */
  onRefusal: () => void = () => {};
  /** Why the service does not fly the plan as it is; empty where it may. */
  refusal = "";
  readonly #fly = h("button", { type: "submit", form: "plan", id: "fly", class: "primary" });
  readonly #bar = h("progress", { max: 100, "aria-label": "Progress" });
  readonly #text = h("p", { class: "progress-text" });
  readonly #cancel = h("button", { type: "button", id: "cancel", onclick: () => this.cancel() }, "Cancel");
  readonly #problem = h("p", { class: "bad", role: "alert", id: "run-problem" });
  readonly #progress = h("div", { class: "progress", hidden: true }, this.#bar, this.#text, this.#cancel);
  #running: AbortController | null = null;
  #isQuiet = false;
  #said = "";

  constructor(
    root: HTMLElement,
    readonly stage: PlanStage,
    readonly form: PlanForm,
  ) {
    root.append(this.#problem, this.#progress, this.#fly);
    form.onReason = () => {
      if (this.#isQuiet) this.#problem.textContent = "";
      this.onRefusal();
    };
    this.label();
  }

  /** Whether something runs that the user has asked for. */
  get isAskedFor(): boolean {
    return this.#running !== null && !this.#isQuiet;
  }

  label(): void {
    this.#fly.textContent = LABELS[this.stage.state.plan.mode];
  }

  /** What was wrong with the plan may be so no more. */
  forgive(): void {
    this.#problem.textContent = "";
    this.refusal = "";
    this.onRefusal();
  }

  /** Whether a field says why the plan does not fly. */
  get #isSaid(): boolean {
    return Object.keys(this.form.problems()).length > 0;
  }

  cancel(): void {
    this.#running?.abort(new DOMException("cancelled", "AbortError"));
  }

  /** Fly the plan as it is now. `quiet` is for flights that follow a change: they say nothing of unfinished input. */
  async run(quiet = false): Promise<void> {
    const problems = this.form.showProblems();
    this.forgive();
    if (Object.keys(problems).length) {
      if (quiet) return;
      this.#problem.textContent = Object.values(problems)[0]!;
      this.onRefused();
      this.form.focusFirst(problems);
      return;
    }
    this.cancel();
    this.onStart();
    const control = new AbortController();
    this.#running = control;
    this.#isQuiet = quiet;
    this.#show(null, "");
    const { plan } = this.stage.state;
    const show = setTimeout(() => this.#begin(), quiet ? 1000 : SHOW_AFTER_MS);
    const started = performance.now();
    let hasResult = false;
    try {
      const result = await this.#answer(plan, control.signal);
      if (control.signal.aborted) return;
      this.onResult(result, quiet);
      hasResult = true;
      if (!quiet) announce(`${result.says}. Took ${((performance.now() - started) / 1000).toFixed(1)} seconds.`);
    } catch (error) {
      if (control.signal.aborted) {
        if (this.#running === control) announce("Cancelled");
      } else if (error instanceof api.ApiError) {
        this.form.refuse(error.parameters);
        this.#problem.textContent = quiet && this.#isSaid ? "" : error.message;
        this.refusal = error.status < 500 ? error.message : "";
        this.onRefusal();
      } else throw error;
    } finally {
      clearTimeout(show);
      if (this.#running === control) {
        this.#running = null;
        const isHere = document.activeElement === this.#cancel;
        this.#progress.hidden = true;
        this.#fly.hidden = false;
        if (isHere) this.#fly.focus();
        if (hasResult) this.onEnd();
      }
    }
  }

  #answer(plan: Plan, signal: AbortSignal): Promise<Result> {
    if (plan.mode === "ensemble") return this.#ensemble(plan, signal);
    return plan.mode === "sweep" ? this.#sweep(plan, signal) : this.#single(plan, signal);
  }

  async #single(plan: Plan, signal: AbortSignal): Promise<Result> {
    const { flight, provenance } = await this.#insist(() => api.single(plan, plan.time, signal), signal);
    return new SingleResult(this.stage, flight, provenance, plan);
  }

  async #ensemble(plan: Plan, signal: AbortSignal): Promise<Result> {
    const parameters = api.ensembleParameters(plan);
    const stream = api.follow(parameters.request_id!, (progress) => this.#showEnsemble(progress));
    try {
      const ask = () => api.ask<api.Spaceshot>("/sim/spaceshot", parameters, signal);
      const { body } = await this.#insist(ask, signal);
      return new EnsembleResult(this.stage, body, plan);
    } finally {
      stream.close();
    }
  }

  async #sweep(plan: Plan, signal: AbortSignal): Promise<Result> {
    const times = launchTimes(plan);
    const launches: Launch[] = times.map((time) => ({ time, flight: null, problem: null }));
    let provenance: api.Provenance | null = null;
    let refusal: api.ApiError | null = null;
    let [next, done] = [0, 0];
    const work = async (most = launches.length) => {
      for (let count = 0; count < most && next < launches.length; count++) {
        const launch = launches[next++]!;
        try {
          // All on the cycle of the first, also when the next one comes meanwhile.
          const found = await this.#insist(() => api.single(plan, launch.time, signal, provenance?.cycle), signal);
          launch.flight = found.flight;
          provenance ??= found.provenance;
        } catch (error) {
          if (!(error instanceof api.ApiError)) throw error;
          launch.problem = error.message;
          refusal ??= error;
        }
        done++;
        this.#show((100 * done) / launches.length, `Launch ${done} of ${launches.length}`);
      }
    };
    while (next < launches.length && !provenance) await work(1);
    await Promise.all(Array.from({ length: SWEEP_AT_ONCE }, () => work()));
    if (!provenance) throw refusal ?? new Error("a sweep without launches");
    return new SweepResult(this.stage, launches, provenance, plan);
  }

  #insist<T>(question: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return api.insist(question, signal, (what) => {
      this.#begin();
      this.#show(
        null,
        what === "busy" ? "The server is busy; waiting for a turn" : "The server cannot be reached; trying again",
      );
    });
  }

  #begin(): void {
    const isHere = document.activeElement === this.#fly;
    this.#progress.hidden = false;
    this.#fly.hidden = true;
    if (isHere) this.#cancel.focus();
    if (!this.#text.textContent) this.#show(null, "Asking the server");
  }

  #show(percent: number | null, text: string): void {
    if (percent === null) this.#bar.removeAttribute("value");
    else this.#bar.value = percent;
    this.#text.textContent = text;
    // Of many steps some are read out.
    const step = text.split(/[,\d]/)[0]! + (percent === null ? "" : Math.floor(percent / 25));
    if (text && !this.#progress.hidden && step !== this.#said) announce(text);
    this.#said = step;
  }

  #showEnsemble(progress: api.Progress): void {
    const { status, completed, total, percentage, bytes_loaded, bytes_total } = progress;
    if (status === "loading") {
      const bytes = bytes_total ? `, ${formatBytes(bytes_loaded ?? 0)} of ${formatBytes(bytes_total)}` : "";
      this.#show(bytes_total ? (100 * (bytes_loaded ?? 0)) / bytes_total : null, `Loading winds${bytes}`);
    } else if (status === "simulating") {
      this.#show(percentage, `Simulating, ${completed} of ${total} flights, ${percentage} %`);
    } else if (status === "complete") this.#show(100, "Drawing");
  }
}
