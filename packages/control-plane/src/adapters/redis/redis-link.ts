// The way to the servers that hold our keys: one Redis, or the masters of a Redis Cluster.
// Owns:          which server holds which slot, and what to do after an answer that is no reply.
// Must not know: what the commands mean.
// R1. Everything here is repeated until its deadline only where repeating is harmless: callers of `run` promise that.
// R2. The map of slots is only a guess that errors correct (MOVED) and a refresh replaces; at most one refresh runs at a time.

import { createHash } from "node:crypto";
import type { Clock } from "../../ports/clock.ts";
import { Fault, type FaultCode, unreachable } from "../../ports/fault.ts";
import type { Log } from "../../ports/telemetry.ts";
import type { Ms } from "../../ports/time.ts";
import { type Address, type Entrance, parseAddress } from "./endpoint.ts";
import { SLOTS } from "./keys.ts";
import { type Answer, type Argument, type NodeOptions, RedisNode, type Reply } from "./redis-node.ts";
import { meaningOf } from "./reply-fault.ts";
import { StoreTime } from "./store-time.ts";
import { untilAborted } from "./until-aborted.ts";

export interface LinkSettings {
  /** The longest a call may take, with all repeats. */
  readonly callMsMax: Ms;
  /** Commands besides commits that may be under way or waiting. */
  readonly runsMax: number;
  /** A connection that is silent for so long while answers are due is given up. */
  readonly silenceMsMax: Ms;
}

export interface Script {
  readonly source: string;
  readonly sha: string;
}

export interface Command {
  readonly name: string;
  readonly args: readonly Argument[];
  /** Where the arguments begin with the digest of a script: what to send after NOSCRIPT. */
  readonly script?: Script;
  /** Replies are byte strings. */
  readonly isForBytes?: boolean;
}

/** What follows from an answer that is no reply. */
export type Next =
  | {
      readonly kind: "repeat";
      readonly executed: "no" | "unknown";
      readonly pauseMs: Ms;
      readonly ask?: RedisNode;
      readonly withSource?: true;
    }
  | { readonly kind: "fail"; readonly executed: "no" | "unknown"; readonly hint: string };

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly code: FaultCode;
}

const PAUSE_MS = 20;
const REFRESH_GAP_MS = 100;

export function script(source: string): Script {
  return { source, sha: createHash("sha1").update(source).digest("hex") };
}

export function scriptCommand(called: Script, keys: readonly string[], args: readonly Argument[]): Command {
  const head: readonly Argument[] = [called.sha, keys.length];
  return { name: "EVALSHA", args: head.concat(keys, args), script: called };
}

export class RedisLink {
  readonly clock: Clock;
  readonly settings: LinkSettings;
  readonly storeTime = new StoreTime();
  isCluster: boolean;
  readonly #entrance: Entrance;
  readonly #log: Log;
  readonly #nodes = new Map<string, RedisNode>();
  readonly #bySlot: (RedisNode | undefined)[] = [];
  readonly #closed = new AbortController();
  /** Addresses that were named to us: the seeds, and what the cluster said last. */
  #known: ReadonlySet<string>;
  #refreshing: Promise<void> | undefined;
  #holders = 0;
  #sent = 0;
  #runs = 0;

  constructor(entrance: Entrance, deps: { readonly clock: Clock; readonly log: Log; readonly settings: LinkSettings }) {
    this.#entrance = entrance;
    this.isCluster = entrance.isCluster;
    this.clock = deps.clock;
    this.settings = deps.settings;
    this.#log = deps.log;
    this.#known = new Set(entrance.seeds.map(textOf));
    // Not lazily: opening waits for the first that answers.
    for (const seed of entrance.seeds) this.#node(seed);
  }

  /** Fires when the link is closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Commands sent so far. */
  get sent(): number {
    return this.#sent;
  }

  nodeOf(slot: number): RedisNode | undefined {
    return this.isCluster ? this.#bySlot[slot] : this.#nodes.values().next().value;
  }

  /** The servers that hold slots; without a cluster the one. */
  masters(): readonly RedisNode[] {
    return [...new Set(this.isCluster ? this.#bySlot.filter((node) => node !== undefined) : this.#nodes.values())];
  }

  /** What is shared by State and Payloads ends with the last of them. */
  hold(): void {
    this.#holders++;
  }

  release(): void {
    this.#holders--;
    if (this.#holders <= 0) this.close();
  }

  close(): void {
    this.#closed.abort();
    for (const node of this.#nodes.values()) node.close();
  }

  /** Resolves when some seed answers; rejects with STATE_UNAVAILABLE when none does in time. */
  async untilReachable(signal: AbortSignal): Promise<RedisNode> {
    const deadline = this.clock.deadline(signal, this.settings.callMsMax);
    for (;;) {
      const ready = [...this.#nodes.values()].find((node) => node.isReady);
      if (ready !== undefined) return ready;
      if (!(await this.clock.sleep(PAUSE_MS, deadline))) {
        const cause = [...this.#nodes.values()][0]?.lastError;
        throw new Fault(
          "STATE_UNAVAILABLE",
          `Redis does not answer at ${this.#entrance.seeds.map(textOf).join(", ")}`,
          { cause },
        );
      }
    }
  }

  /** Rejects with STATE_UNAVAILABLE when the server does not answer in time. */
  async untilReady(node: RedisNode): Promise<void> {
    const deadline = this.clock.deadline(this.closed, this.settings.callMsMax);
    while (!node.isReady) {
      if (await this.clock.sleep(PAUSE_MS, deadline)) continue;
      throw new Fault("STATE_UNAVAILABLE", `Redis does not answer at ${node.address}`, { cause: node.lastError });
    }
  }

  /** Sends `command` to the holder of `slot` until it replies or the deadline passes. Only for what may be repeated. */
  async run(slot: number, command: Command, options: RunOptions): Promise<Reply> {
    const { signal, code } = options;
    if (signal.aborted) throw new Fault(code, "the call was given up before it was sent");
    if (this.#runs >= this.settings.runsMax) throw new Fault(code, `${this.#runs} calls wait for Redis already`);
    this.#runs++;
    try {
      return await this.#runUntilReply(slot, command, options);
    } finally {
      this.#runs--;
    }
  }

  async #runUntilReply(slot: number, command: Command, options: RunOptions): Promise<Reply> {
    const { signal, code } = options;
    const deadline = this.clock.deadline(signal, this.settings.callMsMax);
    let next: Next | undefined;
    let cause: unknown;
    while (!deadline.aborted && !this.closed.aborted) {
      const node = nodeAsked(next) ?? this.nodeOf(slot);
      const answer = await untilAborted(this.sendTo(node, command, next), deadline);
      if (answer === undefined) break;
      if (answer.kind === "reply") return answer.reply;
      next = this.next(slot, node, answer);
      cause = causeOf(answer, node);
      if (next.kind === "fail") throw new Fault(code, next.hint, { cause });
      if (next.pauseMs > 0) await this.clock.sleep(next.pauseMs, deadline);
    }
    throw new Fault(code, this.closed.aborted ? "the connection to Redis is closed" : "Redis did not answer in time", {
      cause,
    });
  }

  sendTo(node: RedisNode | undefined, command: Command, next: Next | undefined): Promise<Answer> {
    if (node === undefined) return Promise.resolve({ kind: "not_sent" });
    this.#sent++;
    const repeat = next?.kind === "repeat" ? next : undefined;
    // On the same connection and in one turn, nothing comes between ASKING and the command it is for.
    if (repeat?.ask !== undefined) void node.send("ASKING", []);
    const isUnknown = repeat?.withSource === true && command.script !== undefined;
    const [name, args] = isUnknown
      ? (["EVAL", [command.script.source, ...command.args.slice(1)]] as const)
      : ([command.name, command.args] as const);
    return command.isForBytes === true ? node.sendForBytes(name, args) : node.send(name, args);
  }

  /** Learns from an answer that is no reply, and says what follows. */
  next(slot: number, node: RedisNode | undefined, answer: Exclude<Answer, { kind: "reply" }>): Next {
    if (answer.kind === "not_sent" || answer.kind === "lost") {
      this.#refresh();
      return { kind: "repeat", executed: answer.kind === "lost" ? "unknown" : "no", pauseMs: PAUSE_MS };
    }
    const meaning = meaningOf(answer.message);
    switch (meaning.kind) {
      case "again":
        return { kind: "repeat", executed: "no", pauseMs: PAUSE_MS };
      case "elsewhere":
        if (this.isCluster) this.#refresh();
        else node?.reconnect();
        return { kind: "repeat", executed: "no", pauseMs: PAUSE_MS };
      case "moved":
        this.#bySlot[slot] = this.#nodeNamed(meaning.address, node);
        this.#refresh();
        return { kind: "repeat", executed: "no", pauseMs: this.#bySlot[slot]?.isReady === true ? 0 : PAUSE_MS };
      case "ask":
        return { kind: "repeat", executed: "no", pauseMs: 0, ask: this.#nodeNamed(meaning.address, node) };
      case "no_script":
        return { kind: "repeat", executed: "no", pauseMs: 0, withSource: true };
      case "refused":
        return { kind: "fail", executed: "no", hint: meaning.hint };
      case "unknown":
        return { kind: "fail", executed: "unknown", hint: "Redis answered with an error that is not expected" };
      default:
        return unreachable(meaning);
    }
  }

  /** An address without a host means the host that was asked. Source: Redis Cluster specification, "MOVED redirection". */
  #nodeNamed(address: string, asked: RedisNode | undefined): RedisNode {
    const { host, port } = parseAddress(address.startsWith(":") ? `redis${address}` : address);
    return this.#node({ host: address.startsWith(":") && asked !== undefined ? asked.host : host, port });
  }

  /** Reads which master holds which slot. Rejects when no node tells. */
  async loadSlots(signal: AbortSignal): Promise<void> {
    for (const text of [...this.#known]) {
      const node = this.#node(parseAddress(text));
      const answer = node.isReady ? await untilAborted(node.send("CLUSTER", ["SLOTS"]), signal) : undefined;
      if (answer?.kind === "reply" && this.#adopt(answer.reply, parseAddress(text).host)) return;
    }
    throw new Fault("STATE_UNAVAILABLE", "no node of the Redis Cluster tells which node holds which slot");
  }

  #refresh(): void {
    if (!this.isCluster || this.#refreshing !== undefined || this.closed.aborted) return;
    this.#refreshing = this.loadSlots(this.clock.deadline(this.closed, this.settings.silenceMsMax))
      .catch((error: unknown) => this.#log.warn("redis.slots_unknown", { reason: String(error) }))
      .then(() => this.clock.sleep(REFRESH_GAP_MS, this.closed))
      .then(() => {
        this.#refreshing = undefined;
      });
  }

  /** Reply: [from, to, [host, port, id, …] of the master, replica, …] for each range. Source: Redis documentation, CLUSTER SLOTS. */
  #adopt(reply: Reply, askedHost: string): boolean {
    if (!Array.isArray(reply) || reply.length === 0) return false;
    const holding = new Set<RedisNode>();
    const named = new Set(this.#entrance.seeds.map(textOf));
    const ranges = reply as readonly (readonly [number, number, ...(readonly [string | null, number])[]])[];
    for (const [from, to, ...servers] of ranges) {
      const addresses = servers.map(([host, port]) => ({
        host: host === null || host === "" || host === "?" ? askedHost : host,
        port,
      }));
      for (const address of addresses) named.add(textOf(address));
      const [master] = addresses;
      if (master === undefined) continue;
      const node = this.#node(master);
      holding.add(node);
      for (let slot = from; slot <= to && slot < SLOTS; slot++) this.#bySlot[slot] = node;
    }
    this.#known = named;
    this.#forgetAllBut(holding);
    return true;
  }

  /** Servers that hold nothing are not kept connected, but stay known: one of them may have to be asked later. */
  #forgetAllBut(holding: ReadonlySet<RedisNode>): void {
    const isAnyReady = [...holding].some((node) => node.isReady);
    if (!isAnyReady) return;
    for (const [text, node] of this.#nodes) {
      if (holding.has(node)) continue;
      this.#nodes.delete(text);
      node.close();
    }
  }

  #node(address: Address): RedisNode {
    const text = textOf(address);
    const known = this.#nodes.get(text);
    if (known !== undefined) return known;
    const options: NodeOptions = { ...address, ...this.#entrance.login, silenceMsMax: this.settings.silenceMsMax };
    const node = new RedisNode(options, this.#log);
    this.#nodes.set(text, node);
    return node;
  }
}

function textOf(address: Address): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** The node that an ASK answer named for this one call. */
export function nodeAsked(next: Next | undefined): RedisNode | undefined {
  return next?.kind === "repeat" ? next.ask : undefined;
}

function causeOf(answer: Exclude<Answer, { kind: "reply" }>, node: RedisNode | undefined): unknown {
  if (answer.kind === "lost") return answer.cause;
  return answer.kind === "error" ? answer.message : node?.lastError;
}
