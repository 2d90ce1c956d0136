// `cordum keys`
// Owns:          from options to what is asked for; how a key is shown, and that its secret stands alone on standard output.
// Must not know: who may have which key; the server keeps that.

import type { ApiKeyRecord, MadeApiKey } from "@cordum/sdk";
import { CommandFailure } from "../failure.ts";
import type { Given } from "../given.ts";
import { json } from "../render/json.ts";
import { table } from "../render/table.ts";
import { age } from "../render/time.ts";
import type { Session } from "../session.ts";
import { oneLine } from "../terminal.ts";
import { take } from "./take.ts";

const DAY_MS = 86_400_000;
const DAYS_MAX = 3_650;

export async function listKeys({ client, given, terminal, runtime, signal }: Session): Promise<void> {
  const limit = given.whole("limit", { min: 1, max: 10_000 }) ?? 100;
  const state = given.flag("ended") ? "ended" : "active";
  const { items, isAll } = await take(client.keys.list({ signal, state, pageSize: Math.min(limit, 200) }), limit);
  if (given.flag("json")) return terminal.print(json(items));
  if (items.length === 0) return terminal.note(given.flag("ended") ? "no ended keys" : "no keys were made yet");
  terminal.print(keyTable(items, runtime.now()));
  if (!isAll) terminal.note(`the newest ${limit}; --limit shows more`);
}

export async function createKey({ client, given, terminal, runtime, signal }: Session): Promise<void> {
  const [name, principal] = [given.text("name"), given.text("principal")];
  const [roles, tenants] = [given.list("role"), given.list("tenant")];
  if (name === undefined) throw new CommandFailure("USAGE", "--name is needed: it says later what the key is for");
  if (roles.length === 0) throw new CommandFailure("USAGE", "--role is needed, e.g. --role submitter");
  const days = expiryDays(given);
  const made = await client.keys.create(
    {
      name,
      roles,
      ...(tenants.length > 0 && { tenants }),
      ...(given.flag("allTenants") && { all_tenants: true }),
      ...(principal !== undefined && { principal_id: principal }),
      ...(given.flag("actsForOthers") && { acts_for_others: true }),
      ...(days !== undefined && { expires_at: new Date(runtime.now() + days * DAY_MS).toISOString() }),
    },
    { signal },
  );
  show(made, given, terminal);
}

export async function rotateKey({ client, given, terminal, signal }: Session, id: string): Promise<void> {
  const graceMs = given.text("grace") === "0" ? 0 : given.span("grace");
  if (graceMs === undefined)
    throw new CommandFailure(
      "USAGE",
      "--grace is needed: how long the old secret stays valid, e.g. 24h, or 0 to end it now",
    );
  const reason = given.text("reason");
  const made = await client.keys.rotate(id, Math.ceil(graceMs / 1_000), {
    signal,
    ...(reason !== undefined && { reason }),
  });
  show(made, given, terminal);
}

export async function revokeKey({ client, given, terminal, signal }: Session, id: string): Promise<void> {
  const reason = given.text("reason");
  const key = await client.keys.revoke(id, { signal, ...(reason !== undefined && { reason }) });
  if (given.flag("json")) terminal.print(json(key));
  else terminal.print(oneLine(`revoked ${key.id} (${key.name})`));
}

/** The secret alone on standard output, so that `KEY=$(cordum keys create …)` works. */
function show(made: MadeApiKey, given: Given, terminal: Session["terminal"]): void {
  if (given.flag("json")) terminal.print(json(made));
  else {
    terminal.print(oneLine(made.secret));
    terminal.note(oneLine(`key ${made.id} (${made.name}); it is shown this once`));
  }
}

/** `90d`, or a number of days. */
function expiryDays(given: Given): number | undefined {
  const text = given.text("expires");
  if (text === undefined) return undefined;
  const days = Number(/^(\d{1,4})d?$/.exec(text)?.[1] ?? 0);
  if (days >= 1 && days <= DAYS_MAX) return days;
  throw new CommandFailure("USAGE", `--expires expects days from 1d to ${DAYS_MAX}d, got "${text}"`);
}

function keyTable(keys: readonly ApiKeyRecord[], now: number): string {
  const rows = keys.map((key) => [
    key.id,
    key.name,
    key.all_tenants ? `${key.tenants.join(",")} and all others` : key.tenants.join(","),
    key.roles.join(","),
    key.principal_id,
    key.secrets.length > 1 ? `${key.state}, two secrets` : key.state,
    key.last_used_at === undefined ? "never" : `${age(now - Date.parse(key.last_used_at))} ago`,
    key.expires_at ?? "never",
  ]);
  return table([["KEY", "NAME", "TENANTS", "ROLES", "PRINCIPAL", "STATE", "LAST USED", "EXPIRES"], ...rows]);
}
