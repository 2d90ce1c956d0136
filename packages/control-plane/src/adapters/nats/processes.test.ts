// Several processes in one queue group.
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { never } from "../../conformance/bus-conformance.ts";
import { type NatsServer, startNats } from "../../testing/nats-servers.ts";
import { natsStage } from "../../testing/nats-stage.ts";
import { freePort } from "../../testing/server-process.ts";

const PROGRAM = fileURLToPath(new URL("../../testing/nats-member.ts", import.meta.url));
const GROUP = "cordum-scheduler";

let server: NatsServer;
/** Where the server says who is connected. */
let monitor: string;
const children: ChildProcess[] = [];
beforeEach(async () => {
  const port = await freePort();
  monitor = `http://127.0.0.1:${port}/connz`;
  server = await startNats({ jetstream: true, args: ["-m", String(port)] });
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await server.stop();
});

async function startMember(mode: string, subject: string): Promise<{ got: string[]; child: ChildProcess }> {
  const args = ["--conditions=source", PROGRAM, server.url, mode, subject, GROUP];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const got: string[] = [];
  const ready = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on("line", (line) => (line === "ready" ? ready.resolve() : got.push(line)));
  child.once("exit", () => ready.reject(new Error("the member ended")));
  await ready.promise;
  return { got, child };
}

async function connections(): Promise<unknown> {
  const said: unknown = await (await fetch(monitor)).json();
  return said !== null && typeof said === "object" && "num_connections" in said ? said.num_connections : said;
}

it.each([
  ["core", "sys.job.cancel"],
  ["jetstream", "sys.job.submit"],
])("%s: two processes share a group, and one goes on when the other is killed", async (mode, subject) => {
  const members = [await startMember(mode, subject), await startMember(mode, subject)];
  await using stage = natsStage(server.url, { mode: mode === "core" ? "core" : "jetstream" });
  const bus = await stage.open();
  const send = (from: number, to: number): Promise<unknown> =>
    Promise.all(
      Array.from({ length: to - from }, (_, n) =>
        bus.publish(subject, new TextEncoder().encode(`m${from + n}`), never),
      ),
    );
  const all = (): string[] => members.flatMap(({ got }) => got);
  await send(0, 200);
  await expect.poll(() => all().length).toBe(200);
  expect(new Set(all()).size).toBe(200);
  expect(Math.min(...members.map(({ got }) => got.length))).toBeGreaterThan(20);

  members[0]?.child.kill("SIGKILL");
  await new Promise((resolve) => members[0]?.child.once("exit", resolve));
  await expect.poll(connections).toBe(2); // else the dead one would still be given its share
  await send(200, 300);
  const last = Array.from({ length: 100 }, (_, n) => `m${200 + n}`);
  const missing = (): string[] => last.filter((text) => !all().includes(text));
  await expect.poll(missing).toEqual([]);
});
