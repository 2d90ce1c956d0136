// Whatever happens, records, indexes, lanes, alarms, slots and dead letters agree.

import fc from "fast-check";
import { expect, it } from "vitest";
import { approveJob, rejectJob } from "../approvals/answer.ts";
import { Fault } from "../ports/fault.ts";
import { NO_TIMEOUTS, OPEN_ROUTING } from "../scheduling/routing.ts";
import { type JobScene, NEVER, openJobScene, POLICY } from "../testing/job-scene.ts";
import { person } from "../testing/people.ts";
import { disagreements } from "../testing/records-agree.ts";
import { addWorker, type SceneWorker } from "../testing/scene-worker.ts";
import { cancelJob } from "./cancel.ts";
import { isTerminal } from "./job.ts";
import { parseJob } from "./job-codec.ts";
import { JOB_KIND } from "./job-store.ts";

const TOPICS = ["job.echo", "job.small", "job.ask", "job.slow", "job.no.x", "job.few", "job.nobody"];
const LIMITED = `${POLICY}  - id: few
    match: { topics: ["job.few"] }
    decision: allow_with_constraints
    constraints: { budgets: { max_concurrent_jobs: 1 } }
`;
const POLICIES = [
  LIMITED,
  LIMITED.replace("a person must look", "look"),
  LIMITED.replace("decision: deny", "decision: allow"),
  "",
];

interface Act {
  readonly kind:
    | "submit"
    | "cancel"
    | "approve"
    | "reject"
    | "result"
    | "progress"
    | "restart"
    | "policy"
    | "pass"
    | "route";
  readonly which: number;
}
const acts: fc.Arbitrary<Act> = fc.record({
  kind: fc.oneof(
    { weight: 8, arbitrary: fc.constant("submit" as const) },
    { weight: 6, arbitrary: fc.constant("result" as const) },
    { weight: 3, arbitrary: fc.constant("pass" as const) },
    {
      weight: 6,
      arbitrary: fc.constantFrom("cancel", "approve", "reject", "progress", "restart", "policy", "route"),
    },
  ),
  which: fc.nat(999),
});

class Play {
  readonly ids: string[] = [];
  readonly scene: JobScene;
  readonly worker: SceneWorker;

  constructor(scene: JobScene, worker: SceneWorker) {
    this.scene = scene;
    this.worker = worker;
  }

  async act({ kind, which }: Act): Promise<void> {
    const { scene, worker, ids } = this;
    const id = ids[which % Math.max(1, ids.length)] ?? "nothing";
    const tenant = which % 4 === 0 ? "other" : "acme";
    const answer = { tenant, actor: person(`p${which % 3}`), reason: "", note: "" };
    switch (kind) {
      case "submit":
        return this.#submit(which);
      case "cancel":
        await cancelJob(id, { tenant: undefined, by: person("ada"), reason: "" }, scene.parts, NEVER);
        return;
      case "approve":
        await approveJob(id, answer, scene.parts, NEVER);
        return;
      case "reject":
        await rejectJob(id, answer, scene.parts, NEVER);
        return;
      case "result":
        return worker.result({ jobId: id, status: which % 12, errorCode: which % 7 === 0 ? "WORKER_FULL" : "" });
      case "progress":
        return worker.progress(id, which % 101);
      case "restart":
        return worker.restart(`i-${which}`);
      case "policy":
        scene.policy.replace(POLICIES[which % POLICIES.length] ?? "");
        return;
      case "route":
        scene.core.useScheduling({ routing: { ...OPEN_ROUTING, isOpen: which % 3 !== 0 }, timeouts: NO_TIMEOUTS });
        return;
      case "pass":
        return scene.pass([50, 1_000, 7_000, 40_000][which % 4] ?? 0);
    }
  }

  async #submit(which: number): Promise<void> {
    const { jobId } = await this.scene.submit({
      topic: TOPICS[which % TOPICS.length] ?? "",
      tenant: which % 5 === 0 ? "other" : "acme",
      team: which % 3 === 0 ? "red" : "",
      priority: (["critical", "interactive", "batch"] as const)[which % 3] ?? "batch",
      deadlineMs: which % 6 === 0 ? 20_000 : 0,
      idempotencyKey: which % 4 === 0 ? `k${which % 10}` : "",
      labels: which % 9 === 0 ? { "placement.gpu": "a100" } : {},
    });
    this.ids.push(jobId);
  }
}

it("agree after any sequence of what people, workers and time do", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(acts, { minLength: 5, maxLength: 60 }), fc.nat(), async (sequence, seed) => {
      const scene = await openJobScene({
        shared: true,
        seed,
        policy: LIMITED,
        settings: { approvalTtlMs: 50_000, backlogMaxMs: 90_000, upkeepMs: 30_000, relistMs: 60_000 },
      });
      await scene.addCore();
      const play = new Play(
        scene,
        await addWorker(scene, { topics: TOPICS.slice(0, -1), capacity: 3, instance: "i-0" }),
      );
      for (const act of sequence) {
        try {
          await play.act(act);
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
        }
        await scene.quiet();
        expect(disagreements(scene.state.dump(), scene.clock.now())).toEqual([]);
      }
      scene.policy.replace(LIMITED);
      await scene.pass(5_000);
      await play.worker.die();
      await scene.pass(260_000);
      expect(disagreements(scene.state.dump(), scene.clock.now())).toEqual([]);
      const left = scene.state.dump().records.filter(({ stored }) => stored.key.kind === JOB_KIND);
      const open = left.map(({ stored }) => parseJob(stored.value)).filter((job) => !isTerminal(job));
      expect(open.filter(({ phase }) => phase.state !== "PENDING").map(({ phase }) => phase)).toEqual([]);
      expect(scene.said.filter(({ level }) => level === "error")).toEqual([]);
      await scene.settle();
      expect(scene.parts.outbound.size).toBe(0);
    }),
    { numRuns: 40 },
  );
}, 120_000);
