// `cordum config`, `cordum schemas`
// Owns:          from options to what is asked for, and from answers to text.
// Must not know: how they travel; what may be configured.

import type { ConfigAddress, ConfigChange } from "@cordum/sdk";
import { CommandFailure } from "../failure.ts";
import type { Given } from "../given.ts";
import { readJson } from "../input.ts";
import { json } from "../render/json.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../terminal.ts";

const SCOPES: readonly ConfigAddress["scope"][] = ["system", "org", "team", "workflow", "step"];
const REVISION_MAX = 1_000_000_000;

/** The data alone; with --json the whole document, so that its revision can guard a change. */
export async function getConfig({ client, given, terminal, signal }: Session): Promise<void> {
  const document = await client.config.get(addressIn(given), { signal });
  terminal.print(json(given.flag("json") ? document : document.data));
}

export async function setConfig({ client, given, terminal, signal }: Session, input: string): Promise<void> {
  const data = await readJson("data", input, terminal);
  if (!isObject(data)) throw new CommandFailure("USAGE", "the configuration must be a JSON object");
  const revision = given.whole("revision", { min: 0, max: REVISION_MAX });
  const change: ConfigChange = { ...addressIn(given), data };
  const options = { signal, ...(revision !== undefined && { revision }) };
  if (given.flag("merge")) await client.config.merge(change, options);
  else await client.config.replace(change, options);
  if (!given.flag("json")) terminal.note(oneLine(`${change.scope} ${change.scope_id ?? ""} is set`));
}

export async function deleteConfig({ client, given, terminal, signal }: Session): Promise<void> {
  await client.config.remove(addressIn(given), { signal });
  if (!given.flag("json")) terminal.note("removed");
}

export async function effectiveConfig({ client, given, terminal, signal }: Session): Promise<void> {
  const [team, workflow, step] = [given.text("team"), given.text("workflow"), given.text("step")];
  const view = await client.config.effective({
    signal,
    ...(team !== undefined && { team }),
    ...(workflow !== undefined && { workflow }),
    ...(step !== undefined && { step }),
  });
  if (given.flag("json")) return terminal.print(json(view));
  terminal.print(json(view.data));
  terminal.note(oneLine(`${view.version}, hash ${view.hash}`));
}

export async function listSchemas({ client, given, terminal, signal }: Session): Promise<void> {
  const limit = given.whole("limit", { min: 1, max: 500 }) ?? 100;
  const ids = await client.schemas.list({ signal, limit });
  if (given.flag("json")) return terminal.print(json(ids));
  if (ids.length === 0) return terminal.note("no schemas are registered");
  for (const id of ids) terminal.print(oneLine(id));
}

export async function getSchema({ client, given, terminal, signal }: Session, id: string): Promise<void> {
  const found = await client.schemas.get(id, { signal });
  terminal.print(json(given.flag("json") ? found : found.schema));
}

export async function registerSchema(session: Session, id: string, input: string): Promise<void> {
  const { client, given, terminal, signal } = session;
  const schema = await readJson("schema", input, terminal);
  if (!isObject(schema)) throw new CommandFailure("USAGE", "the schema must be a JSON object");
  await client.schemas.register(id, schema, { signal, ...scopeIn(given) });
  if (!given.flag("json")) terminal.note(oneLine(`${id} is registered`));
}

export async function deleteSchema({ client, given, terminal, signal }: Session, id: string): Promise<void> {
  await client.schemas.remove(id, { signal, ...scopeIn(given) });
  if (!given.flag("json")) terminal.note("removed");
}

function addressIn(given: Given): ConfigAddress {
  const named = given.text("scope") ?? "org";
  const scope = SCOPES.find((each) => each === named);
  if (scope === undefined) throw new CommandFailure("USAGE", `--scope is one of ${SCOPES.join(", ")}`);
  const id = given.text("id");
  if (id === undefined && scope !== "system" && scope !== "org")
    throw new CommandFailure("USAGE", `--id is needed: which ${scope}`);
  return { scope, ...(id !== undefined && { scope_id: id }) };
}

function scopeIn(given: Given): { readonly scope?: "system" } {
  return given.flag("system") ? { scope: "system" } : {};
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
