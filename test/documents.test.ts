// What the documents show works: code is compiled and run, files are read by their own parsers, links lead somewhere.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DevProcess, runCommand, startDev } from "../packages/cli/src/testing/dev-process.ts";
import { addressOf, checkDocument } from "../packages/control-plane/src/config/document.ts";
import { parseApiKeys } from "../packages/control-plane/src/gateway/api-keys.ts";
import { parsePolicy } from "../packages/control-plane/src/policy/language.ts";
import { parseTimeouts } from "../packages/control-plane/src/scheduling/routing.ts";

const ROOT = join(import.meta.dirname, "..");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

function blocks(path: string, language: string): readonly string[] {
  return [...read(path).matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, each]) => each === language)
    .map(([, , text = ""]) => text);
}
/** The one block that holds `mark`. */
function block(path: string, language: string, mark: string): string {
  const found = blocks(path, language).filter((text) => text.includes(mark));
  expect(found, `${path} has one ${language} block with ${mark}`).toHaveLength(1);
  return found[0] ?? "";
}

describe("TypeScript in the documents", () => {
  let home = "";
  let dev: DevProcess | undefined;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "cordum-docs-"));
    symlinkSync(join(ROOT, "node_modules"), join(home, "node_modules"));
    writeFileSync(join(home, "package.json"), '{"type":"module"}');
  });
  afterEach(async () => {
    dev?.child.kill("SIGTERM");
    await dev?.ended;
    dev = undefined;
    rmSync(home, { recursive: true });
  });

  it("compiles and does what the text says", async () => {
    writeFileSync(join(home, "my-workers.ts"), block("docs/quickstart.md", "ts", "JobError"));
    writeFileSync(join(home, "mail-workers.ts"), block("README.md", "ts", "job.mail.send"));
    const client = block("docs/quickstart.md", "ts", "new Client");
    writeFileSync(join(home, "ask.ts"), client);
    compile(home);
    dev = await startDev(home, ["--workers", "my-workers.ts", "--workers", "mail-workers.ts"]);
    const submit = (topic: string, input: string) =>
      runCommand(["job", "submit", topic, "--input", input, "--wait"], { cwd: home });
    expect(JSON.parse((await submit("job.numbers.sum", "[1, 2, 3]")).out)).toEqual({ sum: 6 });
    expect((await submit("job.numbers.sum", '"six"')).err).toContain("INVALID_INPUT: expected a list of numbers");
    expect(JSON.parse((await submit("job.mail.send", '{"to":"ada"}')).out)).toEqual({ sent: { to: "ada" } });
    writeFileSync(join(home, "ask.ts"), client.replace("http://localhost:8081", dev.url));
    const keys: unknown = JSON.parse(readFileSync(join(home, ".cordum", "keys.json"), "utf8"));
    const env = { ...process.env, CORDUM_API_KEY: Array.isArray(keys) ? String(keys[0].key) : "" };
    const asked = spawnSync(process.execPath, ["--conditions=source", "ask.ts"], { cwd: home, env, encoding: "utf8" });
    expect(asked.stdout, asked.stderr).toBe("SUCCEEDED { sum: 6 }\n");
  }, 60_000);

  it("connects a worker with a key alone", async () => {
    writeFileSync(join(home, "by-key.ts"), block("docs/workers.md", "ts", "apiKey"));
    writeFileSync(
      join(home, "run.ts"),
      'import { start } from "./by-key.ts";\nconst serving = await start(String(process.env.URL), String(process.env.KEY));\nconsole.log("ready");\nawait serving.untilStopped();\n',
    );
    compile(home);
    dev = await startDev(home, []);
    const keys: unknown = JSON.parse(readFileSync(join(home, ".cordum", "keys.json"), "utf8"));
    const env = { ...process.env, URL: dev.url, KEY: Array.isArray(keys) ? String(keys[0].key) : "" };
    const child = spawn(process.execPath, ["--conditions=source", "run.ts"], { cwd: home, env });
    const ended = new Promise((resolve) => child.on("close", resolve));
    await new Promise((resolve) => child.stdout.once("data", resolve));
    const submitted = ["job", "submit", "job.text.count", "--input", '"to be or not"', "--wait"];
    expect(JSON.parse((await runCommand(submitted, { cwd: home })).out)).toBe(4);
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
  }, 60_000);
});

/** As strictly as the repository itself; only what a reader may leave unused is allowed. */
function compile(home: string): void {
  const compilerOptions = { noUnusedParameters: false, typeRoots: [join(ROOT, "node_modules", "@types")] };
  writeFileSync(
    join(home, "tsconfig.json"),
    JSON.stringify({ extends: join(ROOT, "tsconfig.json"), compilerOptions, include: ["*.ts"] }),
  );
  const tsc = spawnSync(process.execPath, [join(ROOT, "node_modules", "typescript", "bin", "tsc"), "-p", home], {
    encoding: "utf8",
  });
  expect(tsc.stdout.split("\n").filter((line) => line.includes("cordum-docs-"))).toEqual([]);
  expect(tsc.error).toBeUndefined();
}

describe("files in the documents", () => {
  it("are policies without faults and warnings", () => {
    const policies = [
      block("docs/concepts.md", "yaml", "rules:"),
      read("packages/cli/src/dev/policy.yaml"),
      read("examples/demo/policy.yaml"),
    ];
    for (const policy of policies) expect(parsePolicy(policy).warnings).toEqual([]);
  });

  it("are documents of configuration that may be written", () => {
    for (const mark of ["denied_topics", "input_schema_id"]) {
      const { scope, scope_id = "", data } = JSON.parse(block("docs/concepts.md", "json", mark));
      checkDocument({ ...addressOf(scope, scope_id, "acme"), data, meta: {} });
    }
  });

  it("are timeouts and keys that are read", () => {
    const limits = { timeoutMs: 60_000, maxRetries: 2 };
    const timeouts = parseTimeouts(block("docs/operations.md", "yaml", "timeout_seconds"));
    expect(timeouts).toMatchObject({ kind: "parsed", value: { topics: new Map([["job.mail.send", limits]]) } });
    const keys = block("docs/operations.md", "json", "principal_id")
      .replace("…", "first-key")
      .replace("…", "second-key");
    const parsed = parseApiKeys({ keys, file: undefined, single: [], defaultTenant: "default", allowsNoKeys: false });
    expect(parsed.faults).toEqual([]);
    expect(parsed.keys.map(({ principal }) => principal)).toEqual(["build-agent", "ada"]);
  });
});

describe("links in the documents", () => {
  const pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", ...markdownBelow("docs")];

  it.each(pages)("of %s lead somewhere", (page) => {
    const prose = read(page).replace(/^ *```[\s\S]*?^ *```$/gm, "");
    const links = [...prose.matchAll(/\]\(([^)\s]+)\)|src="([^"]+)"/g)].map(([, link, source]) => link ?? source ?? "");
    const broken = links.filter((link) => !/^https?:/.test(link) && !leadsSomewhere(page, link));
    expect(broken).toEqual([]);
  });
});

function markdownBelow(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => `${folder}/${path}`);
}

function leadsSomewhere(page: string, link: string): boolean {
  const [path = "", anchor] = link.split("#");
  const target = path === "" ? page : join(dirname(page), path);
  if (!existsSync(join(ROOT, target))) return false;
  if (anchor === undefined) return true;
  const headings = [...read(target).matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) =>
    text
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
  return headings.includes(anchor);
}
