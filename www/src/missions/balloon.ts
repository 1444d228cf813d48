// Sizing a balloon, open to all.

import { Calculator, ratesOf } from "../calculator";
import { h } from "../dom";
import { DEFAULT_PLAN } from "../plan";
import { encodePlan } from "../share";
import { remembered } from "../state";
import { heading, type View } from "./app";

const HOUR = 3600;

export const balloonView: View = (root, app) => {
  const calculator = new Calculator(app.units);
  const fly = h("a", { class: "button primary", id: "fly-this", role: "link", "aria-disabled": "true" }, "Fly this");
  calculator.onSized = (found) => {
    fly.setAttribute("aria-disabled", String(found === null));
    fly.removeAttribute("href");
    if (!found) return;
    const plan = {
      ...DEFAULT_PLAN,
      ...remembered(),
      time: Math.ceil(Date.now() / 1000 / HOUR) * HOUR,
    };
    const steady = { ...plan, profile: found.bursts ? ("standard" as const) : ("zpb" as const) };
    const flown = found.balloon ? { ...plan, ...found.balloon } : { ...steady, ...ratesOf(found, steady) };
    fly.setAttribute("href", `/#${encodePlan(flown, null)}`);
  };
  root.append(
    heading("Size a balloon", fly),
    h(
      "p",
      { class: "quiet" },
      "How much gas, how fast, how high. An envelope of your own is flown with its mean ascent rate.",
    ),
    h("section", { class: "card" }, calculator.root),
  );
};
