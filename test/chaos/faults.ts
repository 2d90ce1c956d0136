// What can go wrong, and how it is made to.
// Owns:          the faults: on whom, for how long, and that all is well again when one is over.
// Must not know: which comes when (deck.ts), what must hold.

import type { SeededRandom } from "@cordum/control-plane/adapters/system/seeded-random";
import type { Fleet, Link, Member, Role } from "./fleet.ts";
import type { Loss } from "./ledger.ts";
import { sleep, until } from "./sleep.ts";

export interface Scene {
  readonly fleet: Fleet;
  readonly chance: SeededRandom;
  /** The longest that a fault lasts. */
  readonly holdMsMax: number;
}

/** One fault on somebody, drawn and ready. */
export interface Drawn {
  readonly fault: string;
  readonly on: string;
  readonly holdMs: number;
  /** Makes it and ends it. What Redis may have lost by it, if anything. */
  inflict(): Promise<Loss | undefined>;
}

export interface Fault {
  readonly name: string;
  /** Only with a replica. */
  readonly needsReplica?: true;
  draw(scene: Scene): Drawn;
}

const HOLD_MS_MIN = 1_500;
/** Beyond the silence after which a worker is lost. */
const LONG_FREEZE_MS = 35_000;
const STOP_MS_MAX = 60_000;
/** An answer may be as long away as nobody asks. */
const CUT_MS_MAX = 5_000;
const CUTS = 5;
const ROLES = ["gateway", "scheduler", "worker"] as const satisfies readonly Role[];

export const FAULTS: readonly Fault[] = [
  onMember("kill -9", async ({ process }, holdMs) => {
    await process.kill();
    await sleep(holdMs / 2);
    await process.start();
  }),
  {
    name: "kill -9 of all of a kind",
    draw(scene) {
      const role = pick(ROLES, scene.chance);
      const members = scene.fleet.members.filter((member) => member.role === role);
      return drawn(this.name, `all ${role}s`, scene, async (holdMs) => {
        await Promise.all(members.map(({ process }) => process.kill()));
        await sleep(holdMs / 2);
        for (const { process } of members) await process.start();
        return undefined;
      });
    },
  },
  onMember("freeze", async ({ process }, holdMs, scene) => {
    process.freeze();
    // Where there is time, some are silent for so long that they are taken for gone, and come back.
    const isLong = scene.holdMsMax * 4 > LONG_FREEZE_MS && scene.chance.once(3);
    await sleep(isLong ? LONG_FREEZE_MS : holdMs);
    process.thaw();
  }),
  onMember("restart", async ({ process, name }) => {
    let hasStopped = false;
    const stopping = process.stop().then(() => {
      hasStopped = true;
    });
    await until(() => hasStopped, { ms: STOP_MS_MAX, says: `${name} ends after SIGTERM` });
    await stopping;
    await process.start();
  }),
  onLink("connection refused", async ({ proxy }, holdMs) => {
    proxy.refuse();
    await sleep(holdMs);
    proxy.accept();
  }),
  onLink("half-open connection", async ({ proxy }, holdMs) => {
    proxy.pause();
    await sleep(holdMs);
    proxy.resume();
  }),
  onLink("slow connection", async ({ proxy }, holdMs, { chance }) => {
    proxy.delayAnswers(50 + chance.below(600));
    await sleep(holdMs);
    proxy.delayAnswers(0);
  }),
  onLink(
    "answers lost",
    loseAnswers,
    ({ to, name }) => to === "gateway" || (to === "Redis" && !name.startsWith("worker")),
  ),
  onAll("Redis crash", "Redis", async ({ fleet }, holdMs) => fleet.redis.crash(holdMs / 2)),
  onAll("Redis stall", "Redis", async ({ fleet }, holdMs) => none(fleet.redis.stall(holdMs))),
  onAll("Redis full", "Redis", async ({ fleet }, holdMs) => none(fleet.redis.fill(holdMs))),
  {
    ...onAll("Redis failover", "Redis", async ({ fleet, chance }, holdMs) =>
      fleet.redis.failover({ lagMs: 200 + chance.below(1_300), detectMs: holdMs / 2 }),
    ),
    needsReplica: true,
  },
  onAll("NATS crash", "NATS", async ({ fleet }, holdMs) => {
    await fleet.nats.kill();
    await sleep(holdMs);
    await fleet.nats.restart();
    return undefined;
  }),
  onAll("nobody reaches Redis", "Redis", async ({ fleet }, holdMs) => cutAll(fleet, "Redis", holdMs)),
  onAll("nobody reaches NATS", "NATS", async ({ fleet }, holdMs) => cutAll(fleet, "NATS", holdMs)),
];

function onMember(name: string, make: (member: Member, holdMs: number, scene: Scene) => Promise<void>): Fault {
  return {
    name,
    draw(scene) {
      const member = pick(scene.fleet.members, scene.chance);
      return drawn(name, member.name, scene, (holdMs) => none(make(member, holdMs, scene)));
    },
  };
}

function onLink(
  name: string,
  make: (link: Link, holdMs: number, scene: Scene) => Promise<void>,
  may: (link: Link) => boolean = () => true,
): Fault {
  return {
    name,
    draw(scene) {
      const link = pick(scene.fleet.links.filter(may), scene.chance);
      return drawn(name, link.name, scene, (holdMs) => none(make(link, holdMs, scene)));
    },
  };
}

function onAll(name: string, on: string, make: (scene: Scene, holdMs: number) => Promise<Loss | undefined>): Fault {
  return { name, draw: (scene) => drawn(name, on, scene, (holdMs) => make(scene, holdMs)) };
}

function drawn(
  fault: string,
  on: string,
  { chance, holdMsMax }: Scene,
  make: (holdMs: number) => Promise<Loss | undefined>,
): Drawn {
  const holdMs = HOLD_MS_MIN + chance.below(holdMsMax - HOLD_MS_MIN);
  return { fault, on, holdMs, inflict: () => make(holdMs) };
}

async function none(work: Promise<void>): Promise<undefined> {
  await work;
  return undefined;
}

async function cutAll({ links }: Fleet, to: Link["to"], holdMs: number): Promise<undefined> {
  const cut = links.filter((link) => link.to === to);
  for (const { proxy } of cut) proxy.refuse();
  await sleep(holdMs);
  for (const { proxy } of cut) proxy.accept();
  return undefined;
}

/** What was asked is carried out, and whoever asked does not learn of it. */
async function loseAnswers({ proxy }: Link): Promise<void> {
  for (let nth = 0; nth < CUTS; nth++) {
    let isCut = false;
    void proxy.cutNextAnswer().then(() => {
      isCut = true;
    });
    const endsAt = Date.now() + CUT_MS_MAX;
    while (!isCut && Date.now() < endsAt) await sleep(20);
    if (!isCut) return proxy.cutNothing();
    await sleep(200);
  }
}

function pick<T>(list: readonly T[], chance: SeededRandom): T {
  const one = list[chance.below(list.length)];
  if (one === undefined) throw new Error("there is nothing to choose from");
  return one;
}
