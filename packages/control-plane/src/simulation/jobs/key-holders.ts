// Managers and holders of API keys at a node of a simulated house.
// Owns:          making, rotating, revoking and using keys; what must hold of who is let in.
// Must not know: how keys are kept and remembered.
// G20: What counts is in force everywhere BOUND_MS after it was committed, where State answers: a secret that is valid lets in, one that was
//      replaced or revoked does not. Nobody is refused on the ground that State does not answer.

import type { KeyAccess } from "../../gateway/key-access.ts";
import { FRESH_MS } from "../../keys/known-keys.ts";
import { createKey, type Manager, revokeKey, rotateKey } from "../../keys/manage.ts";
import { KEY_KIND, type ManagedKey, parseManagedKey } from "../../keys/managed-key.ts";
import { hashSecret, keyIdOfSecret } from "../../keys/secret.ts";
import { Fault } from "../../ports/fault.ts";
import type { Batch } from "../../ports/state.ts";
import type { EpochMs } from "../../ports/time.ts";
import { actorNamed, faultOr, ignoringFaults, TENANT, type User } from "./people.ts";

const KEYS_MAX = 3;
/** A read takes two seconds at most, a call under way is slow, clocks differ. */
const BOUND_MS = FRESH_MS + 8_000;

interface Known {
  readonly secret: string;
  readonly hash: string;
}

export class KeyWatch {
  /** By hash of a secret: since when it lets in, and since when not any more. */
  readonly #valid = new Map<string, { from: EpochMs; until: EpochMs | undefined }>();
  readonly #latest = new Map<string, ManagedKey>();
  /** What holders were given. */
  readonly secrets: Known[] = [];

  forget(): void {
    this.#valid.clear();
    this.#latest.clear();
  }

  observe({ changes }: Batch, now: EpochMs): void {
    for (const change of changes)
      if (change.do === "put" && change.key.kind === KEY_KIND) this.#see(parseManagedKey(change.value), now);
  }

  #see(key: ManagedKey, now: EpochMs): void {
    const secrets = key.revokedAt === "never" ? key.secrets : [];
    const hashes = secrets.map(({ hash }) => hash);
    for (const { hash } of this.#latest.get(key.id)?.secrets ?? []) if (!hashes.includes(hash)) this.#end(hash, now);
    for (const { hash, validUntil } of secrets) {
      if (!this.#valid.has(hash)) this.#valid.set(hash, { from: now, until: undefined });
      if (validUntil !== "never") this.#end(hash, validUntil);
    }
    this.#latest.set(key.id, key);
  }

  #end(hash: string, at: EpochMs): void {
    const valid = this.#valid.get(hash);
    if (valid !== undefined) valid.until = Math.min(valid.until ?? at, at);
  }

  /** "any": both answers are right at this moment. */
  expected(hash: string, now: EpochMs): "in" | "out" | "any" {
    const valid = this.#valid.get(hash);
    if (valid === undefined) return "any";
    if (valid.until !== undefined && now >= valid.until - BOUND_MS) return now > valid.until + BOUND_MS ? "out" : "any";
    return now > valid.from + BOUND_MS ? "in" : "any";
  }
}

const MANAGER: Manager = {
  actor: { ...actorNamed("ada"), role: "admin" },
  tenant: TENANT,
  tenants: [TENANT],
  allTenants: false,
  mayGive: () => true,
  mayLetActForOthers: false,
};

export async function holdKeys(access: KeyAccess, user: User): Promise<void> {
  const { ledger } = user;
  const { chance, clock, signal } = user.ports;
  for (let nth = 0; await clock.sleep(800 + chance.below(3_000), signal); nth++) {
    const roll = chance.below(10);
    await ignoringFaults(async () => {
      if (ledger.isHealed || roll < 6) await useOne(access, user);
      else if (roll < 8 && ledger.keys.secrets.length < KEYS_MAX) await makeOne(nth, access, user);
      else await changeOne(roll, access, user);
    });
  }
}

async function makeOne(nth: number, { keys }: KeyAccess, { name, ports, ledger, fail }: User): Promise<void> {
  const wish = {
    ...{ name: "one", tenants: [TENANT], allTenants: false, roles: ["operator"], principal: "" },
    ...{ actsForOthers: false, expiresAt: "never" as const },
  };
  const idempotencyKey = ports.chance.once(2) ? "" : `${name}-${ports.life}-${nth}`;
  const { secret, key } = await createKey(wish, { manager: MANAGER, idempotencyKey }, keys, ports.signal);
  ledger.keys.secrets.push({ secret, hash: hashSecret(secret) });
  ledger.count("key made");
  ledger.confirmDeed("key.create", key.id, fail);
}

async function changeOne(roll: number, { keys }: KeyAccess, { ports, ledger, fail }: User): Promise<void> {
  const known = ledger.keys.secrets[ports.chance.below(Math.max(1, ledger.keys.secrets.length))];
  const id = known === undefined ? undefined : keyIdOfSecret(known.secret);
  if (id === undefined) return;
  if (roll === 8) {
    const by = { manager: MANAGER, idempotencyKey: "", graceMs: ports.chance.once(2) ? 0 : 5_000, reason: "" };
    const { secret } = await rotateKey(id, by, keys, ports.signal);
    ledger.keys.secrets.push({ secret, hash: hashSecret(secret) });
    ledger.count("key rotated");
    ledger.confirmDeed("key.rotate", id, fail);
  } else {
    await revokeKey(id, { manager: MANAGER, reason: "" }, keys, ports.signal);
    ledger.count("key revoked");
    ledger.confirmDeed("key.revoke", id, fail);
  }
}

async function useOne({ auth }: KeyAccess, user: User): Promise<void> {
  const { ports, ledger, fail } = user;
  const known = ledger.keys.secrets[ports.chance.below(Math.max(1, ledger.keys.secrets.length))];
  if (known === undefined) return;
  const expectedBefore = ledger.keys.expected(known.hash, ledger.now());
  const answer = await faultOr(auth.identify(known.secret, ports.clock.now()));
  const refused = answer instanceof Fault ? answer.code : undefined;
  ledger.count(`key ${refused ?? "let in"}`);
  // What was asked for may have changed meanwhile.
  if (expectedBefore !== ledger.keys.expected(known.hash, ledger.now())) return;
  if (expectedBefore === "in" && refused === "UNAUTHENTICATED")
    fail(`G20: a secret that is valid for ${BOUND_MS} ms and more is refused`);
  // While State does not answer, a key goes on for some minutes (keys/known-keys.ts, N3).
  if (expectedBefore === "out" && refused === undefined && ledger.isHealedFor(BOUND_MS))
    fail(`G20: a secret that is not valid for ${BOUND_MS} ms and more lets in`);
  if (expectedBefore === "out" && refused === "UNAUTHENTICATED") ledger.count("key out");
}
