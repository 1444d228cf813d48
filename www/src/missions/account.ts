// The own account.

import { definitions, h, toast } from "../dom";
import { TextField } from "../fields";
import { heading, moment, type View } from "./app";
import { emailProblem, formOf, passwordProblem } from "./signin";

export const accountView: View = (root, app) => {
  const user = app.session.user!;
  const current = (id: string) =>
    new TextField(
      id,
      "Current password",
      { type: "password", autocomplete: "current-password", maxlength: 200 },
      {},
      (text) => (text ? null : "Is needed"),
    );
  const name = new TextField("full-name", "Name", { autocomplete: "name", maxlength: 100 });
  name.text = user.name;
  const email = new TextField("email", "Email", { type: "email", autocomplete: "email" }, {}, emailProblem);
  email.text = user.email;
  const emailPassword = current("email-password");
  const password = new TextField(
    "new-password",
    "New password",
    { type: "password", autocomplete: "new-password", maxlength: 200 },
    { hint: "At least 8 characters; you are signed out everywhere else" },
    passwordProblem,
  );
  const oldPassword = current("current-password");
  const signOut = h("button", { type: "button", onclick: () => void app.session.signOut() }, "Sign out");
  root.append(
    heading("Your account", signOut),
    h(
      "section",
      { class: "card" },
      definitions([
        ["Username", user.username],
        ["Organisation", user.organization?.name ?? "none; an administrator can add you to one"],
        ["Role", user.is_admin ? "administrator" : "user"],
        ["Registered", moment(user.created)],
      ]),
    ),
    h(
      "div",
      { class: "cards" },
      h(
        "section",
        { class: "card" },
        h("h3", {}, "Name"),
        formOf("Save the name", { name }, async () => {
          await app.session.change({ name: name.text.trim() });
          toast("The name is saved");
        }),
      ),
      h(
        "section",
        { class: "card" },
        h("h3", {}, "Email"),
        formOf("Save the address", { email, current_password: emailPassword }, async () => {
          await app.session.change({ email: email.text, current_password: emailPassword.text });
          toast("The address is saved");
        }),
      ),
      h(
        "section",
        { class: "card" },
        h("h3", {}, "Password"),
        formOf("Change the password", { current_password: oldPassword, password }, async () => {
          await app.session.change({ password: password.text, current_password: oldPassword.text });
          toast("The password is changed");
        }),
      ),
    ),
  );
};
