// Times as people read them.
// Owns:          ages and spans.
// Must not know: whose they are.

const STEPS = [
  { unit: "d", ms: 86_400_000 },
  { unit: "h", ms: 3_600_000 },
  { unit: "m", ms: 60_000 },
  { unit: "s", ms: 1_000 },
];

/** The largest whole unit: `3s`, `5m`, `2h`, `4d`. */
export function age(ms: number): string {
  const step = STEPS.find((each) => ms >= each.ms) ?? { unit: "s", ms: 1_000 };
  return `${Math.max(0, Math.floor(ms / step.ms))}${step.unit}`;
}

/** ISO without fractions, UTC; "-" for 0. */
export function moment(epochMs: number): string {
  if (!(epochMs > 0) || epochMs > 8_640_000_000_000_000) return "-";
  return new Date(epochMs).toISOString().replace(/\.\d+Z$/, "Z");
}
