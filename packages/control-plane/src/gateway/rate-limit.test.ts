import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bucketOfAddress, TokenBuckets } from "./rate-limit.ts";

describe("token buckets", () => {
  it("never give more than the burst and the rate allow, in any order of calls", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 }),
        (rps, burst, gaps) => {
          const buckets = new TokenBuckets({ rps, burst }, 10);
          let now = 1_000;
          let taken = 0;
          for (const gap of gaps) {
            now += gap;
            if (buckets.take("a", now) === 0) taken += 1;
          }
          expect(taken).toBeLessThanOrEqual(burst + ((now - 1_000) * rps) / 1000 + 1e-6);
        },
      ),
    );
  });

  it("tell a wait after which a token is there", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), (rps) => {
        const buckets = new TokenBuckets({ rps, burst: 1 }, 10);
        expect(buckets.take("a", 0)).toBe(0);
        const waitMs = buckets.take("a", 0);
        expect(waitMs).toBeGreaterThan(0);
        expect(buckets.take("a", waitMs)).toBe(0);
      }),
    );
  });

  it("are bounded, and forget the one that was used least recently", () => {
    const buckets = new TokenBuckets({ rps: 0.001, burst: 1 }, 100);
    for (let n = 0; n < 50; n++) buckets.take(`early${n}`, n);
    for (let n = 0; n < 10_000; n++) {
      buckets.take("busy", n);
      buckets.take(`address${n}`, n);
    }
    expect(buckets.size).toBe(100);
    expect(buckets.look("busy", 10_000)).toBeGreaterThan(0);
    expect(buckets.look("early1", 10_000)).toBe(0);
    expect(buckets.size).toBe(100);
  });

  it("with a rate of 0 refuse nobody and keep nothing", () => {
    const buckets = new TokenBuckets({ rps: 0, burst: 0 }, 10);
    for (let n = 0; n < 100; n++) expect(buckets.take("a", 0)).toBe(0);
    expect(buckets.size).toBe(0);
  });
});

describe("addresses", () => {
  it.each([
    ["10.0.0.1", "10.0.0.1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
    ["2001:db8::1", "2001:db8:0:0"],
    ["::1", "0:0:0:0"],
    ["fe80::1:2:3:4", "fe80:0:0:0"],
    ["", ""],
  ])("%s is limited as %s", (address, bucket) => {
    expect(bucketOfAddress(address)).toBe(bucket);
  });
});
