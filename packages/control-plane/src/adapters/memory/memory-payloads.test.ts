import { payloadsConformance } from "../../conformance/payloads-conformance.ts";
import { virtualClock } from "../system/virtual-clock.ts";
import { memoryPayloads } from "./memory-payloads.ts";

payloadsConformance("memory", async () => {
  const clock = virtualClock();
  return { payloads: memoryPayloads({ clock, bytesMax: 1 << 20 }), pass: (ms) => clock.advance(ms) };
});
