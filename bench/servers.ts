// The Redis and NATS of one contender, and what they say about themselves.
// Owns:          starting them, their CPU time, what they were asked.
// Must not know: who uses them.

import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startNats } from "@cordum/control-plane/testing/nats-servers";
import { freePort, startRedis } from "@cordum/control-plane/testing/servers";

/** never: nothing goes to the disk. */
export type Fsync = "always" | "everysec" | "never";

export interface RedisReading {
  readonly cpuMicros: number;
  /** Times that Redis read from a socket: bundles of commands, each of which somebody waits for. */
  readonly reads: number;
  /** Calls of scripts. */
  readonly scripts: number;
  /** Memory that Redis has given to data and to itself. */
  readonly bytes: number;
  readonly version: string;
}
export interface MeasuredRedis extends AsyncDisposable {
  readonly url: string;
  read(): Promise<RedisReading>;
}

export async function startMeasuredRedis(fsync: Fsync): Promise<MeasuredRedis> {
  const server = await startRedis({ appendonly: fsync === "never" ? "no" : fsync });
  const admin = server.admin();
  return {
    url: server.url,
    async read() {
      const said = await admin.info("server", "cpu", "stats", "commandstats", "memory");
      const number = (name: string): number => Number(new RegExp(`^${name}([\\d.]+)`, "m").exec(said)?.[1] ?? 0);
      return {
        cpuMicros: Math.round((number("used_cpu_user:") + number("used_cpu_sys:")) * 1e6),
        reads: number("total_reads_processed:"),
        scripts: number("cmdstat_evalsha:calls=") + number("cmdstat_eval:calls="),
        bytes: number("used_memory:"),
        version: /^redis_version:(\S+)/m.exec(said)?.[1] ?? "",
      };
    },
    async [Symbol.asyncDispose]() {
      admin.disconnect();
      await server.stop();
    },
  };
}

export interface NatsReading {
  readonly cpuMicros: number;
  /** Messages that clients have sent. */
  readonly published: number;
  readonly version: string;
}
export interface MeasuredNats extends AsyncDisposable {
  readonly url: string;
  read(): Promise<NatsReading>;
}

export async function startMeasuredNats(jetstream: boolean): Promise<MeasuredNats> {
  const monitorPort = await freePort();
  const pidPath = join(tmpdir(), `cordum-bench-nats-${process.pid}-${monitorPort}.pid`);
  const server = await startNats({ jetstream, args: ["-m", String(monitorPort), "--pid", pidPath] });
  const pid = (await readFile(pidPath, "utf8")).trim();
  await rm(pidPath);
  return {
    url: server.url,
    async read() {
      const answer = await fetch(`http://127.0.0.1:${monitorPort}/varz`);
      const { in_msgs, version } = (await answer.json()) as { readonly in_msgs: number; readonly version: string };
      return { cpuMicros: await cpuMicrosOf(pid), published: in_msgs, version };
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

const MICROS_PER_TICK = 10_000;

/** NaN where there is no /proc. Source: proc_pid_stat(5): fields 14 and 15, in clock ticks of which Linux has 100 a second. */
async function cpuMicrosOf(pid: string): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * MICROS_PER_TICK;
}
