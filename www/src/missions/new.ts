// A new simulation: the form of the map page, sent to the queue.

import L from "leaflet";
import { ApiError, ask, type Status } from "../api";
import { h, toast } from "../dom";
import { LongTextField, TextField } from "../fields";
import { PlanForm } from "../form";
import { pin } from "../pin";
import { DEFAULT_PLAN, type Plan } from "../plan";
import { PlanState, remembered } from "../state";
import { attempt, demoTag, heading, oneOf, problemLine, reasonOf, type View } from "./app";
import { planOf, submissionOf } from "./configs";
import { shareBox } from "./dialogs";
import { PlaceMap } from "./placemap";
import { submit } from "./submit";

const HOUR = 3600;

export const newView: View = async (root, app, signal, id) => {
  const time = Math.ceil(Date.now() / 1000 / HOUR) * HOUR;
  const before = remembered();
  const mode = before.mode === "single" ? "single" : "ensemble";
  const again = id ? await oneOf(app, id, signal) : null;
  if (signal.aborted) return;
  const kept = again && planOf(again);
  const plan: Plan = { ...DEFAULT_PLAN, ...before, mode, time, ...kept, sweepFrom: time, sweepTo: time };
  const state = new PlanState(plan);
  const map = new PlaceMap("Map of the launch", plan, 8, signal);
  map.choosing = "the launch";
  const marker = L.marker([plan.lat, plan.lon], { icon: pin("launch-pin"), interactive: false, keyboard: false });
  marker.addTo(map.map);
  map.onPlace = (place) => state.change({ ...place, alt: null });
  map.onFit = () => map.map.setView(marker.getLatLng(), 8);
  state.onChange((changed) => {
    if (!changed.has("lat") && !changed.has("lon")) return;
    const at = L.latLng(state.plan.lat, state.plan.lon);
    marker.setLatLng(at);
    if (!map.map.getBounds().contains(at)) map.map.setView(at);
  });

  const name = new TextField("simulation-name", "Name", { maxlength: 200 }, { hint: "May be empty", wide: true });
  const description = new LongTextField("description", "Description", 2000);
  if (again) [name.text, description.text] = [again.name, again.description];
  const shared = shareBox(app, false);
  const demo = h("span", {});
  const problem = problemLine("submit-problem");
  const button = h("button", { class: "primary" }, "Submit");
  const planFields = h("div", { class: "plan-fields" });
  const form = h(
    "form",
    { novalidate: true, autocomplete: "off", class: "stack" },
    planFields,
    h(
      "fieldset",
      {},
      h("legend", {}, "Keep it as"),
      h("div", { class: "fields" }, name.root, description.root),
      shared.root,
    ),
    problem,
    button,
  );
  root.append(
    heading(["New flight", demo]),
    h(
      "p",
      { class: "quiet" },
      "It runs in the background, on the winds that are current when its turn comes, and is kept.",
    ),
    h("div", { class: "split" }, form, map.root),
  );
  // It looks for its own fields in the document.
  const planForm = new PlanForm(planFields, state, null, app.units, ["single", "ensemble"]);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    problem.textContent = "";
    const wrong = planForm.showProblems();
    const reasons = Object.values(wrong);
    if (reasons.length) {
      problem.textContent = reasons[0]!;
      planForm.focusFirst(wrong);
      return;
    }
    void attempt(button, problem, async () => {
      try {
        const one = await submit(app.session, {
          ...submissionOf(state.plan)!,
          name: name.text,
          description: description.text,
          shared: shared.input.checked,
        });
        toast("It is submitted");
        // Who has gone elsewhere meanwhile stays there.
        if (!signal.aborted) app.go(`/simulations/${one.id}`);
      } catch (error) {
        if (error instanceof ApiError) planForm.refuse(bare(error.parameters));
        throw error;
      }
    });
  });
  try {
    const { body } = await ask<Status>("/sim/status", {}, signal);
    const [from, to] = [Date.parse(body.covers.from) / 1000, Date.parse(body.covers.to) / 1000];
    demo.replaceChildren(demoTag(body.demo) ?? "");
    planForm.setAround({ covers: { from, to }, members: body.members });
    // A time nobody has chosen begins where the winds do.
    const isCovered = (at: number) => at >= from && at <= to;
    if (state.plan.time === plan.time && !isCovered(plan.time))
      state.change({ time: isCovered(time) ? time : Math.ceil(from / HOUR) * HOUR + HOUR });
  } catch (error) {
    if (!signal.aborted) problem.textContent = reasonOf(error);
  }
};

/** `config.asc` is `asc` in the form. */
function bare(parameters: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, reason]) => [name.replace(/^config\./, ""), reason]),
  );
}
