import { afterEach, describe, expect, it } from "vitest";
import type { SchemaVerdict } from "../../ports/schema-judge.ts";
import { silentLog } from "../../telemetry/log.ts";
import { systemClock } from "../system/clock.ts";
import { type VirtualClock, virtualClock } from "../system/virtual-clock.ts";
import { AjvJudge, type JudgeThread, QUESTION_MS, REST_MS } from "./ajv-judge.ts";
import type { FromThread, ToThread } from "./thread.ts";

const NEVER = new AbortController().signal;
const VALID: FromThread = { kind: "judged", verdict: { kind: "valid" } };

let judge: AjvJudge | undefined;
afterEach(() => judge?.close());

const real = () => {
  judge = new AjvJudge({ clock: systemClock(), log: silentLog() });
  return (schema: object, payload: unknown, owner = "acme") =>
    judge?.judge({ schema: JSON.stringify(schema), json: Buffer.from(JSON.stringify(payload)), owner }, NEVER);
};

describe("schemas that would take for ever", () => {
  const twice = (name: string) => ({ allOf: [{ $ref: `#/$defs/${name}` }, { $ref: `#/$defs/${name}` }] });
  const doubling = {
    $defs: Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`d${n}`, n === 59 ? {} : twice(`d${n + 1}`)])),
    $ref: "#/$defs/d0",
  };

  it.each<[string, object, unknown]>([
    ["a pattern that tries everything", { pattern: "^(a|a)*$" }, `${"a".repeat(60)}b`],
    ["definitions that double sixty times", doubling, {}],
    [
      "a list of a hundred thousand different things",
      { uniqueItems: true },
      Array.from({ length: 100_000 }, (_, n) => [n]),
    ],
  ])("D1 D2 end by themselves, and the next one is answered: %s", async (_, schema, payload) => {
    const ask = real();
    expect(await ask({ type: "object" }, {}, "other")).toEqual({ kind: "valid" });
    expect(await ask(schema, payload)).toMatchObject({ kind: "unchecked" });
    expect(await ask({ type: "object" }, {}, "other")).toEqual({ kind: "valid" });
    expect(await ask({ type: "object" }, {})).toMatchObject({
      kind: "unchecked",
      reason: expect.stringContaining("wait"),
    });
  });

  it("a circle without an end is wrong, and costs nothing", async () => {
    const ask = real();
    const circle = { $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } }, $ref: "#/$defs/a" };
    expect(await ask(circle, {})).not.toMatchObject({ kind: "valid" });
    expect(await ask({ type: "object" }, {})).toEqual({ kind: "valid" });
  });
});

function unheard<T>(said: T): void {
  throw new Error(`nobody listens to ${JSON.stringify(said)}`);
}

/** Threads that answer when a test says so. */
function stage() {
  const clock: VirtualClock = virtualClock();
  const threads: {
    readonly asked: ToThread[];
    hasEnded: boolean;
    say(message: FromThread): void;
    end(cause: Error): void;
  }[] = [];
  const start = (): JudgeThread => {
    const asked: ToThread[] = [];
    const thread = { asked, hasEnded: false, say: unheard<FromThread>, end: unheard<Error> };
    threads.push(thread);
    return {
      ask: (question) => asked.push(question),
      listen(on) {
        thread.say = on.message;
        thread.end = on.end;
      },
      async end() {
        thread.hasEnded = true;
      },
    };
  };
  judge = new AjvJudge({ clock, log: silentLog(), start });
  const ask = (schema: string, owner = "acme", signal = NEVER): Promise<SchemaVerdict> =>
    judge?.judge({ schema, owner }, signal) ?? Promise.reject(new Error("no judge"));
  const thread = (at: number) => {
    const found = threads[at];
    if (found === undefined) throw new Error(`no thread ${at}`);
    return found;
  };
  return { clock, threads, thread, ask };
}

describe("the thread", () => {
  it("D1 is there from the first question on, and has one at a time", async () => {
    const { threads, thread, ask } = stage();
    expect(threads).toHaveLength(0);
    const answers = [ask("1"), ask("2")];
    expect(thread(0).asked).toEqual([]);
    thread(0).say({ kind: "ready" });
    expect(thread(0).asked.map(({ schema }) => schema)).toEqual(["1"]);
    thread(0).say(VALID);
    thread(0).say(VALID);
    expect(await Promise.all(answers)).toEqual([{ kind: "valid" }, { kind: "valid" }]);
    expect(threads).toHaveLength(1);
  });

  it("D2 is ended with the question that is late; those behind it get another one", async () => {
    const { clock, thread, ask } = stage();
    const [late, behind] = [ask("late", "slow"), ask("behind")];
    await clock.advance(5_000); // starting takes its time
    thread(0).say({ kind: "ready" });
    await clock.advance(QUESTION_MS - 1);
    expect(thread(0).hasEnded).toBe(false);
    await clock.advance(1);
    expect(await late).toMatchObject({ kind: "unchecked" });
    expect(thread(0).hasEnded).toBe(true);
    thread(0).say(VALID); // too late for anybody
    thread(1).say({ kind: "ready" });
    expect(thread(1).asked.map(({ schema }) => schema)).toEqual(["behind"]);
    thread(1).say(VALID);
    expect(await behind).toEqual({ kind: "valid" });
    expect(await ask("again", "slow")).toMatchObject({ kind: "unchecked" });
    await clock.advance(REST_MS);
    const again = ask("again", "slow");
    thread(1).say(VALID);
    expect(await again).toEqual({ kind: "valid" });
  });

  it("D2 is ended too when nobody waits for the late question any more", async () => {
    const { clock, thread, ask } = stage();
    const caller = new AbortController();
    const given = ask("late", "slow", caller.signal);
    thread(0).say({ kind: "ready" });
    caller.abort();
    expect(await given).toMatchObject({ kind: "unchecked" });
    const next = ask("next");
    await clock.advance(QUESTION_MS);
    expect(thread(0).hasEnded).toBe(true);
    thread(1).say({ kind: "ready" });
    thread(1).say(VALID);
    expect(await next).toEqual({ kind: "valid" });
  });

  it("that dies, or never starts, leaves its question unchecked and is replaced", async () => {
    const { clock, thread, ask } = stage();
    const first = ask("1", "a");
    thread(0).say({ kind: "ready" });
    thread(0).end(new Error("out of memory"));
    expect(await first).toMatchObject({ kind: "unchecked" });
    const second = ask("2", "b");
    await clock.advance(15_000);
    expect(await second).toMatchObject({ kind: "unchecked" });
    const third = ask("3", "c");
    thread(2).say({ kind: "ready" });
    thread(2).say(VALID);
    expect(await third).toEqual({ kind: "valid" });
  });

  it("D3 has a bounded line, for each owner and in all", async () => {
    const { thread, ask } = stage();
    const mine = Array.from({ length: 70 }, () => ask("x"));
    expect(await Promise.all(mine.slice(64))).toEqual(
      Array.from({ length: 6 }, () => ({ kind: "unchecked", reason: "too many payloads wait for their check" })),
    );
    const others = Array.from({ length: 1_000 }, (_, n) => ask("x", `o${n}`));
    expect(await others.at(-1)).toMatchObject({ kind: "unchecked" });
    thread(0).say({ kind: "ready" });
    for (let n = 0; n < 1_064; n++) thread(0).say(VALID);
    expect(await Promise.all(mine.slice(0, 64))).toEqual(Array.from({ length: 64 }, () => ({ kind: "valid" })));
    const next = ask("x");
    thread(0).say(VALID);
    expect(await next).toEqual({ kind: "valid" });
  });

  it("answers everybody when it is closed, and nobody after", async () => {
    const { thread, ask } = stage();
    const waiting = [ask("1"), ask("2")];
    await judge?.close();
    for (const answer of await Promise.all([...waiting, ask("3")])) expect(answer.kind).toBe("unchecked");
    expect(thread(0).hasEnded).toBe(true);
  });
});
