import { expect, it } from "vitest";
import { StoreTime } from "./store-time.ts";

it("knows nothing before Redis has told", () => {
  expect(new StoreTime().at(5)).toBeUndefined();
});

it("follows the answer that was read soonest, since late ones tell too little", () => {
  const time = new StoreTime();
  time.told(1_000_000, 100);
  time.told(1_000_010, 1_110); // was on its way for a second
  expect(time.at(1_200)).toBeGreaterThan(1_001_080);
  expect(time.at(1_200)).toBeLessThanOrEqual(1_001_100);
});

it("follows a clock that is set forward at once, and one that is set back in some time", () => {
  const time = new StoreTime();
  time.told(1_000_000, 0);
  time.told(1_060_000, 1_000);
  expect(time.at(1_000)).toBe(1_060_000);
  time.told(1_055_000, 1_001);
  expect(time.at(1_001)).toBeGreaterThan(1_059_000);
  time.told(1_055_000 + 600_000, 601_001);
  expect(time.at(601_001)).toBe(1_655_000);
});
