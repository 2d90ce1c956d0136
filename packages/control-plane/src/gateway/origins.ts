// Which web pages may call the API.
// Owns:          the list of origins, parsed once; the headers that tell a browser.
// Must not know: requests beyond their Origin and Host.
// O1. No list: pages of this host (any port) and of the local machine. O2. `*` alone: every page, without credentials.
// O3. `https://*.example.com` stands for every host below example.com, not for example.com itself, with the same scheme and port.

export interface OriginRules {
  /** Whether a page of `origin` may call a server that was addressed as `host`. */
  allows(origin: string, host: string): boolean;
  /** The list is `*`. */
  readonly isOpen: boolean;
}

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** `configured`: `*` alone, or origins; empty: no list. A fault is a sentence for the operator. */
export function parseOrigins(configured: readonly string[]): {
  readonly rules: OriginRules;
  readonly faults: readonly string[];
} {
  const items = configured.map((item) => item.trim()).filter((item) => item !== "");
  if (items.length === 0) return { rules: { allows: allowsOwnPages, isOpen: false }, faults: [] };
  if (items.length === 1 && items[0] === "*") return { rules: { allows: () => true, isOpen: true }, faults: [] };
  const exact = new Set<string>();
  const below: { readonly head: string; readonly tail: string }[] = [];
  const faults: string[] = [];
  for (const item of items) {
    const star = /^(https?:\/\/)\*(\.[a-z0-9.-]+(?::\d{1,5})?)$/i.exec(item);
    if (star?.[1] !== undefined && star[2] !== undefined)
      below.push({ head: star[1].toLowerCase(), tail: star[2].toLowerCase() });
    else if (URL.canParse(item) && new URL(item).host !== "" && !item.includes("*")) exact.add(item.toLowerCase());
    else
      faults.push(`${JSON.stringify(item)} is not an origin; expected scheme://host[:port] or scheme://*.host[:port]`);
  }
  const allows = (origin: string): boolean => {
    const lower = origin.toLowerCase();
    return exact.has(lower) || below.some(({ head, tail }) => isBelow(lower, head, tail));
  };
  return { rules: { allows, isOpen: false }, faults };
}

function isBelow(origin: string, head: string, tail: string): boolean {
  if (!origin.startsWith(head) || !origin.endsWith(tail) || origin.length <= head.length + tail.length) return false;
  return /^[a-z0-9.-]+$/.test(origin.slice(head.length, origin.length - tail.length));
}

function allowsOwnPages(origin: string, host: string): boolean {
  if (!URL.canParse(origin)) return false;
  const { protocol, hostname } = new URL(origin);
  if ((protocol !== "http:" && protocol !== "https:") || hostname === "") return false;
  return LOOPBACK.has(hostname) || hostname === hostnameOf(host);
}

function hostnameOf(host: string): string {
  return URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : "";
}

const METHODS = "GET, POST, PUT, DELETE, OPTIONS";
const REQUEST_HEADERS =
  "Content-Type, Authorization, X-API-Key, X-Principal-Id, X-Principal-Role, X-Tenant-ID, X-Cordum-Tenant, X-Request-Id, Idempotency-Key, X-Idempotency-Key, X-Max-Artifact-Bytes";

/** Headers of the answer to a request of an allowed origin; "" for a request without one. */
export function originHeaders(origin: string, rules: OriginRules): { readonly [header: string]: string } {
  const fixed = {
    "access-control-allow-methods": METHODS,
    "access-control-allow-headers": REQUEST_HEADERS,
    "access-control-expose-headers": "X-Request-Id, X-Trace-Id, Link, Retry-After",
    "access-control-max-age": "600",
  };
  if (origin === "") return fixed;
  return {
    ...fixed,
    "access-control-allow-origin": origin,
    vary: "Origin",
    ...(rules.isOpen ? {} : { "access-control-allow-credentials": "true" }),
  };
}
