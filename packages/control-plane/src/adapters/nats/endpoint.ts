// Where NATS is and how to be let in.
// Owns:          reading NATS_URL, credentials and TLS files, as an operator writes them.
// Must not know: connections, environment variables.
// E1. One way to log in: a URL with credentials and separate ones, or two separate ones, are refused rather than guessed.
// E2. What is asked for and cannot be had (an unreadable file, half a key pair) is a refusal to start, never something weaker.
// E3. No sentence repeats a password, a token or a seed.

import type { ConnectionOptions as TlsConnectionOptions } from "node:tls";
import { type NodeConnectionOptions, nkeyAuthenticator, nkeys } from "@nats-io/transport-node";
import { Fault } from "../../ports/fault.ts";
import { readTextFile } from "../system/text-file.ts";

/** TLS 1.2 at least. Paths of PEM files; certificate and key come together. */
export interface NatsTls {
  readonly caPath?: string;
  readonly certPath?: string;
  readonly keyPath?: string;
  readonly serverName?: string;
  /** Accept any certificate: only for trials. */
  readonly insecure?: boolean;
}

export interface NatsCredentials {
  readonly username?: string;
  readonly password?: string;
  readonly token?: string;
  /** Seed of a user nkey: "SU…". */
  readonly nkeySeed?: string;
}

export interface NatsEndpoint {
  /** nats://[user:password@ or token@]host[:port], tls:// for TLS; several separated by commas. */
  readonly url: string;
  readonly credentials?: NatsCredentials;
  readonly tls?: NatsTls;
}

/** `servers` are host:port and safe to show. */
export interface Entrance {
  readonly servers: readonly [string, ...string[]];
  readonly login: Pick<NodeConnectionOptions, "user" | "pass" | "token" | "authenticator">;
  readonly tls: NodeConnectionOptions["tls"] | undefined;
}

interface Place {
  readonly server: string;
  readonly isTls: boolean;
  readonly credentials: NatsCredentials;
}

const PORT = 4222;
const SERVERS_MAX = 64;
const PEM_BYTES_MAX = 1_048_576;

/** Throws BUS_MISCONFIGURED with what is expected. */
export async function parseNatsEndpoint(endpoint: NatsEndpoint): Promise<Entrance> {
  const [first, ...more] = endpoint.url.split(",", SERVERS_MAX).map(parsePlace);
  if (first === undefined) throw misconfigured("no NATS URL is given");
  const places = [first, ...more];
  const isTls = endpoint.tls !== undefined || places.some((place) => place.isTls);
  return {
    servers: [first.server, ...more.map((place) => place.server)],
    login: loginOf([...places.map((place) => place.credentials), endpoint.credentials ?? {}]),
    tls: isTls ? await tlsOf(endpoint.tls ?? {}) : undefined,
  };
}

function parsePlace(text: string): Place {
  const url = URL.parse(text.trim());
  const isKnown = url !== null && ["nats:", "tls:"].includes(url.protocol) && url.hostname !== "";
  if (!isKnown || !["", "/"].includes(url.pathname)) {
    throw misconfigured("the NATS URL is not of the form nats://host:port or tls://host:port");
  }
  const [name, password] = [decoded(url.username), decoded(url.password)];
  const isToken = name !== "" && password === "";
  return {
    server: `${url.hostname}:${url.port === "" ? PORT : url.port}`,
    isTls: url.protocol === "tls:",
    credentials: isToken ? { token: name } : { username: name, password },
  };
}

function loginOf(given: readonly NatsCredentials[]): Entrance["login"] {
  const ways = new Map<string, Entrance["login"]>();
  for (const { username = "", password = "", token = "", nkeySeed = "" } of given) {
    if (username !== "") ways.set(`user ${username} ${password}`, { user: username, pass: password });
    else if (password !== "") throw misconfigured("a NATS password is given without a user name");
    if (token !== "") ways.set(`token ${token}`, { token });
    if (nkeySeed !== "") ways.set(`nkey ${nkeySeed}`, { authenticator: nkeyAuthenticator(seedBytes(nkeySeed)) });
  }
  if (ways.size > 1) throw misconfigured("more than one way to log in to NATS is given; keep one");
  return [...ways.values()][0] ?? {};
}

function seedBytes(seed: string): Uint8Array {
  const bytes = new TextEncoder().encode(seed.trim());
  try {
    nkeys.fromSeed(bytes);
  } catch {
    // The cause would quote the seed's own characters.
    throw misconfigured("NATS_NKEY is not the seed of an nkey");
  }
  return bytes;
}

async function tlsOf(tls: NatsTls): Promise<Entrance["tls"]> {
  if ((tls.certPath === undefined) !== (tls.keyPath === undefined)) {
    throw misconfigured("NATS_TLS_CERT and NATS_TLS_KEY must be given together");
  }
  const [ca, cert, key] = await Promise.all([
    pem("NATS_TLS_CA", tls.caPath),
    pem("NATS_TLS_CERT", tls.certPath),
    pem("NATS_TLS_KEY", tls.keyPath),
  ]);
  // The client hands what it does not know on to Node's TLS.
  const options: NonNullable<Entrance["tls"]> & TlsConnectionOptions = {
    minVersion: "TLSv1.2",
    rejectUnauthorized: tls.insecure !== true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
  };
  return options;
}

async function pem(variable: string, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const file = await readTextFile(path, PEM_BYTES_MAX);
  if (file.kind === "unreadable") throw misconfigured(`${variable} cannot be read: ${file.reason}`);
  if (!file.text.includes("-----BEGIN ")) throw misconfigured(`${variable} is no PEM file: ${path}`);
  return file.text;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (cause) {
    if (!(cause instanceof URIError)) throw cause;
    throw misconfigured('user or password in the NATS URL has a "%" that is not written "%25"');
  }
}

function misconfigured(why: string): Fault {
  return new Fault(
    "BUS_MISCONFIGURED",
    `${why}; set NATS_URL to where NATS is, and NATS_USERNAME, NATS_TOKEN or NATS_NKEY`,
  );
}
