// Where Redis is and how to be let in.
// Owns:          reading REDIS_URL and cluster addresses, as an operator writes them.
// Must not know: connections.

import type { ConnectionOptions } from "node:tls";
import { Fault } from "../../ports/fault.ts";

/** PEM texts and switches; TLS 1.2 at least. */
export interface RedisTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverName?: string;
  /** Accept any certificate: only for trials. */
  readonly insecure?: boolean;
}

export interface RedisEndpoint {
  /** redis://[user:password@]host[:port][/database], rediss:// for TLS. In a cluster: user, password and TLS for all nodes. */
  readonly url?: string;
  /** host:port of some nodes of a Redis Cluster. */
  readonly clusterAddresses?: readonly string[];
  readonly tls?: RedisTls;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Entrance {
  /** The first server, or some nodes of a cluster. */
  readonly seeds: readonly [Address, ...Address[]];
  readonly isCluster: boolean;
  readonly login: {
    readonly username?: string;
    readonly password?: string;
    readonly database?: number;
    readonly tls?: ConnectionOptions;
  };
}

const PORT = 6379;

/** Throws STATE_MISCONFIGURED with what is expected; never repeats a password. */
export function parseEndpoint(endpoint: RedisEndpoint): Entrance {
  const url = endpoint.url === undefined ? undefined : parseUrl(endpoint.url);
  const [first, ...more] = (endpoint.clusterAddresses ?? []).map(parseAddress);
  const seed =
    first ??
    (url === undefined ? undefined : { host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port || PORT) });
  if (seed === undefined) throw misconfigured("neither a Redis URL nor cluster addresses are given");
  const isCluster = first !== undefined;
  const database = Number(url?.pathname.slice(1) || 0);
  if (!Number.isInteger(database) || database < 0)
    throw misconfigured("the path of the Redis URL is not the number of a database");
  if (isCluster && database !== 0) throw misconfigured("a Redis Cluster has only database 0");
  const tls = tlsOf(endpoint, url);
  return {
    seeds: [seed, ...more],
    isCluster,
    login: {
      ...(url === undefined || url.username === "" ? {} : { username: decoded(url.username) }),
      ...(url === undefined || url.password === "" ? {} : { password: decoded(url.password) }),
      ...(database === 0 ? {} : { database }),
      ...(tls === undefined ? {} : { tls }),
    },
  };
}

/** Reads "host:port", "[v6]:port" or "host". */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@]+))(?::(\d{1,5}))?$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? PORT);
  if (host === undefined || port < 1 || port > 65_535) throw misconfigured(`"${text.slice(0, 80)}" is not host:port`);
  return { host, port };
}

function parseUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !["redis:", "rediss:"].includes(url.protocol) || url.hostname === "") {
    throw misconfigured("the Redis URL is not of the form redis://host:port or rediss://host:port");
  }
  return url;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    if (!(cause instanceof URIError)) throw cause;
    throw misconfigured('user or password in the Redis URL has a "%" that is not written "%25"');
  }
}

function tlsOf(endpoint: RedisEndpoint, url: URL | undefined): ConnectionOptions | undefined {
  const { tls } = endpoint;
  if (tls === undefined && url?.protocol !== "rediss:") return undefined;
  return {
    minVersion: "TLSv1.2",
    rejectUnauthorized: tls?.insecure !== true,
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
  };
}

function misconfigured(why: string): Fault {
  return new Fault("STATE_MISCONFIGURED", `${why}; set REDIS_URL (or REDIS_CLUSTER_ADDRESSES) to where Redis is`);
}
