import { JobStatus } from "@cordum/protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Dump } from "../adapters/memory/memory-state.ts";
import { retryDeadLetter } from "../jobs/retry.ts";
import { type JobScene, NEVER, openJobScene } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { DEAD_LETTER_INDEX } from "./dead-letter.ts";
import { type DeadLetterGroup, type GroupQuery, groupDeadLetters } from "./group-dead-letters.ts";
import { discardDeadLetter } from "./resolve.ts";

let scene: JobScene;
let worker: SceneWorker;
let looks = 0;
beforeEach(async () => {
  looks = 0;
  scene = await openJobScene({
    state: (real) =>
      new Proxy(real, {
        get(target, name) {
          if (name === "list" || name === "count" || name === "get") looks++;
          const member: unknown = Reflect.get(target, name);
          return typeof member === "function" ? member.bind(target) : member;
        },
      }),
  });
  worker = await addWorker(scene, { topics: ["job.echo", "job.two"], capacity: 1_000 });
});
afterEach(() => scene.settle());

async function fail(errorMessage: string, over: { code?: string; topic?: string; tenant?: string } = {}) {
  const { code = "E1", topic = "job.echo", tenant = "acme" } = over;
  const { jobId } = await scene.submit({ topic, tenant });
  await worker.result({ jobId, status: JobStatus.FAILED_FATAL, errorCode: code, errorMessage });
  await scene.quiet();
  await scene.clock.advance(1);
  return jobId;
}

async function walk(query: Partial<GroupQuery> = {}): Promise<readonly DeadLetterGroup[]> {
  const found: DeadLetterGroup[] = [];
  let { after } = query;
  do {
    const from = after === undefined ? {} : { after };
    const page = await groupDeadLetters(scene.parts.state, { tenant: "acme", limit: 50, ...query, ...from }, NEVER);
    found.push(...page.groups);
    after = page.next;
  } while (after !== undefined);
  return found;
}
const brief = (groups: readonly DeadLetterGroup[]) =>
  groups.map(({ example, count }) => `${count} × ${example.topic} ${example.code}: ${example.pattern}`);
const op = { tenant: "acme", actor: person("op") };

describe("groups of dead letters", () => {
  it("count what died of the same thing, newest first, with an example", async () => {
    for (let n = 0; n < 7; n++) await fail(`no order ${n}`);
    for (let n = 0; n < 3; n++) await fail(`order ${n} is locked by worker-${n * 77}`);
    await fail("no order 1", { topic: "job.two" });
    await fail("no order 1", { code: "E2" });
    await fail("foreign", { tenant: "other" });
    const last = await fail("no order 99");
    const groups = await walk();
    expect(brief(groups)).toEqual([
      "8 × job.echo E1: no order <n>",
      "1 × job.echo E2: no order <n>",
      "1 × job.two E1: no order <n>",
      "3 × job.echo E1: order <n> is locked by worker-<n>",
    ]);
    expect(groups[0]?.example.jobId).toBe(last);
    expect(brief(await walk({ topic: "job.two" }))).toEqual(["1 × job.two E1: no order <n>"]);
    expect(brief(await walk({ code: "E2" }))).toEqual(["1 × job.echo E2: no order <n>"]);
    expect(brief(await walk({ tenant: "other" }))).toEqual(["1 × job.echo E1: foreign"]);
  });

  it("come once each, with pages of any size, over all partitions", async () => {
    const names = Array.from({ length: 12 }, (_, n) => String.fromCharCode(97 + n));
    for (let round = 0; round < 3; round++) {
      for (const name of names) await fail(`${name} broke`);
      await scene.clock.advance(60_000);
    }
    const newestFirst = names.toReversed().map((name) => `3 × job.echo E1: ${name} broke`);
    for (const limit of [1, 2, 5, 100]) expect(brief(await walk({ limit }))).toEqual(newestFirst);
  });

  it("count within a time alone", async () => {
    await fail("a broke");
    await scene.clock.advance(100); // what happens to a job at one moment of this clock is written as one after the other
    const from = scene.clock.now();
    await fail("b broke");
    await fail("b broke");
    await scene.clock.advance(100);
    const to = scene.clock.now() - 1;
    await fail("b broke");
    expect(brief(await walk({ createdAfter: from, createdBefore: to }))).toEqual(["2 × job.echo E1: b broke"]);
    expect(brief(await walk({ createdBefore: from - 1 }))).toEqual(["1 × job.echo E1: a broke"]);
  });

  it("shrink and vanish with their letters", async () => {
    const ids = [await fail("a broke"), await fail("a broke"), await fail("a broke"), await fail("b broke")];
    await retryDeadLetter(ids[2] ?? "", op, scene.parts, NEVER);
    expect(brief(await walk())).toContain("2 × job.echo E1: a broke");
    for (const id of ids.slice(0, 2)) await discardDeadLetter(id, op, scene.parts, NEVER);
    expect(brief(await walk())).toEqual(["1 × job.echo E1: b broke"]);
    const dump: Dump = scene.state.dump();
    const listed = dump.indexes.filter(({ key }) => key.index === DEAD_LETTER_INDEX.signatures);
    expect(listed.flatMap(({ entries }) => entries).length).toBe(1);
    await fail("a broke");
    expect(brief(await walk())).toEqual(["1 × job.echo E1: a broke", "1 × job.echo E1: b broke"]);
  });

  it("vanish when their last letters leave at the same moment (resolve.ts, V3)", async () => {
    const ids = [await fail("a broke"), await fail("a broke"), await fail("a broke")];
    await Promise.all(ids.map((id) => discardDeadLetter(id, op, scene.parts, NEVER)));
    const listed = scene.state.dump().indexes.filter(({ key }) => key.index === DEAD_LETTER_INDEX.signatures);
    expect(listed.flatMap(({ entries }) => entries)).toEqual([]);
  });

  it("cost the same number of looks however many letters there are", async () => {
    const cost = async () => {
      looks = 0;
      await walk();
      return looks;
    };
    for (let n = 0; n < 3; n++) await fail(`a broke ${n}`);
    const few = await cost();
    for (let n = 0; n < 40; n++) await fail(`a broke ${n}`);
    expect(await cost()).toBeLessThanOrEqual(few);
    expect(few).toBeLessThanOrEqual(3 + 1 + 1 + 1);
  });
});
