// A world without real time and real chance.
// Owns:          what throws while a simulation runs: clocks, timers, random numbers, work on other threads.
// Must not know: the simulation.
// W1. Whatever would make two runs of one seed differ throws a SealedWorldBreach that names it. W2. Hashing and signing at once is fine.
// W3. Everything is as before after the last seal is broken, whatever happened in between.

import { createRequire, syncBuiltinESMExports } from "node:module";

export class SealedWorldBreach extends Error {
  override readonly name = "SealedWorldBreach";
}

type Undo = () => void;
type Members = Record<string, unknown>;

const TIMERS = ["setTimeout", "setInterval", "setImmediate"] as const;
const THREADED = [
  "randomUUID",
  "randomBytes",
  "randomInt",
  "randomFill",
  "randomFillSync",
  "pbkdf2",
  "scrypt",
  "hkdf",
  "generateKeyPair",
  "generateKey",
] as const;

let seals = 0;
let undoAll: readonly Undo[] = [];

/** Seals the world until the returned function is called; seals may nest. */
export function sealWorld(): Undo {
  if (seals++ === 0) undoAll = takeAway();
  let isOpen = false;
  return () => {
    if (isOpen) return;
    isOpen = true;
    if (--seals > 0) return;
    for (const undo of undoAll) undo();
    syncBuiltinESMExports();
  };
}

function takeAway(): readonly Undo[] {
  const nodeCrypto: Members = createRequire(import.meta.url)("node:crypto");
  const undo = [
    ...TIMERS.map((name) => replace(globalThis, name, breach(name))),
    ...THREADED.map((name) => replace(nodeCrypto, name, breach(`crypto.${name}`))),
    replace(Math, "random", breach("Math.random")),
    replace(performance, "now", breach("performance.now")),
    replace(process, "hrtime", breach("process.hrtime")),
    replace(AbortSignal, "timeout", breach("AbortSignal.timeout")),
    replace(globalThis.crypto, "randomUUID", breach("crypto.randomUUID")),
    replace(globalThis.crypto, "getRandomValues", breach("crypto.getRandomValues")),
    replace(globalThis.crypto.subtle, "digest", breach("crypto.subtle.digest")),
    replace(globalThis.crypto.subtle, "sign", breach("crypto.subtle.sign")),
    replace(globalThis.crypto.subtle, "verify", breach("crypto.subtle.verify")),
    replace(globalThis, "Date", sealedDate(Date)),
  ];
  syncBuiltinESMExports(); // named imports of node:crypto see it too
  return undo;
}

function breach(name: string): () => never {
  return () => {
    throw new SealedWorldBreach(`${name} was used in a simulation; ask the Clock`);
  };
}

/** Computes with given moments as always; does not know the present one. */
function sealedDate(real: DateConstructor): DateConstructor {
  const now = breach("Date.now");
  const noArguments = breach("new Date()");
  return new Proxy(real, {
    construct: (target, args, newTarget) =>
      args.length === 0 ? noArguments() : Reflect.construct(target, args, newTarget),
    apply: () => noArguments(),
    get: (target, name, receiver) => (name === "now" ? now : Reflect.get(target, name, receiver)),
  });
}

function replace(owner: object, name: string, value: unknown): Undo {
  const before = Object.getOwnPropertyDescriptor(owner, name);
  Object.defineProperty(owner, name, {
    value,
    configurable: true,
    writable: true,
    enumerable: before?.enumerable ?? false,
  });
  return () => {
    if (before === undefined) Reflect.deleteProperty(owner, name);
    else Object.defineProperty(owner, name, before);
  };
}
