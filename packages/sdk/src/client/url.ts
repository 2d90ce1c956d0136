// URL and key: what a client may be built with.
// Owns:          refusing what can only be a mistake, before anything is sent.
// Must not know: routes.
// The key is never part of a message here: configuration errors end up in logs.

/** Base URL without a slash at its end. Throws TypeError. */
export function parseBaseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new TypeError("url must be http://host[:port] or https://host[:port]");
  }
  if (url.username !== "" || url.password !== "")
    throw new TypeError("url must not hold a user or password; use apiKey");
  if (url.search !== "" || url.hash !== "") throw new TypeError("url must not have a query or fragment");
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "");
}

/** The key without blanks around it. Throws TypeError when no header could carry it. */
export function parseApiKey(text: string): string {
  const key = text.trim();
  if (key === "") throw new TypeError("apiKey is empty");
  if (!/^[\x21-\x7e]+$/.test(key)) throw new TypeError("apiKey holds blanks or characters that no header can carry");
  return key;
}
