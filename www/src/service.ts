// The state of the service: what it flies on, how old that is, whether it answers at all.

import { ApiError, ask, type Status, UnreachableError } from "./api";
import { byId, definitions, h, toast } from "./dom";
import { formatDuration, formatUtc } from "./units";

const LOOK_MS = 30_000;
const LOOK_WHEN_AWAY_MS = 2000;

type State = "connecting" | "well" | "demo" | "worse" | "empty" | "away";

export class ServiceState {
  status: Status | null = null;
  onStatus: (status: Status) => void = () => {};
  /** Called when the server answers again. */
  onReturn: () => void = () => {};
  readonly #chip = byId<HTMLButtonElement>("service");
  readonly #banner = byId("banner");
  readonly #dialog = h("dialog", { class: "service", "aria-labelledby": "service-title" });
  readonly #dialogState = h("div", { class: "state" });
  #problem: string | null = null;
  #lacksWinds = false;
  #away = false;
  #timer = 0;

  constructor() {
    document.body.append(this.#dialog);
    this.#chip.addEventListener("click", () => {
      this.#writeDialog();
      this.#dialog.showModal();
    });
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) void this.look();
    });
    addEventListener("online", () => void this.look());
  }

  /** Ask for the state now, and again after a while. */
  async look(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const { body } = await ask<Status>("/sim/status", {}, AbortSignal.timeout(20_000));
      const before = this.status?.gefs_cycle;
      this.status = body;
      this.#problem = null;
      if (before && before !== body.gefs_cycle)
        toast(`A new cycle has come: ${cycleText(body.gefs_cycle)}. Fly again to use it.`);
      this.#answered();
      this.onStatus(body);
    } catch (error) {
      if (error instanceof ApiError) {
        this.#problem = error.message;
        this.#lacksWinds = error.status === 503;
        this.#answered();
      } else if (
        error instanceof UnreachableError ||
        (error instanceof DOMException && error.name === "TimeoutError")
      ) {
        this.#away = true;
      } else throw error;
    }
    this.#show();
    const wait = this.#away ? LOOK_WHEN_AWAY_MS : LOOK_MS;
    this.#timer = window.setTimeout(() => void this.look(), document.hidden ? 10 * wait : wait);
  }

  #answered(): void {
    if (!this.#away) return;
    this.#away = false;
    toast("The server answers again");
    this.onReturn();
  }

  get #state(): State {
    if (this.#away) return "away";
    if (this.#problem) return "empty";
    if (!this.status) return "connecting";
    if (this.status.demo) return "demo";
    return this.status.stale || this.#missing > 0 ? "worse" : "well";
  }

  get #missing(): number {
    const { status } = this;
    return status ? Math.max(0, status.expected_members - status.members.length) : 0;
  }

  #show(): void {
    const { status } = this;
    const state = this.#state;
    this.#chip.dataset.state = state;
    const cycle = status ? cycleText(status.gefs_cycle) : "";
    const texts: Record<State, string> = {
      connecting: "Connecting",
      well: `${cycle}, ${status ? age(status) : ""}`,
      demo: "Demo winds",
      worse: `${cycle}, ${status?.stale ? "old" : `${this.#missing} members missing`}`,
      empty: this.#lacksWinds ? "No winds" : "Server trouble",
      away: "Server away",
    };
    byId("service-text").textContent = texts[state];
    const banners: Partial<Record<State, string>> = {
      away: "The server cannot be reached. What is shown stays; trying again.",
      empty: this.#problem ?? "",
      demo: "Demo winds: made up, not a forecast.",
      worse: this.#worse(),
    };
    const text = banners[state] ?? "";
    if (this.#banner.textContent !== text) this.#banner.textContent = text;
    this.#banner.hidden = !text;
    this.#banner.dataset.state = state;
    if (this.#dialog.open) this.#dialogState.replaceChildren(...this.#stateRows());
  }

  #worse(): string {
    const { status } = this;
    if (!status) return "";
    const parts = [];
    if (status.stale)
      parts.push(`The winds are of ${cycleText(status.gefs_cycle)}, ${age(status)}; newer ones have not come`);
    if (this.#missing) parts.push(`${this.#missing} of ${status.expected_members} members are missing`);
    return `${parts.join(". ")}.`;
  }

  #writeDialog(): void {
    const look = async (event: Event) => {
      const button = event.target as HTMLButtonElement;
      button.disabled = true;
      try {
        await ask("/sim/refresh", {}, undefined, "POST");
      } catch (error) {
        if (!(error instanceof ApiError || error instanceof UnreachableError)) throw error;
        toast(error.message);
      }
      await this.look();
      button.disabled = false;
    };
    this.#dialogState.replaceChildren(...this.#stateRows());
    this.#dialog.replaceChildren(
      h("h2", { id: "service-title" }, "State of the service"),
      this.#dialogState,
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", onclick: look }, "Look for a new cycle"),
        h("a", { href: "/docs" }, "API"),
        h("span", { class: "spring" }),
        h("button", { type: "button", class: "primary", onclick: () => this.#dialog.close() }, "Close"),
      ),
    );
  }

  #stateRows(): HTMLElement[] {
    const { status } = this;
    const rows: [string, string | null][] = status
      ? [
          ["Server", this.#away ? "cannot be reached" : "answers"],
          ["Cycle", cycleText(status.gefs_cycle)],
          ["Age", `${age(status)}${status.stale ? ": older than it should be" : ""}`],
          ["Winds from", status.demo ? "demo, not a forecast" : `GEFS ${status.product}`],
          [
            "Members",
            this.#missing ? `${status.members.length} of ${status.expected_members}` : String(status.members.length),
          ],
          [
            "Covers",
            `${formatUtc(Date.parse(status.covers.from) / 1000)} to ${formatUtc(Date.parse(status.covers.to) / 1000)}`,
          ],
          ["Ground", status.ground],
          ["Bucket", status.store === "s3" ? "S3" : "folder"],
          ["Running now", `${status.active_requests} ensembles`],
        ]
      : [["Server", this.#away ? "cannot be reached" : (this.#problem ?? "has not answered yet")]];
    const notes = status?.warnings ?? [];
    const list = notes.length ? [h("ul", { class: "warnings" }, ...notes.map((text) => h("li", {}, text)))] : [];
    return [definitions(rows), ...list];
  }
}

/** `2026112018` as "20 Nov 18 UTC". */
export function cycleText(cycle: string): string {
  const time = new Date(Date.UTC(+cycle.slice(0, 4), +cycle.slice(4, 6) - 1, +cycle.slice(6, 8), +cycle.slice(8)));
  const day = time.toLocaleDateString("en", { day: "numeric", timeZone: "UTC" });
  const month = time.toLocaleDateString("en", { month: "short", timeZone: "UTC" });
  return `${day} ${month} ${cycle.slice(8)} UTC`;
}

function age(status: Status): string {
  return status.cycle_age_seconds < 0
    ? "ahead of the clock"
    : `${formatDuration(status.cycle_age_seconds).replace(/ \d+ min$/, "")} old`;
}
