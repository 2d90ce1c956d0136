// The fleet of docs/operations.md, started by the lines of the page.
// Owns:          servers, gateways and schedulers of the page on ports of this machine and in the folder of a terminal; their end.
// Must not know: what is done with them.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findNats, findRedis } from "@cordum/control-plane/testing/ensure-servers";
import { freePort, type ServerProcess, startProcess } from "@cordum/control-plane/testing/server-process";
import { blockOf, commandsOf } from "./shell-blocks.ts";
import type { Started, Terminal } from "./terminal.ts";

const PAGE = readFileSync(join(import.meta.dirname, "..", "..", "docs", "operations.md"), "utf8");

export interface Process extends Started {
  /** Of the API, or of the health of a scheduler. */
  readonly url: string;
}

export class DocumentedFleet implements AsyncDisposable {
  readonly nats: string;
  readonly redis: string;
  readonly #terminal: Terminal;
  readonly #ports: { readonly nats: number; readonly redis: number };
  readonly #servers = new Map<"nats-server" | "redis-server", ServerProcess>();

  private constructor(terminal: Terminal, ports: { readonly nats: number; readonly redis: number }) {
    this.#terminal = terminal;
    this.#ports = ports;
    this.nats = `nats://127.0.0.1:${ports.nats}`;
    this.redis = `redis://127.0.0.1:${ports.redis}`;
  }

  /** Both servers, and the environment of every process. */
  static async start(terminal: Terminal): Promise<DocumentedFleet> {
    const fleet = new DocumentedFleet(terminal, { nats: await freePort(), redis: await freePort() });
    const [, redisConf = ""] = /^```text redis\.conf\n([\s\S]*?)^```$/m.exec(PAGE) ?? [];
    // The page says nothing of the last: a snapshot need not wait for other replicas here.
    const here = `port ${fleet.#ports.redis}\nbind 127.0.0.1\nrepl-diskless-sync-delay 0\n`;
    writeFileSync(terminal.path("redis.conf"), fleet.here(redisConf) + here);
    mkdirSync(terminal.path("redis"));
    for (const line of blockOf("docs/operations.md", "nats-server --jetstream").trim().split("\n"))
      await fleet.serve(line);
    terminal.set(exportsOf(fleet.here(blockOf("docs/operations.md", "export NATS_URL"))));
    return fleet;
  }

  /** The text with what stands for places replaced by those of this machine. */
  here(text: string, ...more: readonly (readonly [string, string])[]): string {
    const places = [
      ["nats://nats:4222", this.nats],
      ["redis://redis:6379", this.redis],
      ["/etc/redis/redis.conf", this.#terminal.path("redis.conf")],
      ["/var/lib/redis", this.#terminal.path("redis")],
      ["/var/lib/nats", this.#terminal.path("nats")],
      ...more,
    ] as const;
    return places.reduce((said, [there, place]) => said.replaceAll(there, place), text);
  }

  /** One server, by the line that starts it. */
  async serve(line: string): Promise<void> {
    const [
      {
        words: [name = "", ...args],
      } = { words: [] },
    ] = commandsOf(this.here(line));
    const folder = this.#terminal.path(name === "redis-server" ? "redis" : "nats");
    if (name === "redis-server") {
      const start = { program: findRedis(), args: [...args, "--dir", folder], folder };
      this.#servers.set(name, await startProcess({ ...start, ready: "Ready to accept connections" }));
    } else if (name === "nats-server") {
      const start = { program: findNats(), args: [...args, "-a", "127.0.0.1", "-p", `${this.#ports.nats}`], folder };
      this.#servers.set(name, await startProcess({ ...start, ready: "Server is ready" }));
    } else throw new Error(`no server is called ${name}`);
  }

  /** As a crash; with `andItsDisk` its folder is empty afterwards. */
  async killRedis(andItsDisk: "and its disk" | "alone"): Promise<void> {
    await this.#servers.get("redis-server")?.kill();
    if (andItsDisk === "alone") return;
    rmSync(this.#terminal.path("redis"), { recursive: true });
    mkdirSync(this.#terminal.path("redis"));
  }

  async gateway(line = lineOf("gateway")): Promise<Process> {
    const env = { GATEWAY_HTTP_ADDR: "127.0.0.1:0", GATEWAY_METRICS_ADDR: "off" };
    const started = await this.#terminal.start(line, /^Cordum gateway ready/m, env);
    return { ...started, url: /ready at (\S+) after/.exec(started.said())?.[1] ?? "" };
  }

  async scheduler(line = lineOf("scheduler")): Promise<Process> {
    const address = `127.0.0.1:${await freePort()}`;
    const started = await this.#terminal.start(line, /^Cordum scheduler ready/m, { SCHEDULER_METRICS_ADDR: address });
    return { ...started, url: `http://${address}` };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers.values()) await server.kill();
  }
}

/** NAME=value of all lines that export. */
export function exportsOf(text: string): Readonly<Record<string, string>> {
  const lines = text.split("\n").filter((line) => line.startsWith("export "));
  const pairs = lines.flatMap((line) => [...line.matchAll(/(\w+)=("[^"]*"|\S+)/g)]);
  return Object.fromEntries(pairs.map(([, name = "", value = ""]) => [name, value.replace(/^"(.*)"$/, "$1")]));
}

function lineOf(role: "gateway" | "scheduler"): string {
  const block = blockOf("docs/operations.md", "export NATS_URL");
  const line = block.split("\n").find((each) => each.includes(`--roles ${role}`));
  if (line === undefined) throw new Error(`the page does not start a ${role}`);
  return line;
}
