// Seeded chance.
// Owns:          one generator: the same seed gives the same numbers on every machine and in every release.
// Must not know: who draws, and for what.
// Not for secrets: whoever sees a few numbers can compute the rest.

/** A stream of chance. Two streams from the same seed and the same forks are equal. */
export interface SeededRandom {
  /** Evenly spread over [0, 1), 32 bits. */
  next(): number;
  /** A whole number from 0 to `bound` - 1; `bound` from 1 to 2^32. */
  below(bound: number): number;
  /** True once in about `odds` draws; never when `odds` is 0. */
  once(odds: number): boolean;
  /** `bytes` random bytes as base64url without padding. */
  id(bytes: number): string;
  /** A stream of its own, so that more draws here change nothing there. */
  fork(name: string): SeededRandom;
}

/** sfc32 (Chris Doty-Humphrey, PractRand), its 128 bits of state filled by splitmix32 from the seed. Any number is a seed; it is taken modulo 2^32. */
export function seededRandom(seed: number): SeededRandom {
  const fill = splitmix32(seed >>> 0);
  let a = fill();
  let b = fill();
  let c = fill();
  let counter = 1;
  const draw = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  };
  // The first numbers of close seeds look alike: sfc32's author throws away twelve.
  for (let warmUp = 0; warmUp < 12; warmUp++) draw();
  const next = (): number => draw() / 4_294_967_296;
  return {
    next,
    below: (bound) => Math.floor(next() * bound),
    once: (odds) => odds > 0 && next() * odds < 1,
    id: (bytes) => base64url(Uint8Array.from({ length: bytes }, () => draw() & 0xff)),
    fork: (name) => seededRandom(hashOf(name, draw())),
  };
}

function splitmix32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) | 0;
  };
}

function hashOf(name: string, start: number): number {
  let hash = start;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}
