// A process of the control plane that does nothing with what is its own.
// Owns:          its words of presence.
// Must not know: single tests.

import { PLACER_SUBJECT } from "../jobs/peers.ts";
import { shareOf } from "../scheduling/placers.ts";
import { type JobScene, NEVER } from "./job-scene.ts";

/** It ranks above the scene's first core for the worker, or whatever else has a keeper; until it is killed by what is returned. */
export async function uselessPlacer(scene: JobScene, workerId: string): Promise<() => void> {
  const { self } = scene.parts.placers;
  const ids = Array.from({ length: 1_000 }, (_, n) => `placer-${n}`);
  const id = ids.find((one) => shareOf({ self: one, placers: [self, one], workerId, capacity: 1 }) === 1);
  const word = Buffer.from(JSON.stringify({ id }));
  const speak = (): Promise<void> => scene.bus.publish(PLACER_SUBJECT, word, NEVER);
  const about = { subject: PLACER_SUBJECT, keep: false, inFlightMax: 10 };
  const listening = await scene.bus.subscribe(about, async (bytes) => {
    if (!Buffer.from(bytes).equals(word)) await speak();
    return { kind: "ack" };
  });
  await speak();
  await scene.quiet();
  return () => void listening.drain(NEVER);
}
