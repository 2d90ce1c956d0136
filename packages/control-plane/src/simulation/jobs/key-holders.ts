// Managers and holders of API keys at a node of a simulated house.
// Owns:          making, rotating, revoking and using keys, and what they were told.
// Must not know: how keys are kept and remembered; what must hold of a key (key-watch.ts).

import type { KeyAccess } from "../../gateway/key-access.ts";
import { createKey, type Manager, revokeKey, rotateKey } from "../../keys/manage.ts";
import { hashSecret, keyIdOfSecret } from "../../keys/secret.ts";
import { Fault } from "../../ports/fault.ts";
import { BOUND_MS } from "./key-watch.ts";
import { actorNamed, faultOr, ignoringFaults, TENANT, type User } from "./user.ts";

const KEYS_MAX = 3;
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
