// Who is signed in, and requests in that name.

import { ApiError, send } from "../api";
import type { components } from "../schema";
import { store, wasSignedIn } from "../stored";

type Schemas = components["schemas"];
export type User = Schemas["User"];
type SignedIn = Schemas["SignedIn"] | Schemas["Me"];

const ROOT = "/api/v1/auth";

export class Session {
  user: User | null = null;
  /** Called with everybody who comes and goes; `ended` says why where it was not their wish. */
  onChange: (ended: string | null) => void = () => {};
  #csrf = "";

  /** Find out who is signed in. Raises what `send` raises, except that nobody is. */
  async restore(): Promise<void> {
    if (!wasSignedIn()) return;
    try {
      this.#take(await send<SignedIn>("GET", `${ROOT}/me`));
    } catch (error) {
      if (!isUnknown(error)) throw error;
      this.#forget();
    }
  }

  async signIn(username: string, password: string): Promise<void> {
    this.#take(await send<SignedIn>("POST", `${ROOT}/login`, { username, password }));
    this.onChange(null);
  }

  async register(account: { username: string; email: string; password: string; name: string }): Promise<void> {
    await send("POST", `${ROOT}/register`, account);
    await this.signIn(account.username, account.password);
  }

  async signOut(): Promise<void> {
    try {
      await this.ask("POST", "auth/logout", {});
    } catch (error) {
      if (!isUnknown(error)) throw error;
    }
    this.#forget();
    this.onChange(null);
  }

  /** Change the own name, address or password. */
  async change(changes: Record<string, string>): Promise<void> {
    this.#take(await this.ask<SignedIn>("PUT", "auth/me", changes));
    this.onChange(null);
  }

  /** A request under /api/v1/ in the name of who is signed in. Who is so no more is asked to sign in again. */
  async ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    const once = () => send<T>(method, `/api/v1/${path}`, body, this.#proof(method), signal);
    try {
      return await once();
    } catch (error) {
      // Another tab has signed in meanwhile: the cookie is new, and so is what goes with it.
      if (error instanceof ApiError && error.status === 403 && error.message.includes("X-CSRF-Token")) {
        await this.restore();
        if (this.user) return await once();
      }
      if (isUnknown(error) && this.user) {
        this.#forget();
        this.onChange((error as ApiError).message);
      }
      throw error;
    }
  }

  #proof(method: string): Record<string, string> {
    return method === "GET" ? {} : { "X-CSRF-Token": this.#csrf };
  }

  #take({ user, csrf_token }: SignedIn): void {
    this.user = user;
    this.#csrf = csrf_token;
    store("account", true);
  }

  #forget(): void {
    this.user = null;
    this.#csrf = "";
    store("account", false);
  }
}

function isUnknown(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}
