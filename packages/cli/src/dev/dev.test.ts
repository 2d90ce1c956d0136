import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "../program.ts";
import { systemRuntime } from "../runtime.ts";
import { type DevProcess, runCommand, startDev } from "../testing/dev-process.ts";
import { testTerminal } from "../testing/terminal.ts";

let home = "";
const running: DevProcess[] = [];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "cordum-dev-"));
});
afterEach(async () => {
  for (const dev of running.splice(0)) {
    if (dev.child.exitCode === null && dev.child.signalCode === null) dev.child.kill("SIGTERM");
    await dev.ended;
  }
  rmSync(home, { recursive: true });
});

async function dev(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<DevProcess> {
  const started = await startDev(home, args, env);
  running.push(started);
  return started;
}
/** Other commands run in this process: each start of Node would cost most of a second. */
async function cordum(...args: string[]) {
  return cordumWith({}, ...args);
}
async function cordumWith(env: Readonly<Record<string, string>>, ...args: string[]) {
  const { terminal, out, err } = testTerminal({ folder: home, env });
  return { code: await run(args, { terminal, runtime: systemRuntime }), out: out(), err: err() };
}

describe("cordum dev", () => {
  it("keeps jobs, keys and policy from one start to the next, and ends in order", async () => {
    const first = await dev();
    expect(statSync(join(home, ".cordum", "keys.json")).mode & 0o777).toBe(0o600);
    const waits = await cordum(
      "job",
      "submit",
      "job.echo",
      "--input",
      "1",
      "--risk-tags",
      "destructive",
      "--as",
      "submitter",
    );
    const jobId = waits.out.trim();
    first.child.kill("SIGTERM");
    expect((await first.ended).code).toBe(0);
    expect(await cordum("status")).toMatchObject({ code: 8 });

    await dev();
    expect((await cordum("job", "status", jobId)).out.trim()).toBe("APPROVAL_REQUIRED");
    expect((await cordum("approve", jobId, "--as", "submitter")).code).toBe(3);
    expect((await cordum("approve", jobId, "--as", "approver")).code).toBe(0);
    const watched = await cordum("job", "watch", jobId);
    expect(watched.code).toBe(0);
    expect(JSON.parse(watched.out)).toMatchObject({ echo: 1, jobId });
    expect((await cordum("reject", jobId, "--as", "approver")).code).toBe(5);
  }, 60_000);

  it("keeps configuration and schemas, and checks inputs against them", async () => {
    await dev();
    const schema = JSON.stringify({ type: "object", required: ["n"] });
    expect((await cordum("schemas", "register", "pack/In", schema)).code).toBe(0);
    expect((await cordum("schemas", "list")).out).toBe("pack/In");
    expect(JSON.parse((await cordum("schemas", "get", "pack/In")).out)).toEqual(JSON.parse(schema));
    const topics = JSON.stringify({ topics: { "job.echo": { input_schema_id: "pack/In" } } });
    expect((await cordum("config", "set", topics, "--revision", "0")).code).toBe(0);
    expect((await cordum("config", "set", "{}", "--revision", "0")).code).not.toBe(0);
    expect((await cordum("config", "set", '{"model":"small"}', "--scope", "team", "--id", "red")).code).toBe(0);
    const view = await cordum("config", "effective", "--team", "red");
    expect(JSON.parse(view.out)).toEqual({ ...JSON.parse(topics), model: "small" });
    const wrong = await cordum("job", "submit", "job.echo", "--input", "{}");
    expect([wrong.code, wrong.err]).toEqual([expect.any(Number), expect.stringContaining("required property 'n'")]);
    expect((await cordum("job", "submit", "job.echo", "--input", '{"n":1}', "--wait")).code).toBe(0);
    expect((await cordum("config", "delete")).code).toBe(0);
    expect((await cordum("job", "submit", "job.echo", "--input", "{}", "--wait")).code).toBe(0);
  }, 60_000);

  it("lets all jobs be followed as they change", async () => {
    await dev();
    const following = cordum("job", "watch", "--count", "1", "--timeout", "20s", "--json");
    const ended = { isSo: false };
    void following.then(() => {
      ended.isSo = true;
    });
    for (let n = 0; n < 50 && !ended.isSo; n++)
      await cordum("job", "submit", "job.echo", "--input", String(n), "--wait");
    const { code, out } = await following;
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ topic: "job.echo", tenant: "default" });
    expect(await cordum("job", "watch", "--timeout", "10ms")).toMatchObject({ code: 6, out: "" });
  }, 60_000);

  it("makes keys that open the API, and takes them away again", async () => {
    await dev();
    const made = await cordum("keys", "create", "--name", "ci", "--role", "submitter,viewer", "--expires", "90d");
    expect(made).toMatchObject({ code: 0, err: expect.stringContaining("(ci); it is shown this once") });
    const [key, id] = [made.out.trim(), /key (\w+)/.exec(made.err)?.[1] ?? ""];
    const submit = (apiKey: string) =>
      cordumWith({ CORDUM_API_KEY: apiKey }, "job", "submit", "job.echo", "--input", "1");
    expect((await submit(key)).code).toBe(0);
    expect(await cordumWith({ CORDUM_API_KEY: key }, "keys", "list")).toMatchObject({ code: 3 });
    expect((await cordum("keys", "list")).out).toMatch(
      new RegExp(`${id} +ci +default +submitter,viewer +key:${id} +active`),
    );
    const rotated = await cordum("keys", "rotate", id, "--grace", "1h", "--reason", "yearly");
    expect([(await submit(key)).code, (await submit(rotated.out.trim())).code]).toEqual([0, 0]);
    expect((await cordum("keys", "rotate", id, "--grace", "1h")).code).toBe(5);
    expect((await cordum("keys", "revoke", id)).out).toContain(`revoked ${id}`);
    expect((await submit(rotated.out.trim())).code).toBe(3);
    expect((await cordum("keys", "list", "--ended", "--json")).out).toContain('"revoked"');
    expect((await cordum("keys", "revoke", "nosuchkey00")).err).toContain("cordum keys list");
  }, 60_000);

  it("uses a changed policy within a second or so, and keeps the old one when the new one is no good", async () => {
    const policyPath = join(home, "policy.yaml");
    writeFileSync(policyPath, "default_decision: allow\n");
    const started = await dev(["--policy", policyPath]);
    const decided = async () => (await cordum("job", "submit", "job.echo", "--prompt", "p", "--wait")).code;
    expect(await decided()).toBe(0);
    writeFileSync(policyPath, "default_decision: maybe\n");
    await until(() => started.said().includes("file.refused"));
    expect(await decided()).toBe(0);
    writeFileSync(policyPath, "default_decision: deny\n");
    await until(() => started.said().includes("file.used"));
    expect(await decided()).toBe(7);
  }, 60_000);

  it("runs workers of a module, which may take the place of a sample", async () => {
    const module = `import { worker } from ${JSON.stringify(import.meta.resolve("@cordum/sdk"))};
export const workers = [worker("job.sum", (input) => input.reduce((a, b) => a + b, 0)), worker("job.echo", () => "mine")];`;
    writeFileSync(join(home, "mine.ts"), module);
    await dev(["--workers", "mine.ts"]);
    expect((await cordum("job", "submit", "job.sum", "--input", "[1,2,3]", "--wait")).out.trim()).toBe("6");
    expect((await cordum("job", "submit", "job.echo", "--input", "1", "--wait")).out.trim()).toBe('"mine"');
    expect((await cordum("workers")).out).toContain("default");
  }, 60_000);

  it("drains a worker to its last job, and cancels with the worker's word", async () => {
    const module = `import { worker } from ${JSON.stringify(import.meta.resolve("@cordum/sdk"))};
const untilStopped = (_, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
export const workers = [worker("job.endless", untilStopped)];`;
    writeFileSync(join(home, "endless.ts"), module);
    await dev(["--workers", "endless.ts"]);
    const submit = async (topic: string) =>
      (await cordum("job", "submit", topic, "--input", "1", "--prompt", "p")).out.trim();
    const stateOf = async (id: string) => (await cordum("job", "status", id)).out.trim();
    const jobId = await submit("job.endless");
    await untilAsync(async () => (await stateOf(jobId)) === "RUNNING");
    const workerId: string = JSON.parse((await cordum("workers", "--json")).out)[0].worker_id;
    const tooLong = await cordum("workers", "drain", workerId, "--reason", "new kernel", "--wait", "--timeout", "1ms");
    expect(tooLong).toMatchObject({ code: 6 });
    expect(tooLong.err).toContain("1 job left");
    const waiting = await submit("job.endless");
    const draining = cordum("workers", "drain", workerId, "--wait");
    const cancelled = await cordum("job", "cancel", jobId, "--wait");
    expect(cancelled.err).toContain(`acknowledged by ${workerId}`);
    expect(await draining).toMatchObject({ code: 0, out: `${workerId}  drained` });
    expect((await cordum("workers")).out).toContain("drained");
    expect((await cordum("job", "get", jobId)).out).toMatch(/^stop +acknowledged/m);
    expect(await stateOf(waiting)).toBe("SCHEDULED");
    expect((await cordum("workers", "undrain", workerId)).out).toBe(`${workerId}  ready`);
    await untilAsync(async () => (await stateOf(waiting)) === "RUNNING");
    await cordum("job", "cancel", waiting, "--wait");
    expect((await cordum("workers", "drain", "nobody")).code).toBe(4);
    expect(await cordum("workers", "revoke", workerId)).toMatchObject({ code: 0, out: `${workerId}  has no session` });
    expect((await cordum("workers", "revoke", "nobody")).code).toBe(4);
  }, 60_000);

  it("stops at once on the second signal", async () => {
    const module = `import { worker } from ${JSON.stringify(import.meta.resolve("@cordum/sdk"))};
export const workers = [worker("job.stuck", () => new Promise(() => setInterval(() => {}, 1000)))];`;
    writeFileSync(join(home, "stuck.ts"), module);
    const started = await dev(["--workers", "stuck.ts"]);
    const { out } = await cordum("job", "submit", "job.stuck", "--prompt", "p");
    await untilAsync(async () => (await cordum("job", "status", out.trim())).out.trim() === "RUNNING");
    started.child.kill("SIGINT");
    await until(() => started.said().includes("stopping"));
    // What comes within 300 ms is taken for the same key press.
    await new Promise((resolve) => setTimeout(resolve, 400));
    started.child.kill("SIGINT");
    expect((await started.ended).code).toBe(130);
  }, 60_000);

  it("says what is wrong, all at once, and starts nothing", async () => {
    const env = { GATEWAY_HTTP_ADDR: "8081", API_RATE_LIMIT_RPS: "fast", CORDUM_STAET: "memory" };
    const { code, out, err } = await runCommand(["dev"], { cwd: home, env });
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toContain("did you mean CORDUM_STATE?");
    expect(err).toMatch(/invalid configuration, 2 problems:\n {2}GATEWAY_HTTP_ADDR .*\n {2}API_RATE_LIMIT_RPS /);
  });

  it("names a port that is taken, a policy that is no good, a module without workers", async () => {
    const { url } = await dev();
    const other = join(home, "other");
    const taken = await runCommand(["dev", "--data", other, "--port", new URL(url).port], { cwd: home });
    expect(taken).toMatchObject({ code: 1, out: "" });
    expect(taken.err).toMatch(/port \d+ is taken\n.*--port/);
    writeFileSync(join(home, "bad.yaml"), "rules: 5\n");
    const bad = await runCommand(["dev", "--data", other, "--policy", "bad.yaml"], { cwd: home });
    expect(bad.code).toBe(1);
    expect(bad.err).toContain("bad.yaml is not valid");
    writeFileSync(join(home, "none.ts"), "export const something = 1;\n");
    const none = await runCommand(["dev", "--data", other, "--workers", "none.ts"], { cwd: home });
    expect(none.code).toBe(2);
    expect(none.err).toContain("does not export workers");
  }, 60_000);

  it("refuses a data folder that another process uses", async () => {
    await dev();
    const second = await runCommand(["dev", "--port", "0"], { cwd: home });
    expect(second.code).toBe(1);
    expect(second.err.split("\n").filter((line) => line.startsWith("error:"))).toHaveLength(1);
    // The first one is still found.
    expect((await cordum("status")).code).toBe(0);
  }, 60_000);

  it("takes a key of its own folder from the shell without calling it a second key", async () => {
    await (await stopped(await dev())).ended;
    const keys: unknown = JSON.parse(readFileSync(join(home, ".cordum", "keys.json"), "utf8"));
    const submitter = Array.isArray(keys) ? String(keys[1].key) : "";
    await dev([], { CORDUM_API_KEY: submitter });
    expect((await cordumWith({ CORDUM_API_KEY: submitter }, "dlq")).code).toBe(3);
  }, 60_000);
});

async function stopped(process: DevProcess): Promise<DevProcess> {
  process.child.kill("SIGTERM");
  await process.ended;
  return process;
}

async function until(holds: () => boolean): Promise<void> {
  await untilAsync(async () => holds());
}

async function untilAsync(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 50));
}
