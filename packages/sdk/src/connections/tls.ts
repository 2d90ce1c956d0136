// TLS: how a connection trusts its server and shows who it is.
// Owns:          reading the files that are named.
// Must not know: NATS, Redis.
// T1. A file that is named and cannot be used stops the start: nothing falls back to something weaker.

import { readFile, stat } from "node:fs/promises";
import { messageOf } from "../worker/log.ts";

/** Any of them turns TLS on. */
export interface TlsFiles {
  /** Certificates of the authorities that are trusted, PEM; the system's when absent. */
  readonly caFile?: string;
  /** Client certificate, PEM; needs keyFile. */
  readonly certFile?: string;
  readonly keyFile?: string;
  /** Name that the server's certificate must carry, when it is not the host's. */
  readonly serverName?: string;
  /** Accept any server certificate: only for trials. */
  readonly insecure?: boolean;
}

/** As node:tls takes them. */
export interface TlsTexts {
  readonly minVersion: "TLSv1.2";
  readonly rejectUnauthorized: boolean;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

const PEM_BYTES_MAX = 1_048_576;

/** `whose`: for the message, such as "NATS". Rejects with TypeError for a lonely certificate, with Error for a file that is no use. */
export async function readTls(whose: string, files: TlsFiles): Promise<TlsTexts> {
  if ((files.certFile === undefined) !== (files.keyFile === undefined))
    throw new TypeError(`TLS of ${whose}: the certificate and the key of a client come together`);
  const read = async (name: "caFile" | "certFile" | "keyFile", as: "ca" | "cert" | "key") => {
    const path = files[name];
    return path === undefined ? {} : { [as]: await readPem(`TLS of ${whose}: ${name}`, path) };
  };
  return {
    minVersion: "TLSv1.2",
    rejectUnauthorized: files.insecure !== true,
    ...(await read("caFile", "ca")),
    ...(await read("certFile", "cert")),
    ...(await read("keyFile", "key")),
    ...(files.serverName === undefined ? {} : { servername: files.serverName }),
  };
}

async function readPem(what: string, path: string): Promise<string> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > PEM_BYTES_MAX) throw new Error(`it has ${size} bytes, at most ${PEM_BYTES_MAX} are read`);
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new Error(`${what} cannot be read: ${messageOf(cause)}`, { cause });
  }
  if (!text.includes("-----BEGIN ")) throw new Error(`${what} holds no PEM: ${path}`);
  return text;
}
