import { describe, expect, it } from "vitest";
import { memoryState } from "../adapters/memory/memory-state.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { openKeys } from "../keys/manage.ts";
import { makeKey } from "../keys/managed-key.ts";
import { parseConfiguration } from "./configuration.ts";
import { DEFAULT_RETENTION, stateLayout } from "./core.ts";
import { readKeys, refuseWithoutKeys } from "./gateway-settings.ts";

const never = new AbortController().signal;
const clock = systemClock();
const open = () => memoryState({ partitions: 3, layout: stateLayout(DEFAULT_RETENTION), clock });
async function accessFrom(env: Record<string, string>) {
  const parsed = parseConfiguration(env);
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  return readKeys(parsed.config);
}

describe("the keys of a start", () => {
  it("are those that are configured; a list that holds none stops it", async () => {
    expect(await accessFrom({ CORDUM_API_KEY: "k" })).toMatchObject({ configured: [{ role: "admin" }], isOpen: false });
    for (const nothing of ["[]", "{}"])
      await expect(accessFrom({ CORDUM_API_KEYS: nothing })).rejects.toThrow("holds no key");
  });

  it("are none where everybody is let in, and only then is everybody let in", async () => {
    expect(await accessFrom({ CORDUM_ALLOW_INSECURE_NO_AUTH: "1" })).toMatchObject({ configured: [], isOpen: true });
    const both = { CORDUM_ALLOW_INSECURE_NO_AUTH: "1", CORDUM_MANAGED_KEYS_ONLY: "1" };
    expect(await accessFrom(both)).toMatchObject({ isOpen: false });
  });

  it("may all lie in State, but there has to be one", async () => {
    const access = await accessFrom({ CORDUM_MANAGED_KEYS_ONLY: "true" });
    const state = open();
    await expect(refuseWithoutKeys(access, { state, clock })).rejects.toThrow("no key was made yet");
    const wish = {
      name: "first",
      tenants: ["default"],
      allTenants: false,
      roles: ["admin"],
      principal: "ada",
      actsForOthers: false,
      expiresAt: "never",
    } as const;
    const owner = { tenant: "default", principal: "boot", keyId: "" };
    const key = makeKey("0123456789A", wish, { owner, secret: { hash: "h", request: "" } }, clock.now());
    await openKeys(state, clock).create(key, {}, never);
    await refuseWithoutKeys(access, { state, clock });
  });
});
