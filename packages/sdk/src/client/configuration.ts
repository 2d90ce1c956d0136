// Calls about configuration.
// Owns:          which of them go to which route; their records.
// Must not know: what is configured.

import { type CallOptions, sending } from "./calling.ts";
import type { Call } from "./http.ts";
import { parseJson, withText } from "./parse.ts";

export interface ConfigAddress {
  readonly scope: "system" | "org" | "team" | "workflow" | "step";
  /** Of scope system: `default` when absent. Of scope org: the tenant. */
  readonly scope_id?: string;
}

export interface ConfigDocument extends Required<ConfigAddress> {
  readonly data: { readonly [name: string]: unknown } | null;
  /** Counts changes from 1. */
  readonly revision: number;
  /** RFC 3339. */
  readonly updated_at: string;
  readonly updated_by: string;
  readonly meta?: { readonly [name: string]: string };
}

export interface ConfigChange extends ConfigAddress {
  readonly data: { readonly [name: string]: unknown } | null;
  readonly meta?: { readonly [name: string]: string };
}

/** What holds for jobs, all layers merged. */
export interface EffectiveConfig {
  /** The revision of each layer. */
  readonly version: string;
  readonly hash: string;
  readonly data: { readonly [name: string]: unknown };
}

interface ChangeOptions extends CallOptions {
  /** The revision that must still be there, 0 for none: else CONFIG_VERSION_CONFLICT. */
  readonly revision?: number;
}
interface EffectiveOptions extends CallOptions {
  readonly team?: string;
  readonly workflow?: string;
  readonly step?: string;
}

const ROUTE = "/api/v1/config";

export function configCalls(send: (call: Call) => Promise<string>) {
  return {
    get: async ({ scope, scope_id }: ConfigAddress, options: CallOptions = {}): Promise<ConfigDocument> => {
      const query = { scope, scope_id, envelope: true };
      const text = await send({ method: "GET", path: ROUTE, query, ...sending(options) });
      return withText<ConfigDocument>(parseJson(text), "scope", "scope_id");
    },
    /** Puts the document in place of the one that is there. */
    replace: async (change: ConfigChange, options: ChangeOptions = {}): Promise<void> => {
      await send({ method: "POST", path: ROUTE, body: change, ...expecting(options), ...sending(options) });
    },
    /** Puts the members of `data` into the document, each as a whole; the others stay. */
    merge: async (change: ConfigChange, options: ChangeOptions = {}): Promise<void> => {
      await send({ method: "PUT", path: ROUTE, body: change, ...expecting(options), ...sending(options) });
    },
    /** A document that is not there is no error. */
    remove: async ({ scope, scope_id }: ConfigAddress, options: ChangeOptions = {}): Promise<void> => {
      const query = { scope, scope_id };
      await send({ method: "DELETE", path: ROUTE, query, ...expecting(options), ...sending(options) });
    },
    effective: async (options: EffectiveOptions = {}): Promise<EffectiveConfig> => {
      const query = { team_id: options.team, workflow_id: options.workflow, step_id: options.step };
      const text = await send({ method: "GET", path: `${ROUTE}/effective`, query, ...sending(options) });
      return withText<EffectiveConfig>(parseJson(text), "version", "hash");
    },
  };
}

function expecting({ revision }: ChangeOptions): Pick<Call, "ifMatch"> {
  return { ifMatch: revision === undefined ? undefined : String(revision) };
}
