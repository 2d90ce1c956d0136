// The kinds of value that a setting may have.
// Owns:          how each kind is written, read and described.
// Must not know: which settings exist.
// V1. `expected` completes the sentence "expected …": it names form and range, so that one look at it is enough to mend a value.
// V2. Nothing is guessed: a value that does not fit is undefined here and a problem for the caller, never a default.

import { isIP } from "node:net";
import type { Ms } from "../ports/time.ts";

export interface ValueKind<T> {
  readonly expected: string;
  /** `text` is trimmed and not empty. Undefined when it does not fit. */
  parse(text: string): T | undefined;
}

export interface Address {
  /** "" listens on every interface. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
}

export const path: ValueKind<string> = {
  expected: "a path",
  parse: (text) => (text.includes("\0") || text.length > 4096 ? undefined : text),
};

export const text: ValueKind<string> = {
  expected: "a text without line breaks",
  parse: (given) => (/[\r\n\0]/.test(given) ? undefined : given),
};

/** JSON may have line breaks. */
export const keyList: ValueKind<string> = {
  expected: "JSON, or tenant:key:role:principal separated by commas",
  parse: (given) => (given.includes("\0") ? undefined : given),
};

/** Tenants and host names: what may become part of an id or an index key. */
export const name: ValueKind<string> = {
  expected: "1 to 128 letters, digits, '.', '_' and '-', beginning with a letter or digit",
  parse: (given) => (/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(given) ? given : undefined),
};

const YES = new Set(["1", "true", "yes", "y", "on"]);
const NO = new Set(["0", "false", "no", "n", "off"]);

export const flag: ValueKind<boolean> = {
  expected: "1, true, yes, y or on; or 0, false, no, n or off",
  parse: (text) => (YES.has(text.toLowerCase()) ? true : NO.has(text.toLowerCase()) ? false : undefined),
};

export function oneOf<const T extends string>(...allowed: readonly T[]): ValueKind<T> {
  return { expected: enumerate(allowed), parse: (text) => allowed.find((value) => value === text.toLowerCase()) };
}

export function integer(range: { readonly min: number; readonly max: number }): ValueKind<number> {
  return {
    expected: `an integer from ${range.min} to ${range.max}`,
    parse: (text) => (/^\d{1,15}$/.test(text) ? inRange(Number(text), range) : undefined),
  };
}

/** Go's form of a duration, as the settings have always been written: `30s`, `1m30s`, `168h`, `1.5s`. In whole milliseconds. */
export function duration(range: { readonly min: string; readonly max: string }): ValueKind<Ms> {
  const limits = { min: parseDuration(range.min) ?? 0, max: parseDuration(range.max) ?? 0 };
  return {
    expected: `a duration such as 500ms, 30s, 1m30s or 168h, from ${range.min} to ${range.max}`,
    parse: (text) => {
      const ms = parseDuration(text);
      return ms === undefined ? undefined : inRange(ms, limits);
    },
  };
}

/** Whole numbers of a larger unit, e.g. seconds; given back in milliseconds. */
export function wholeUnits(unit: { readonly called: string; readonly ms: Ms; readonly max: number }): ValueKind<Ms> {
  const counted = integer({ min: 1, max: unit.max });
  return {
    expected: `a number of ${unit.called} from 1 to ${unit.max}`,
    parse: (text) => {
      const count = counted.parse(text);
      return count === undefined ? undefined : count * unit.ms;
    },
  };
}

const UNITS_MS = new Map([
  ["ns", 1e-6],
  ["us", 1e-3],
  ["µs", 1e-3],
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
]);
const DURATION_CHARS_MAX = 40;

/** Milliseconds, rounded; undefined when `text` is no Go duration or is negative. */
export function parseDuration(text: string): Ms | undefined {
  if (text === "0") return 0;
  if (text.length === 0 || text.length > DURATION_CHARS_MAX) return undefined;
  const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/y;
  let ms = 0;
  while (part.lastIndex < text.length) {
    const found = part.exec(text);
    if (found === null) return undefined;
    ms += Number(found[1]) * (UNITS_MS.get(found[2] ?? "") ?? Number.NaN);
  }
  return Number.isFinite(ms) ? Math.round(ms) : undefined;
}

export const address: ValueKind<Address> = {
  expected: "host:port or :port with a port from 0 to 65535, e.g. :8081 or 127.0.0.1:8081",
  parse: parseAddress,
};

/** The word that switches a listener off. */
export const addressOrOff: ValueKind<Address | "off"> = {
  expected: `${address.expected}; or off`,
  parse: (text) => (text.toLowerCase() === "off" ? "off" : parseAddress(text)),
};

function parseAddress(text: string): Address | undefined {
  const found = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{0,253})):(\d{1,5})$/.exec(text);
  const port = Number(found?.[3]);
  if (found === null || port > 65_535) return undefined;
  return { host: found[1] ?? found[2] ?? "", port };
}

export const redisUrl: ValueKind<string> = {
  expected: "redis://[user:password@]host[:port][/db] or rediss://…",
  parse: (text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const isRedis = url !== undefined && (url.protocol === "redis:" || url.protocol === "rediss:");
    return isRedis && url.hostname !== "" ? text : undefined;
  },
};

/** What the servers are called is the adapter's business; here only the form. */
export const natsUrl: ValueKind<string> = {
  expected: "nats://[user:password@]host[:port] or tls://…, several separated by commas",
  parse: (text) => {
    const servers = text.split(",").map((server) => server.trim());
    const areServers = servers.every((server) => {
      const url = URL.canParse(server) ? new URL(server) : undefined;
      return url !== undefined && (url.protocol === "nats:" || url.protocol === "tls:") && url.hostname !== "";
    });
    return areServers ? servers.join(",") : undefined;
  },
};

const ADDRESSES_MAX = 1_000;

/** Separated by comma, space, tab or newline, as cluster addresses are written. */
export const addresses: ValueKind<readonly Address[]> = {
  expected: "a list of host:port, separated by commas or blanks",
  parse: (text) => {
    const parts = text.split(/[,\s]+/).filter((part) => part !== "");
    const parsed = parts.flatMap((part) => parseAddress(part) ?? []);
    const areComplete = parsed.every(({ host, port }) => host !== "" && port !== 0);
    return parsed.length === parts.length && parts.length <= ADDRESSES_MAX && areComplete ? parsed : undefined;
  },
};

/** `*` alone is every origin. */
export const origins: ValueKind<readonly string[]> = {
  expected: "*, or a comma-separated list of origins such as https://app.example.com or https://*.example.com",
  parse: (text) => {
    const parts = text
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "");
    if (parts.length === 1 && parts[0] === "*") return parts;
    return parts.length > 0 && parts.every(isOrigin) ? parts : undefined;
  },
};

/** A `*.` at the beginning of the host stands for every host below it; a whole top-level domain is never meant. */
function isOrigin(text: string): boolean {
  const plain = text.replace(/^(https?:\/\/)\*\.(?=[^./:]+\.[^./:])/i, "$1");
  return URL.canParse(plain) && new URL(plain).host !== "" && !/[*\s]/.test(plain) && !plain.endsWith("/");
}

const TENANT_RATES_MAX = 1_000;
const RATE_MAX = 1_000_000;

export interface TenantRate {
  readonly perSecond: number;
  readonly burst: number;
}

export const tenantRates: ValueKind<ReadonlyMap<string, TenantRate>> = {
  expected: "tenant=jobs or tenant=jobs/at-once, whole numbers up to 1000000, separated by commas",
  parse: (text) => {
    const parts = text.split(",").map((part) => part.trim());
    const rates = parts.flatMap((part) => parseTenantRate(part) ?? []);
    const ofTenant = new Map(rates);
    return rates.length === parts.length && ofTenant.size === parts.length && parts.length <= TENANT_RATES_MAX
      ? ofTenant
      : undefined;
  },
};

function parseTenantRate(part: string): readonly [readonly [string, TenantRate]] | undefined {
  const found = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,127})=(\d{1,7})(?:\/(\d{1,7}))?$/.exec(part);
  const [tenant, perSecond] = [found?.[1], Number(found?.[2])];
  if (found === null || tenant === undefined) return undefined;
  const burst = found[3] === undefined ? Math.max(1, perSecond * 2) : Number(found[3]);
  const isSound = perSecond <= RATE_MAX && burst >= 1 && burst <= RATE_MAX * 2;
  return isSound ? [[tenant, { perSecond, burst }]] : undefined;
}

const NETWORKS_MAX = 1_000;

export const networks: ValueKind<readonly string[]> = {
  expected: "addresses or networks such as 10.0.0.1 or 10.0.0.0/8, separated by commas",
  parse: (text) => {
    const parts = text.split(",").map((part) => part.trim());
    return parts.length <= NETWORKS_MAX && parts.every(isNetwork) ? parts : undefined;
  },
};

function isNetwork(text: string): boolean {
  const [address = "", bits, ...rest] = text.split("/");
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}

function inRange(value: number, range: { readonly min: number; readonly max: number }): number | undefined {
  return value >= range.min && value <= range.max ? value : undefined;
}

function enumerate(words: readonly string[]): string {
  return words.length === 1 ? `${words[0]}` : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}
