import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findTarget } from "./connect.ts";
import { ensurePolicy, forgetAddress, noteAddress, openFolder } from "./dev/folder.ts";
import { Given } from "./given.ts";
import { loadAddress, loadKeys } from "./local.ts";
import { testTerminal } from "./testing/terminal.ts";

let home = "";
let data = "";
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "cordum-local-"));
  data = join(home, ".cordum");
});
afterEach(() => rmSync(home, { recursive: true }));

let made = 0;
const open = () => openFolder(data, "default", () => `random${++made}`);
const target = (options: Record<string, string>, env: Record<string, string> = {}) =>
  findTarget(new Given(options), testTerminal({ env, folder: home }).terminal);

describe("the data folder", () => {
  it("holds three keys for its owner alone, made once", () => {
    const first = open();
    expect(first.keys.map(({ principal_id, role }) => [principal_id, role])).toEqual([
      ["admin", "admin"],
      ["submitter", "submitter"],
      ["approver", "approver"],
    ]);
    expect(new Set(first.keys.map(({ key }) => key)).size).toBe(3);
    expect(statSync(first.keysPath).mode & 0o777).toBe(0o600);
    expect(statSync(data).mode & 0o777).toBe(0o700);
    expect(open().keys).toEqual(first.keys);
  });

  it.each(["dev.json", "cordum.db", "cordum.db-wal", "cordum.db-shm", "cordum.db.lock"])(
    "is refused where %s leads elsewhere (F3)",
    (name) => {
      mkdirSync(data);
      writeFileSync(join(home, "precious"), "mine");
      symlinkSync(join(home, "precious"), join(data, name));
      expect(() => noteAddress(open(), "http://127.0.0.1:1")).toThrow(`${name} is a link`);
      expect(readFileSync(join(home, "precious"), "utf8")).toBe("mine");
    },
  );

  it("gets its policy inside, although a link stands there (F3)", () => {
    mkdirSync(data);
    symlinkSync(join(home, "elsewhere"), join(data, "policy.yaml"));
    const folder = open();
    expect(() => ensurePolicy(folder)).toThrow("EEXIST");
    expect(existsSync(join(home, "elsewhere"))).toBe(false);
  });

  it("says so when its keys are damaged, instead of making new ones", () => {
    open();
    writeFileSync(join(data, "keys.json"), '[{"key":"k"}]');
    expect(() => loadKeys(data)).toThrow("is no list of keys");
    writeFileSync(join(data, "keys.json"), "nonsense");
    expect(open).toThrow("cannot read");
  });
});

describe("the target of a command", () => {
  it("is localhost without a key when nothing is said", () => {
    expect(target({})).toEqual({ url: "http://localhost:8081", apiKey: undefined });
  });

  it("is the server of this folder with its admin key while it runs", () => {
    const folder = open();
    noteAddress(folder, "http://127.0.0.1:4321");
    expect(target({})).toEqual({ url: "http://127.0.0.1:4321", apiKey: folder.keys[0]?.key });
    expect(target({ as: "approver" }).apiKey).toBe(folder.keys[2]?.key);
    forgetAddress(folder);
    expect(target({}).url).toBe("http://localhost:8081");
  });

  it("prefers the command line, then the environment, then the folder", () => {
    noteAddress(open(), "http://127.0.0.1:4321");
    const env = { CORDUM_API_URL: "http://127.0.0.1:2", CORDUM_GATEWAY: "http://127.0.0.1:3", CORDUM_API_KEY: "env" };
    expect(target({ url: "http://127.0.0.1:1", apiKey: "given" }, env)).toEqual({
      url: "http://127.0.0.1:1",
      apiKey: "given",
    });
    expect(target({ gateway: "http://127.0.0.1:9" }, env).url).toBe("http://127.0.0.1:9");
    expect(target({}, env)).toEqual({ url: "http://127.0.0.1:2", apiKey: "env" });
  });

  it("never sends a key of the folder to another machine", () => {
    open();
    expect(target({ url: "https://cordum.example.com" }).apiKey).toBeUndefined();
    expect(() => target({ url: "https://cordum.example.com", as: "admin" })).toThrow("not sent to another machine");
  });

  it("does not believe a folder that names another machine", () => {
    noteAddress(open(), "https://evil.example.com");
    expect(loadAddress(data)).toBeUndefined();
    writeFileSync(join(data, "dev.json"), '{"url":"http://127.0.0.1@evil.example.com"}');
    expect(loadAddress(data)).toBeUndefined();
  });

  it("names the principals that there are", () => {
    expect(() => target({ as: "nobody" })).toThrow("--as nobody: there is no");
    open();
    expect(() => target({ as: "nobody" })).toThrow("has keys for admin, submitter, approver");
  });

  it("looks where CORDUM_DATA_DIR says, relative or absolute", () => {
    const key = open().keys[0]?.key;
    expect(target({}, { CORDUM_DATA_DIR: "elsewhere" }).apiKey).toBeUndefined();
    expect(target({}, { CORDUM_DATA_DIR: data }).apiKey).toBe(key);
    expect(target({}, { CORDUM_DATA_DIR: "./.cordum" }).apiKey).toBe(key);
  });

  it("reads a key from a file", () => {
    const path = join(home, "key");
    writeFileSync(path, "from-file\n");
    expect(target({ apiKeyFile: path }).apiKey).toBe("from-file");
    writeFileSync(path, "\n");
    expect(() => target({ apiKeyFile: path })).toThrow("is empty");
  });
});
