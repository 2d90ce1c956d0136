// The commands that read, explain and clean up, against one `cordum dev`.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../program.ts";
import { systemRuntime } from "../runtime.ts";
import { type DevProcess, startDev } from "../testing/dev-process.ts";
import { testTerminal } from "../testing/terminal.ts";

let home = "";
let dev: DevProcess;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "cordum-reading-"));
  dev = await startDev(home);
});
afterAll(async () => {
  dev.child.kill("SIGTERM");
  await dev.ended;
  rmSync(home, { recursive: true });
});

async function cordum(...args: string[]) {
  const { terminal, out, err } = testTerminal({ folder: home });
  return { code: await run(args, { terminal, runtime: systemRuntime }), out: out(), err: err() };
}
const submit = async (topic: string, ...more: string[]) =>
  (await cordum("job", "submit", topic, "--prompt", "p", ...more)).out.trim();
const idsOf = (out: string, member = "id"): readonly string[] =>
  JSON.parse(out).map((item: { readonly [name: string]: string }) => item[member]);

describe("cordum why", () => {
  it("says why a job waits, since when, and who can do something", async () => {
    const id = await submit("job.nobody.serves");
    const why = await cordum("why", id);
    expect(why.code).toBe(0);
    expect(why.out).toMatch(/^state {5}SCHEDULED {2}no_workers$/m);
    expect(why.out).toMatch(/^freed by {2}a worker .*job\.nobody\.serves/m);
    expect(why.out).toMatch(/^who {7}operator$/m);
    expect(why.out).toMatch(/^queue {5}pool \S+, interactive: 0 ahead, 1 waiting; 0 workers, 0 slots free$/m);
    expect(JSON.parse((await cordum("why", id, "--json")).out)).toMatchObject({ id, reason: "no_workers" });
    expect((await cordum("why", "nobody")).code).toBe(4);
  });
});

describe("cordum job events, cordum trace", () => {
  it("tell what happened, oldest first, and which jobs belong together", async () => {
    const id = await submit("job.echo", "--risk-tags", "destructive", "--as", "submitter");
    await cordum("approve", id, "--as", "approver", "--reason", "looks right");
    await cordum("job", "watch", id);
    const { out, err } = await cordum("job", "events", id);
    expect(err).toBe("");
    expect(out.split("\n").map((line) => line.split(/\s{2,}/)[1])).toEqual(
      expect.arrayContaining(["WHAT", "PENDING", "policy: REQUIRE_APPROVAL", "approval: approve", "SUCCEEDED"]),
    );
    expect(out).toMatch(/approval: approve {2,}looks right {2,}approver$/m);
    expect(JSON.parse((await cordum("job", "events", id, "--json")).out)).toMatchObject({ id, complete: true });
    const { trace_id } = JSON.parse((await cordum("job", "get", id, "--json")).out);
    expect(idsOf((await cordum("trace", trace_id, "--json")).out)).toEqual([id]);
    expect((await cordum("trace", trace_id)).out).toContain("SUCCEEDED");
    expect(await cordum("trace", "none")).toMatchObject({ code: 0, out: "", err: "no jobs of this trace" });
  });
});

describe("cordum job list", () => {
  it("filters by state, topic, tenant and time, and lists all of them", async () => {
    const ids = await Promise.all(Array.from({ length: 3 }, () => submit("job.listed")));
    const list = async (...args: string[]) => idsOf((await cordum("job", "list", "--json", ...args)).out).toSorted();
    expect(await list("--topic", "job.listed", "--all")).toEqual(ids.toSorted());
    expect(await list("--topic", "job.listed", "--state", "scheduled", "--since", "1h")).toEqual(ids.toSorted());
    expect(await list("--topic", "job.listed", "--since", "2999-01-01")).toEqual([]);
    expect(await list("--topic", "job.listed", "--until", "1h")).toEqual([]);
    expect(await list("--topic", "job.listed", "--tenant", "default", "--until", "2999-01-01T00:00Z")).toHaveLength(3);
    expect((await cordum("job", "list", "--tenant", "another")).code).toBe(3);
    const few = await cordum("job", "list", "--topic", "job.listed", "--limit", "1");
    expect(few.err).toBe("the newest 1; --limit shows more, --all shows all");
    const typo = await cordum("job", "list", "--state", "faild");
    expect(typo).toMatchObject({
      code: 2,
      err: expect.stringContaining("no job is in a state FAILD; the states are PENDING, "),
    });
    expect(await list("--topic", "job.listed", "--state", "output_quarantined")).toEqual([]);
    const wrong = await cordum("job", "list", "--since", "yesterday");
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("--since expects a time")]);
  });
});

describe("cordum job remediate", () => {
  it("submits a job in the form that policy offers instead, by its id where there are several", async () => {
    const file = join(home, ".cordum", "policy.yaml");
    const policy = readFileSync(file, "utf8");
    const offers = ["echo", "nobody.serves"].map((name) => `{id: ${name}, replacement_topic: job.${name}}`);
    writeFileSync(
      file,
      policy.replace("decision: deny\n", `decision: deny\n    remediations: [${offers.join(", ")}]\n`),
    );
    const remedies = async () => (await cordum("job", "get", await submit("job.blocked.it"))).out;
    await expect.poll(remedies, { timeout: 20_000, interval: 200 }).toMatch(/^remedies {3}echo, nobody\.serves$/m);
    const id = await submit("job.blocked.it");
    const unsaid = await cordum("job", "remediate", id);
    expect(unsaid).toMatchObject({ code: 1, err: expect.stringContaining("one of echo, nobody.serves") });
    const unknown = await cordum("job", "remediate", id, "--remediation", "other");
    expect(unknown).toMatchObject({ code: 4, err: expect.stringContaining("`cordum job get <id>`") });
    const made = await cordum("job", "remediate", id, "--remediation", "echo", "--json");
    expect((await cordum("job", "watch", JSON.parse(made.out).job_id)).code).toBe(0);
    expect((await cordum("job", "remediate", await submit("job.echo"))).code).toBe(5);
  });
});

describe("cordum dlq", () => {
  it("groups, retries and removes many, first without doing it", async () => {
    const topic = "job.blocked.bulk";
    const ids = (await Promise.all(Array.from({ length: 3 }, () => submit(topic)))).toSorted();
    const listed = async () => idsOf((await cordum("dlq", "--topic", topic, "--json")).out, "job_id").toSorted();
    expect(await listed()).toEqual(ids);
    expect(await cordum("dlq", "--topic", topic, "--code", "other")).toMatchObject({ out: "", err: "no dead letters" });
    const groups = await cordum("dlq", "groups", "--topic", topic);
    const [signature = "", count] = (groups.out.split("\n")[1] ?? "").split(/\s{2,}/);
    expect(count).toBe("3");

    const planned = await cordum("dlq", "retry", "--signature", signature, "--dry-run");
    expect(planned).toMatchObject({ code: 0, err: "3 would retry" });
    expect(await listed()).toEqual(ids);
    const [first = ""] = ids;
    expect((await cordum("dlq", "delete", first, "--dry-run")).out).toBe(`would delete ${first}`);
    const retried = await cordum("dlq", "retry", "--signature", signature, "--reason", "mended", "--json");
    expect(retried.err).toBe("3 retried");
    expect(idsOf(retried.out, "job_id").toSorted()).toEqual(ids);
    const removed = await cordum("dlq", "delete", "--topic", topic, "--since", "1h");
    expect(removed).toMatchObject({ code: 0, err: "3 deleted" });
    expect(await cordum("dlq", "--topic", topic)).toMatchObject({ out: "", err: "no dead letters" });
  });

  it("does nothing to all of them unless that is said", async () => {
    for (const verb of ["retry", "delete"]) {
      const bare = await cordum("dlq", verb);
      expect([bare.code, bare.err]).toEqual([2, expect.stringContaining("--all")]);
      expect((await cordum("dlq", verb, "j1", "--topic", "job.x")).code).toBe(2);
      expect((await cordum("dlq", verb, "--all", "--dry-run")).code).toBe(0);
    }
    expect((await cordum("dlq", "retry", "nobody")).code).toBe(4);
    expect((await cordum("dlq", "delete", "--all", "--as", "submitter")).code).toBe(3);
  });
});

describe("cordum status", () => {
  it("counts the jobs that are not done", async () => {
    await submit("job.nobody.serves");
    const { out } = await cordum("status");
    expect(out).toMatch(/^scheduled {10}[1-9]\d*$/m);
    expect(out).toMatch(/^running {12}\d+$/m);
    expect(out).toMatch(/^workers {12}\d+$/m);
  });
});
