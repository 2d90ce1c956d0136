import { spawn } from "node:child_process";
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { conformanceLayout, faultOf, never, put, Scene } from "../../conformance/state-scene.ts";
import { systemClock } from "../system/clock.ts";
import { openSqlite, type SqliteOptions, type SqliteStore } from "./open-sqlite.ts";

let folder = "";
let path = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "cordum-sqlite-"));
  path = join(folder, "state.db");
});
afterEach(() => rm(folder, { recursive: true }));

const open = (more: Partial<SqliteOptions> = {}): Promise<SqliteStore> =>
  openSqlite({ path, partitions: 1, layout: conformanceLayout, clock: systemClock(), ...more });

function sceneOf({ state }: SqliteStore): Scene {
  return new Scene({ state, pass: async (ms) => void (await systemClock().sleep(ms, never)) }, 0);
}

/** Runs SQL on the closed file. */
function query(sql: string): readonly Record<string, unknown>[] {
  const db = new DatabaseSync(path);
  const rows = db.prepare(sql).all();
  db.close();
  return rows;
}

// A process that commits pairs of records and an index entry, and says which were accepted. Its arguments: modules, path.
const WRITER = `
  const [openFile, clockFile, path] = process.argv.slice(1);
  const { openSqlite } = await import(openFile);
  const { systemClock } = await import(clockFile);
  const layout = { indexes: { rank: { score: "rank" } }, logs: {} };
  const { state } = await openSqlite({ path, partitions: 1, layout, clock: systemClock() });
  const lane = async (from) => {
    for (let n = from; ; n += 8) {
      const key = (id) => ({ partition: 0, kind: "thing", id });
      const index = { partition: 0, index: "rank", of: [] };
      const write = (id) => ({ do: "put", key: key(id), value: "x".repeat(3000), wakeAt: "never" });
      const changes = [write("a" + n), write("b" + n), { do: "enter", index, member: "m" + n, score: n }];
      const batch = { id: "commit-" + n, partition: 0, checks: [{ is: "absent", key: key("a" + n) }], changes };
      await state.commit(batch, new AbortController().signal);
      console.log(n);
    }
  };
  for (let from = 0; from < 8; from++) void lane(from);
`;

function startWriter() {
  const files = [new URL("./open-sqlite.ts", import.meta.url), new URL("../system/clock.ts", import.meta.url)];
  const args = ["--conditions=source", "--input-type=module", "-e", WRITER, ...files.map(String), path];
  return spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
}

describe("sqlite: who owns the file", () => {
  it("F4: it is for its owner alone, with its log and its lock, in a folder that others may look into too", async () => {
    await chmod(folder, 0o755);
    const store = await open();
    for (const name of ["state.db", "state.db-wal", "state.db.lock"])
      expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
    await store.state.close();
  });

  it("F1: refuses a file that another process owns, naming it, and takes it over when that one was killed; F2: nothing is lost", async () => {
    const writer = startWriter();
    const accepted: number[] = [];
    for await (const line of createInterface({ input: writer.stdout })) {
      accepted.push(Number(line));
      if (accepted.length === 100) {
        await expect(open()).rejects.toMatchObject({
          code: "STATE_MISCONFIGURED",
          message: expect.stringContaining(`process ${writer.pid};`),
        });
      }
      if (accepted.length === 300) writer.kill("SIGKILL");
    }
    expect(accepted.length).toBeGreaterThanOrEqual(300);
    const store = await open();
    const s = sceneOf(store);
    const keys = accepted.flatMap((n) => [s.key(`a${n}`), s.key(`b${n}`)]);
    expect((await store.state.get(keys, never)).every((found) => found !== undefined)).toBe(true);
    const size = await s.count(s.index("rank"));
    await store.state.close();
    expect(query("SELECT count(*) AS n FROM record")).toEqual([{ n: size * 2 }]);
    expect(query("SELECT count(*) AS n FROM entry")).toEqual([{ n: size }]);
    expect(query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });
  it("F1: refuses to open a file twice in one process", async () => {
    const store = await open();
    await expect(open()).rejects.toMatchObject({
      code: "STATE_MISCONFIGURED",
      message: expect.stringContaining(`process ${process.pid};`),
    });
    await store.state.close();
    const again = await open();
    await again.state.close();
  });
  it("leaves one file when it is closed", async () => {
    const store = await open();
    await sceneOf(store).create("a");
    await store.state.close();
    expect(await readdir(folder)).toEqual(["state.db"]);
  });
  it("refuses a file of a newer schema and one that is no database", async () => {
    await (await open()).state.close();
    query("UPDATE meta SET value = 99 WHERE key = 'schema'");
    await expect(open()).rejects.toMatchObject({
      code: "STATE_MISCONFIGURED",
      message: expect.stringContaining("schema 99"),
    });
    path = join(folder, "text.db");
    await writeFile(path, "this is not a database, it is a text that is long enough to be one".repeat(50));
    await expect(open()).rejects.toMatchObject({ code: "STATE_UNAVAILABLE" });
    path = join(folder, "no such folder", "state.db");
    await expect(open()).rejects.toMatchObject({ code: "STATE_UNAVAILABLE" });
  });
});

describe("sqlite: calls", () => {
  it("S8: a payload travels with the commit that follows it, ahead of the record", async () => {
    const store = await open();
    const s = sceneOf(store);
    const before = store.transactions();
    const key = s.key("a");
    await Promise.all([
      store.payloads.put("ctx:a", Uint8Array.of(1), 60_000, never),
      s.must([{ is: "absent", key }], [put(key, { context: "ctx:a" })]),
    ]);
    expect(store.transactions() - before).toBe(1);
    await store.state.close();
  });
  it("close lets what waits be done", async () => {
    const store = await open();
    const s = sceneOf(store);
    const created = Promise.all(Array.from({ length: 3000 }, (_, n) => s.create(`k${n}`)));
    await store.state.close();
    await created;
    expect(query("SELECT count(*) AS n FROM record")).toEqual([{ n: 3000 }]);
  });
  it("K2: refuses calls above waitingMax as not done", async () => {
    const store = await open({ waitingMax: 10 });
    const s = sceneOf(store);
    const told = await Promise.all(Array.from({ length: 50 }, (_, n) => faultOf(s.create(`k${n}`))));
    expect(told.filter((fault) => fault === "no fault")).toHaveLength(10);
    expect(told.filter((fault) => fault === "STATE_UNAVAILABLE")).toHaveLength(40);
    await store.state.close();
    expect(query("SELECT count(*) AS n FROM record")).toEqual([{ n: 10 }]);
  });
  it("I1: sizes are what is there, and S5: sweep leaves no names of empty indexes and logs", async () => {
    const store = await open();
    const s = sceneOf(store);
    const now = await s.now();
    for (let n = 0; n < 60; n++) {
      const key = s.key(`k${n}`);
      const [index, recent] = [s.index("rank", `x${n % 3}`), s.index("recent", `y${n}`)];
      await s.must(
        [{ is: "absent", key }],
        [
          put(key, n, { keepMs: 50 }),
          { do: "enter", index, member: `m${n % 7}`, score: n },
          { do: n % 4 === 0 ? "leave" : "enter", index, member: `m${n % 5}`, score: n },
          { do: "enter", index: recent, member: "m", score: now - 1000 },
          { do: "append", log: s.log("brief", `z${n % 5}`), entry: n },
        ],
      );
    }
    await s.opened.pass(200);
    while (!(await store.state.sweep(0, 7, never)).done);
    await store.state.close();
    expect(query("SELECT id FROM idx WHERE size <> (SELECT count(*) FROM entry WHERE idx = id)")).toEqual([]);
    expect(query("SELECT name FROM idx ORDER BY name")).toEqual(
      ["rank:x0", "rank:x1", "rank:x2"].map((name) => ({ name })),
    );
    expect(
      query(
        "SELECT (SELECT count(*) FROM record) + (SELECT count(*) FROM log) + (SELECT count(*) FROM log_entry) AS n",
      ),
    ).toEqual([{ n: 0 }]);
  });
});
