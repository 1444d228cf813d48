// "Save as simulation" of the map page: the plan in hand goes to the queue.

import { h } from "../dom";
import { TextField } from "../fields";
import type { Plan } from "../plan";
import { submissionOf } from "./configs";
import { dialog } from "./dialogs";
import { Session } from "./session";
import { submit } from "./submit";

/** Asks for a name and submits the plan in the name of who is signed in. Raises what `Session.restore` raises. */
export async function saveAsSimulation(plan: Plan): Promise<void> {
  const submission = submissionOf(plan);
  if (!submission) return;
  const session = new Session();
  await session.restore();
  if (!session.user) {
    location.assign("/missions#/new");
    return;
  }
  const name = new TextField("simulation-name", "Name", { maxlength: 200 }, { hint: "May be empty" });
  dialog(
    "Save as simulation",
    [h("p", { class: "quiet" }, `It is flown in the background and kept under ${session.user.username}.`), name.root],
    "Save",
    async () => {
      const one = await submit(session, { ...submission, name: name.text, description: "", shared: false });
      const done = h(
        "p",
        { class: "toast" },
        "It is submitted. ",
        h("a", { href: `/missions#/simulations/${one.id}` }, "Watch it"),
      );
      document.getElementById("toasts")?.append(done);
      setTimeout(() => done.remove(), 12_000);
    },
    { name },
  );
}
