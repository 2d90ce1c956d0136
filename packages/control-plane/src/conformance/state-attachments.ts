// S9 (payloads that travel with a batch) of State.

import { expect } from "vitest";
import { Fault } from "../ports/fault.ts";
import type { Payloads } from "../ports/payloads.ts";
import type { Change } from "../ports/state.ts";
import { never, put, type Run, type Scene } from "./state-scene.ts";

const HOUR_MS = 3_600_000;

export function attachmentRules(run: Run): void {
  run("S9: a payload is there with the record, and replaces what was there", async (s) => {
    const payloads = payloadsOf(s);
    if (payloads === undefined) return expectRefusal(s);
    await payloads.put("ctx:a", Buffer.from("before"), HOUR_MS, never);
    await s.must([{ is: "absent", key: s.key("a") }], [put(s.key("a"), 1), attach("ctx:a", '{"ä":"€😀\\n"}')]);
    expect(await textOf(payloads, "ctx:a")).toBe('{"ä":"€😀\\n"}');
    expect((await s.get("a"))?.value).toBe(1);
  });
  run("S9: a batch that loses attaches nothing", async (s) => {
    const payloads = payloadsOf(s);
    if (payloads === undefined) return expectRefusal(s);
    await s.create("a");
    const outcome = await s.commit([{ is: "absent", key: s.key("a") }], [put(s.key("a"), 2), attach("ctx:a", "lost")]);
    expect(outcome.kind).toBe("conflict");
    expect(await textOf(payloads, "ctx:a")).toBeUndefined();
  });
  run("S9: a batch that comes twice attaches once", async (s) => {
    const payloads = payloadsOf(s);
    if (payloads === undefined) return expectRefusal(s);
    const key = s.key("a");
    const batch = s.batch([{ is: "absent", key }], [attach("ctx:a", "once"), put(key, 1)]);
    expect((await s.state.commit(batch, never)).kind).toBe("committed");
    await payloads.delete("ctx:a", never);
    expect((await s.state.commit(batch, never)).kind).toBe("committed");
    expect(await textOf(payloads, "ctx:a")).toBeUndefined();
  });
  run("S9: what is attached ends like any payload", async (s) => {
    const payloads = payloadsOf(s);
    if (payloads === undefined) return expectRefusal(s);
    await s.must(
      [{ is: "absent", key: s.key("a") }],
      [put(s.key("a"), 1), attach("ctx:a", "short", 100), attach("ctx:b", "", HOUR_MS)],
    );
    await s.opened.pass(150);
    expect(await textOf(payloads, "ctx:a")).toBeUndefined();
    expect(await textOf(payloads, "ctx:b")).toBe("");
  });
}

function payloadsOf({ state, opened }: Scene): Payloads | undefined {
  expect(opened.payloads !== undefined, "an engine that attaches brings its payloads").toBe(state.traits.attaches);
  return opened.payloads;
}

/** Engines that cannot say so. */
async function expectRefusal(s: Scene): Promise<void> {
  const refusal = await s
    .commit([{ is: "absent", key: s.key("a") }], [put(s.key("a"), 1), attach("ctx:a", "x")])
    .catch((error: unknown) => error);
  expect(refusal instanceof Fault && refusal.code).toBe("STATE_REFUSED");
  expect(await s.get("a")).toBeUndefined();
}

function attach(key: string, text: string, keepMs = HOUR_MS): Change {
  return { do: "attach", key, text, keepMs };
}

async function textOf(payloads: Payloads, key: string): Promise<string | undefined> {
  const bytes = await payloads.get(key, never);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}
