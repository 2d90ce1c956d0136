// Operators at a node of a simulated house who drain workers.
// Owns:          giving such orders and taking them back.
// Must not know: how processes learn of an order; what must hold then (drain-watch.ts).
// One worker is never drained, so that all ends.

import { orderDrain, takeBackDrain } from "../../scheduling/drain.ts";
import { actorNamed, ignoringFaults, type User } from "./user.ts";

const DRAINED = ["direct-a", "acme.framed"] as const;

export async function drainSome(user: User): Promise<void> {
  const { parts, ledger, fail } = user;
  const { chance, clock, signal } = user.ports;
  while (await clock.sleep(3_000 + chance.below(9_000), signal)) {
    if (ledger.isHealed) return;
    const workerId = DRAINED[chance.below(DRAINED.length)] ?? "direct-a";
    const by = actorNamed("olga");
    await ignoringFaults(async () => {
      if (chance.below(10) < 7) {
        await orderDrain({ workerId, tenant: "", by, reason: "kernel" }, parts, signal);
        ledger.confirmDeed("worker.drain", workerId, fail);
      } else if (await takeBackDrain({ workerId, by, reason: "" }, parts, signal)) {
        ledger.confirmDeed("worker.undrain", workerId, fail);
      }
      await parts.drains.announce();
    });
  }
}
