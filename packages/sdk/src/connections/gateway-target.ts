// Gateway target: where a worker without credentials of NATS or Redis connects, and with which key.
// Owns:          reading the URL and the key; the path of the route.
// Must not know: sockets, frames.
// U1. What cannot be right is a TypeError that never repeats a key.

import { parseApiKey } from "../client/url.ts";

export interface GatewayTarget {
  /** ws://host:port, wss://, http:// or https:// of the API. */
  readonly gateway: string;
  /** CORDUM_API_KEY of the environment when absent. */
  readonly apiKey?: string;
}

export interface GatewayPlace {
  /** Of the WebSocket. */
  readonly url: string;
  /** The same for a request, to ask why no WebSocket came of it. */
  readonly httpUrl: string;
  readonly apiKey: string;
}

export const GATEWAY_SCHEMES: readonly string[] = ["ws", "wss", "http", "https"];
const PATH = "/api/v1/workers/connect";

/** Whether a text is the URL of a gateway. */
export function isGatewayUrl(text: string): boolean {
  const scheme = /^\s*([A-Za-z]{2,5}):\/\//.exec(text)?.[1]?.toLowerCase();
  return scheme !== undefined && GATEWAY_SCHEMES.includes(scheme);
}

/** Throws TypeError. A URL without a path means the API's own. */
export function parseGateway({ gateway, apiKey }: GatewayTarget, fromEnvironment: string | undefined): GatewayPlace {
  const url = URL.parse(gateway.trim());
  if (url === null || !isGatewayUrl(gateway) || url.hostname === "")
    throw new TypeError("gateway: https://host[:port] or wss://host[:port] is expected");
  if (url.username !== "" || url.password !== "")
    throw new TypeError("gateway: the URL must not hold a user or password; use apiKey");
  if (url.search !== "" || url.hash !== "") throw new TypeError("gateway: the URL must not have a query or fragment");
  const key = apiKey ?? fromEnvironment;
  if (key === undefined) throw new TypeError("gateway: an apiKey is needed, or CORDUM_API_KEY in the environment");
  const isSecure = url.protocol === "wss:" || url.protocol === "https:";
  const base = `${url.host}${url.pathname.replace(/\/+$/, "")}`;
  const place = base.endsWith(PATH) ? base : `${base}${PATH}`;
  return {
    url: `${isSecure ? "wss" : "ws"}://${place}`,
    httpUrl: `${isSecure ? "https" : "http"}://${place}`,
    apiKey: parseApiKey(key),
  };
}
