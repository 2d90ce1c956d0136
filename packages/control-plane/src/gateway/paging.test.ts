import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { exactCursor, guessMs, integerCursor, type Place, parseCursor, type Start } from "./cursor.ts";
import { type Found, fillPage, type PageSource } from "./paging.ts";

const LEADS = ["tenant", "state", "topic"];
const NOW = 1_893_456_000_000;

interface Item {
  readonly at: number;
  readonly id: string;
}

/** A list as State gives it: by score and member, downwards, pages that may end early. */
function listOf(items: readonly Item[], lead: string, shortBy: () => number): PageSource<Item> {
  const sorted = items.toSorted((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1));
  const isBehind = (item: Item, after: Found) =>
    item.at < after.score || (item.at === after.score && item.id < after.member);
  return {
    async read(after, limit) {
      const rest = after === undefined ? sorted : sorted.filter((item) => isBehind(item, after));
      const shown = rest.slice(0, Math.max(1, limit - shortBy()));
      const last = shown.at(-1);
      return {
        items: shown,
        ...(last === undefined || shown.length === rest.length
          ? {}
          : { next: { lead, score: last.at, member: last.id } }),
      };
    },
    scoreOf: (item) => item.at,
    idOf: (item) => item.id,
    leadByTime: LEADS[0] ?? "",
  };
}

async function walk(
  source: PageSource<Item>,
  limits: readonly number[],
  spell: (next: Place) => string,
): Promise<readonly string[]> {
  const seen: string[] = [];
  let cursor = "";
  for (let page = 0; page < 5_000; page++) {
    const limit = limits[page % limits.length] ?? 1;
    const { items, next } = await fillPage(parseCursor(cursor, LEADS), limit, source);
    expect(items.length).toBeLessThanOrEqual(limit);
    seen.push(...items.map((item) => item.id));
    if (next === undefined) return seen;
    cursor = spell(next);
  }
  throw new Error("the list does not end");
}

const manyTies = fc.record({
  items: fc.uniqueArray(
    fc.record({ at: fc.integer({ min: NOW, max: NOW + 4 }), id: fc.stringMatching(/^[a-z0-9:@-]{1,6}$/) }),
    { selector: (item) => item.id, maxLength: 150 },
  ),
  lead: fc.constantFrom(...LEADS),
  limits: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 4 }),
  short: fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 5 }),
});

describe("paging", () => {
  for (const [name, spell] of [
    ["integers alone", (next: Place) => String(integerCursor(next, LEADS))],
    ["exact cursors", exactCursor],
  ] as const) {
    it(`shows each item exactly once in order with ${name}, however many share a millisecond`, async () => {
      await fc.assert(
        fc.asyncProperty(manyTies, async ({ items, lead, limits, short }) => {
          let turn = 0;
          const source = listOf(items, lead, () => short[turn++ % short.length] ?? 0);
          const seen = await walk(source, limits, spell);
          expect(seen).toEqual(items.toSorted((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1)).map((item) => item.id));
        }),
        { numRuns: 300 },
      );
    });
  }

  it("fills pages although reads come back short", async () => {
    const items = Array.from({ length: 40 }, (_, n) => ({ at: NOW - n, id: `j${n}` }));
    let reads = 0;
    const { items: shown } = await fillPage(
      { kind: "top" },
      20,
      listOf(items, "tenant", () => (reads++ === 0 ? 10 : 0)),
    );
    expect(shown).toHaveLength(20);
  });

  it("goes on with a place when a page stays empty", async () => {
    let reads = 0;
    const nothing: PageSource<Item> = {
      read: async () => ({ items: [], next: { lead: "tenant", score: NOW - ++reads, member: "m" } }),
      scoreOf: (item) => item.at,
      idOf: (item) => item.id,
      leadByTime: "tenant",
    };
    expect(await fillPage({ kind: "top" }, 20, nothing)).toEqual({
      items: [],
      next: { lead: "tenant", score: NOW - 4, member: "m", shown: 0 },
    });
  });

  it("ends a millisecond that digits cannot count rather than showing it for ever", () => {
    const place = { lead: "topic", score: NOW, member: "m", shown: 500 };
    expect(parseCursor(String(integerCursor(place, LEADS)), LEADS)).toEqual({
      kind: "at_or_before",
      at: NOW - 1,
      lead: "topic",
      shown: 0,
    });
    expect(parseCursor(exactCursor(place), LEADS)).toEqual({ kind: "behind", ...place });
  });
});

describe("cursors of clients", () => {
  const madeUp = (at: number): Start => ({ kind: "at_or_before", at, lead: undefined, shown: 0 });
  it.each<[string, Start]>([
    ["", { kind: "top" }],
    ["0", { kind: "top" }],
    ["-5", { kind: "top" }],
    ["1893456000", madeUp(NOW + 999)],
    [String(NOW), madeUp(NOW)],
    [`${NOW}000`, madeUp(NOW)],
    [`${NOW - 1}999`, madeUp(NOW - 1)],
    [`${NOW}000000`, madeUp(NOW)],
    [`${NOW}001`, { kind: "at_or_before", at: NOW, lead: "tenant", shown: 0 }],
    [`${NOW}332`, { kind: "at_or_before", at: NOW, lead: "tenant", shown: 331 }],
    [`${NOW}333`, { kind: "at_or_before", at: NOW, lead: "state", shown: 0 }],
    [`${NOW}997`, { kind: "at_or_before", at: NOW, lead: undefined, shown: 0 }],
  ])("reads %j", (text, start) => {
    expect(parseCursor(text, LEADS)).toEqual(start);
  });

  const spelled = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  it.each([
    "abc",
    "12345678901234567890123",
    "1e3",
    "{}",
    "x".repeat(5_000),
    spelled({}),
    spelled(null),
    spelled([]),
    spelled(["elsewhere", NOW, "m", 0]),
    spelled(["__proto__", NOW, "m", 0]),
    spelled(["tenant", "x", "m", 0]),
    spelled(["tenant", 1e300, "m", 0]),
    spelled(["tenant", NOW, "m\n", 0]),
    spelled(["tenant", NOW, "m".repeat(600), 0]),
    spelled(["tenant", NOW, "m", -1]),
    spelled(["tenant", NOW, "m", 1e9]),
    spelled(["tenant", NOW, "m", 0, 1]),
  ])("refuses %s", (text) => {
    expect(() => parseCursor(text, LEADS)).toThrow(expect.objectContaining({ code: "CURSOR_INVALID" }));
  });

  it("takes the first moment of a lower bound and the last of an upper one", () => {
    expect([guessMs(1_893_456_000, "lower"), guessMs(1_893_456_000, "upper")]).toEqual([NOW, NOW + 999]);
    expect([guessMs(NOW * 1000 + 1, "lower"), guessMs(NOW * 1000 + 1, "upper")]).toEqual([NOW + 1, NOW]);
  });
});
