// Target: where a worker's packets and payloads go, as an operator writes it.
// Owns:          reading URLs and addresses; the schemes that are known.
// Must not know: connections, files.
// U1. What cannot be right is a TypeError that says what is expected and never repeats a password.

import type { TlsFiles } from "./tls.ts";

export interface NatsTarget {
  /** nats://host:port, tls://host:port; several with commas between them, or as a list. */
  readonly servers: string | readonly string[];
  readonly username?: string;
  readonly password?: string;
  readonly token?: string;
  /** Seed of a user NKey: SU… */
  readonly nkeySeed?: string;
  readonly tls?: TlsFiles;
}

export interface RedisTarget {
  /** redis://[user:password@]host[:port][/database], rediss:// for TLS. Beside addresses of a cluster: user and password for all nodes. */
  readonly url?: string;
  /** host:port of some nodes of a Redis Cluster. */
  readonly clusterAddresses?: readonly string[];
  readonly tls?: TlsFiles;
}

export interface ConnectionTarget {
  readonly nats: string | readonly string[] | NatsTarget;
  readonly redis: string | RedisTarget;
}

export type NatsLogin =
  | { readonly kind: "none" }
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "nkey"; readonly seed: string };

export interface NatsPlace {
  /** host:port */
  readonly servers: readonly string[];
  readonly login: NatsLogin;
  /** Undefined: TLS only if the server asks for it. */
  readonly tls: TlsFiles | undefined;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface RedisPlace {
  /** The server, or some nodes of a cluster. */
  readonly seeds: readonly [Address, ...Address[]];
  readonly isCluster: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  readonly tls: TlsFiles | undefined;
}

export interface Places {
  readonly nats: NatsPlace;
  readonly redis: RedisPlace;
}

const NATS_PORT = 4222;
const REDIS_PORT = 6379;
const KNOWN = "nats:// and tls:// for packets, redis:// and rediss:// for payloads";
const NATS_SCHEMES: readonly string[] = ["nats", "tls"];
const REDIS_SCHEMES: readonly string[] = ["redis", "rediss"];

/** Throws TypeError. A text holds URLs of both kinds: "nats://nats:4222,redis://redis:6379". */
export function parseTarget(target: string | ConnectionTarget): Places {
  const { nats, redis } = typeof target === "string" ? sortUrls(target) : target;
  return {
    nats: parseNats(typeof nats === "string" || isList(nats) ? { servers: nats } : nats),
    redis: parseRedis(typeof redis === "string" ? { url: redis } : redis),
  };
}

function sortUrls(text: string): ConnectionTarget {
  const urls = splitUrls(text).map((url) => ({ url, scheme: schemeOf(url) }));
  const nats = urls.filter(({ scheme }) => NATS_SCHEMES.includes(scheme)).map(({ url }) => url);
  const [redis, ...more] = urls.filter(({ scheme }) => REDIS_SCHEMES.includes(scheme)).map(({ url }) => url);
  if (nats.length === 0) throw new TypeError("no nats:// URL is given: a worker gets its jobs over NATS");
  if (redis === undefined) {
    throw new TypeError(
      'no redis:// URL is given: payloads lie in Redis; expected "nats://host:4222,redis://host:6379"',
    );
  }
  if (more.length > 0) throw new TypeError("several redis:// URLs are given; a cluster is named by clusterAddresses");
  return { nats, redis };
}

/** A comma may stand in a password and between hosts; only one before a scheme separates URLs. */
function splitUrls(text: string): readonly string[] {
  return text.trim().split(/[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]{0,31}:\/\/)/);
}

/** Throws TypeError for a scheme that no worker can connect by. */
function schemeOf(url: string): string {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]{0,31}):\/\//.exec(url)?.[1]?.toLowerCase();
  if (scheme === undefined) throw new TypeError(`a URL is expected, known schemes: ${KNOWN}`);
  if (![...NATS_SCHEMES, ...REDIS_SCHEMES].includes(scheme))
    throw new TypeError(`"${scheme}://" is no way for a worker to connect; known are ${KNOWN}`);
  return scheme;
}

function parseNats(target: NatsTarget): NatsPlace {
  const texts = isList(target.servers) ? target.servers : [target.servers];
  const urls = texts.flatMap(splitUrls).map(parseNatsUrl);
  const servers = urls.flatMap((url) => url.servers);
  if (servers.length === 0) throw new TypeError("nats: no server is given");
  const inUrls = urls.find(({ login }) => login.kind !== "none")?.login ?? { kind: "none" };
  const isTls = target.tls !== undefined || urls.some(({ scheme }) => scheme === "tls");
  return { servers, login: loginOf(target) ?? inUrls, tls: isTls ? (target.tls ?? {}) : undefined };
}

interface NatsUrl {
  readonly scheme: string;
  readonly servers: readonly string[];
  readonly login: NatsLogin;
}

function parseNatsUrl(text: string): NatsUrl {
  const scheme = schemeOf(text);
  if (!NATS_SCHEMES.includes(scheme))
    throw new TypeError(`nats: nats://host:port or tls://host:port is expected, got ${scheme}://`);
  const authority = text.slice(text.indexOf("://") + 3).replace(/\/$/, "");
  const at = authority.lastIndexOf("@");
  const servers = authority
    .slice(at + 1)
    .split(",")
    .map((host) => textOf(parseAddress("nats", host, NATS_PORT)));
  return { scheme, servers, login: at === -1 ? { kind: "none" } : loginInUrl(authority.slice(0, at)) };
}

/** Before "@": user:password, or a token alone. Source: NATS documentation, "Connecting with a User/Password", "… a Token". */
function loginInUrl(text: string): NatsLogin {
  const colon = text.indexOf(":");
  if (colon === -1) return { kind: "token", token: decoded("nats", text) };
  const username = decoded("nats", text.slice(0, colon));
  return { kind: "password", username, password: decoded("nats", text.slice(colon + 1)) };
}

/** User and password, else a token, else an NKey: the first that is there. */
function loginOf({ username, password, token, nkeySeed }: NatsTarget): NatsLogin | undefined {
  if ((username === undefined) !== (password === undefined))
    throw new TypeError("nats: user name and password come together");
  if (username !== undefined && password !== undefined) return { kind: "password", username, password };
  if (token !== undefined) return { kind: "token", token };
  if (nkeySeed !== undefined) return { kind: "nkey", seed: nkeySeed };
  return undefined;
}

function parseRedis(target: RedisTarget): RedisPlace {
  const url = target.url === undefined ? undefined : parseRedisUrl(target.url);
  const [first, ...more] = (target.clusterAddresses ?? []).map((text) => parseAddress("redis", text, REDIS_PORT));
  const seed = first ?? (url === undefined ? undefined : hostOf(url));
  if (seed === undefined) throw new TypeError("redis: neither a URL nor addresses of a cluster are given");
  const isCluster = first !== undefined;
  const database = Number(url?.pathname.slice(1) || 0);
  if (!Number.isInteger(database) || database < 0)
    throw new TypeError("redis: the path of the URL is not the number of a database");
  if (isCluster && database !== 0) throw new TypeError("redis: a Redis Cluster has only database 0");
  const isTls = target.tls !== undefined || url?.protocol === "rediss:";
  return {
    seeds: [seed, ...more],
    isCluster,
    username: decodedOrNone(url?.username),
    password: decodedOrNone(url?.password),
    database,
    tls: isTls ? (target.tls ?? {}) : undefined,
  };
}

function parseRedisUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !REDIS_SCHEMES.includes(url.protocol.slice(0, -1)) || url.hostname === "")
    throw new TypeError("redis: redis://host:port or rediss://host:port is expected");
  return url;
}

function hostOf(url: URL): Address {
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || REDIS_PORT) };
}

/** "host:port", "[v6]:port" or "host". Throws TypeError. */
function parseAddress(whose: string, text: string, portDefault: number): Address {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::(\d{1,5}))?$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? portDefault);
  // The text itself stays unsaid: a URL with an "@" too much would show its password.
  if (host === undefined || port < 1 || port > 65_535) throw new TypeError(`${whose}: host:port is expected`);
  return { host, port };
}

export function textOf({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function decodedOrNone(part: string | undefined): string | undefined {
  return part === undefined || part === "" ? undefined : decoded("redis", part);
}

function decoded(whose: string, part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    throw new TypeError(`${whose}: user or password in the URL has a "%" that is not written "%25"`, { cause });
  }
}

/** Array.isArray does not narrow read-only lists. */
function isList(value: unknown): value is readonly string[] {
  return Array.isArray(value);
}
