import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROLES } from "./permissions.ts";
import { type FuzzedOperation, findingIn, idsIn, requestFor } from "./testing/fuzz.ts";
import { openScene, type Scene } from "./testing/gateway-scene.ts";
import { descriptionOf, methodOf } from "./testing/route-table.ts";

/** Longer by CORDUM_FUZZ_SECONDS; a finding is repeated by CORDUM_FUZZ_SEED. */
const BUDGET_MS = Number(process.env.CORDUM_FUZZ_SECONDS ?? 6) * 1_000;
const SEED = Number(process.env.CORDUM_FUZZ_SEED ?? Date.now() % 2 ** 31);
/** However slow the machine is: how often each operation is asked at least. */
const TURNS_EACH_MIN = 40;
const IDS_MAX = 40;
const KEYS = [
  ...ROLES.map((role) => `${role}-key`),
  "other-admin-key",
  "root-key",
  ...Array<string>(8).fill("admin-key"),
];

let scene: Scene;
let operations: readonly FuzzedOperation[];
beforeAll(async () => {
  scene = await openScene();
  operations = await operationsOf();
});
afterAll(() => scene[Symbol.asyncDispose]());

describe(`requests drawn from the description, seed ${SEED}`, () => {
  it(
    "are never answered by a 5xx, nor by anything that the description does not foresee",
    async () => {
      const campaign = new Campaign();
      const until = performance.now() + BUDGET_MS;
      const turnsMin = operations.length * TURNS_EACH_MIN;
      for (let turn = 0; turn < turnsMin || performance.now() < until; turn++)
        await campaign.ask(operations[turn % operations.length], turn);
      expect([...campaign.findings.values()].join("\n\n")).toBe("");
      expect(campaign.statuses.size).toBe(operations.length);
      // A fuzzer that is only ever refused proves nothing.
      const neverServed = [...campaign.statuses]
        .filter(([, seen]) => !seen.has(200) && !seen.has(204))
        .map(([name]) => name);
      expect(neverServed.length, neverServed.join(", ")).toBeLessThanOrEqual(operations.length / 2);
    },
    BUDGET_MS + 60_000,
  );
});

class Campaign {
  /** One example of each. */
  readonly findings = new Map<string, string>();
  readonly statuses = new Map<string, Set<number>>();
  readonly #ids = new Set<string>();

  async ask(operation: FuzzedOperation | undefined, turn: number): Promise<void> {
    if (operation === undefined) throw new Error("the description has no operations");
    const drawn = fc.tuple(requestFor(operation, [...this.#ids, "job.echo"]), fc.constantFrom(...KEYS));
    const [[request, key] = [undefined, ""]] = fc.sample(drawn, { seed: SEED + turn, numRuns: 1 });
    if (request === undefined) throw new Error("nothing was drawn");
    const { url, headers, body } = request;
    const answer = await scene.call(key, operation.method, url, {
      headers,
      ...(body === undefined ? {} : { payload: body }),
    });
    const name = `${operation.method} ${operation.path}`;
    const finding = findingIn(operation, {
      status: answer.statusCode,
      type: String(answer.headers["content-type"] ?? ""),
      body: answer.body,
    });
    if (finding !== undefined)
      this.findings.set(
        `${name} ${finding}`,
        `${name} ${finding}\n${key} ${url}\n${body?.slice(0, 2_000)}\n${answer.body.slice(0, 1_000)}`,
      );
    this.statuses.set(name, (this.statuses.get(name) ?? new Set()).add(answer.statusCode));
    this.#remember(idsIn(answer.body));
  }

  #remember(ids: readonly string[]): void {
    for (const id of ids) this.#ids.add(id);
    for (const oldest of this.#ids) if (this.#ids.size > IDS_MAX) this.#ids.delete(oldest);
  }
}

/** All that are answered at once: streams are not. */
async function operationsOf(): Promise<readonly FuzzedOperation[]> {
  const { paths } = await descriptionOf(scene);
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) => {
      const { responses } = operation;
      const isStream =
        "101" in responses ||
        Object.values(responses).some(({ content }) => content !== undefined && "text/event-stream" in content);
      if (isStream) return [];
      const { parameters = [], requestBody } = operation as unknown as {
        readonly parameters?: FuzzedOperation["parameters"];
        readonly requestBody?: { readonly content?: { readonly [type: string]: { readonly schema: object } } };
      };
      const body = requestBody?.content?.["application/json"]?.schema;
      return [{ method: methodOf(method), path, parameters, body, responses }];
    }),
  );
}
