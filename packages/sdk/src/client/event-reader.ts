// Server-sent events, read from text as it comes.
// Owns:          the form: lines, blocks, ids, the wait that a server asks for; the largest block.
// Must not know: HTTP, what events mean.
// Source: HTML Standard, "Server-sent events". A block without data is no event, but its id counts.

import { CordumError } from "./problem.ts";

export interface ServerEvent {
  /** "message" when the server names none. */
  readonly event: string;
  readonly data: string;
  /** The last id that was told, with this event or before it. */
  readonly lastEventId: string;
}

const BLOCK_CHARS_MAX = 4 * 1024 * 1024;

export class EventReader {
  #text = "";
  #isFirst = true;
  #event = "";
  #data: string[] = [];
  /** Counts at the end of its block. */
  #id: string;
  /** Where a reader goes on; "" = nowhere yet. */
  lastEventId: string;
  /** The wait before the next connection that the server asked for, ms. */
  retryMs: number | undefined;

  constructor(lastEventId: string) {
    this.lastEventId = lastEventId;
    this.#id = lastEventId;
  }

  /** Events that `chunk` completes. Throws CordumError RESPONSE_TOO_LARGE. */
  push(chunk: string): readonly ServerEvent[] {
    this.#text += chunk;
    if (this.#isFirst && this.#text !== "") {
      this.#text = this.#text.replace(/^\uFEFF/, "");
      this.#isFirst = false;
    }
    const events: ServerEvent[] = [];
    for (let line = this.#takeLine(); line !== undefined; line = this.#takeLine()) {
      const event = this.#read(line);
      if (event !== undefined) events.push(event);
    }
    const kept = this.#text.length + this.#data.reduce((sum, each) => sum + each.length, 0);
    if (kept > BLOCK_CHARS_MAX) throw tooLarge();
    return events;
  }

  /** A CR at the end may be half of a CRLF: it waits. */
  #takeLine(): string | undefined {
    const end = /\r\n|\n|\r(?!$)/.exec(this.#text);
    if (end === null) return undefined;
    const line = this.#text.slice(0, end.index);
    this.#text = this.#text.slice(end.index + end[0].length);
    return line;
  }

  #read(line: string): ServerEvent | undefined {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d{1,9}$/.test(value)) this.retryMs = Number(value);
    return undefined;
  }

  #dispatch(): ServerEvent | undefined {
    const event = this.#event === "" ? "message" : this.#event;
    const data = this.#data.join("\n");
    this.#event = "";
    this.#data = [];
    this.lastEventId = this.#id;
    return data === "" ? undefined : { event, data, lastEventId: this.lastEventId };
  }
}

function tooLarge(): CordumError {
  return new CordumError({
    status: 200,
    code: "RESPONSE_TOO_LARGE",
    title: "The answer is too large",
    detail: `an event has more than ${BLOCK_CHARS_MAX} characters`,
    retryable: false,
  });
}
