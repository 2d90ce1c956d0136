// A session: one worker, connected to a gateway.
// Owns:          the order of frames, answering requests, what the worker listens to, the end.
// Must not know: which socket it is, HTTP, other sessions (sessions.ts).
// S1. The first frame is a hello, and there is one. A frame that is none, that comes at the wrong moment or asks for more than the welcome
//     allowed ends the session with a code and a reason; it never ends anything else.
// S2. Every request is answered once. What is refused is counted; what touches a job or a key that is not the worker's is recorded too, and
//     answered alike whether it exists or not.
// S3. The session vouches: what goes to the bus is written here, in the worker's name, about jobs that are out with it by their records.
// S4. Payloads are read and written for jobs that are out with the worker at that moment, and for no others.
// S5. Nothing here grows without an end: requests (requests.ts), deliveries and jobs (handover.ts), topics, presence in a second, refusals in
//     a second (refusal-pace.ts).

import {
  directSubject,
  type GatewayFrame,
  parsePacket,
  readWorkerFrame,
  SESSION_CLOSE,
  type SessionLimits,
  WORKER_FRAMES_VERSION,
  type WorkerFrame,
  writeGatewayFrame,
} from "@cordum/protocol";
import type { Subscription } from "../ports/bus.ts";
import { Fault } from "../ports/fault.ts";
import type { Ms } from "../ports/time.ts";
import { Handover, type Outlet } from "./handover.ts";
import { Requests } from "./requests.ts";
import type { FrameSocket, OnRefused, SessionParts } from "./session-parts.ts";
import { isOwnId, type SessionWorker, sessionWorker, wishOf } from "./session-worker.ts";
import { type Answer, DONE, WorkerDesk } from "./worker-desk.ts";

export interface SessionEvents {
  /** The worker has said who it is. What comes back is why there is no room for it. */
  welcome(session: WorkerSession, worker: SessionWorker): string | undefined;
  ended(session: WorkerSession): void;
  /** It asked for what it may not have. For how long the answer waits. */
  refused(): Ms;
  readonly onRefused: OnRefused;
}

type Request = Exclude<WorkerFrame, { readonly kind: "hello" | "took" }>;

interface Ending {
  readonly code: number;
  readonly reason: string;
}

const TOPICS_MAX = 256;
const NOTHING = new Uint8Array(0);
const RINGS_AT_ONCE = 64;
const CLOSE_MS = 2_000;
const NEVER = new AbortController().signal;

export class WorkerSession {
  readonly #socket: FrameSocket;
  readonly #parts: SessionParts;
  readonly #tenant: string;
  readonly #events: SessionEvents;
  readonly #life = new AbortController();
  readonly #requests: Requests;
  readonly #topics = new Set<string>();
  #worker: SessionWorker | undefined;
  #handover: Handover | undefined;
  #desk: WorkerDesk | undefined;
  #directWish: string | undefined;
  #cancelWish: string | undefined;
  #bell: Promise<Subscription> | undefined;
  #isLeaving = false;

  constructor(socket: FrameSocket, tenant: string, parts: SessionParts, events: SessionEvents) {
    this.#socket = socket;
    this.#tenant = tenant;
    this.#parts = parts;
    this.#events = events;
    this.#requests = new Requests(parts.limits);
    void this.#awaitHello();
  }

  get worker(): SessionWorker | undefined {
    return this.#worker;
  }

  /** Fires when the session has ended. */
  get life(): AbortSignal {
    return this.#life.signal;
  }

  /** A message of the worker. Never throws. */
  receive(message: Uint8Array): void {
    if (this.#life.signal.aborted) return;
    const problem = this.#take(message);
    if (problem !== undefined) this.end(problem.code, problem.reason);
  }

  /** A cancel of a job was heard. Memory alone. */
  cancel(jobId: string, packet: Uint8Array): void {
    const [handover, subject] = [this.#handover, this.#cancelWish];
    if (handover?.stop(jobId) && subject !== undefined) handover.tell(subject, packet);
  }

  /** The bus may have lost messages, or a while has passed. */
  async look(): Promise<void> {
    this.#handover?.watch();
    await this.#handover?.lookAtAll();
  }

  get isDoubtful(): boolean {
    return this.#handover?.isDoubtful ?? false;
  }

  /** Ends deliveries that nobody answers. */
  watch(): void {
    this.#handover?.watch();
  }

  /** The process is about to end: no jobs are handed over any more, what the worker says is still heard. */
  async leave(reason: string): Promise<void> {
    if (this.#isLeaving || this.#life.signal.aborted) return;
    this.#isLeaving = true;
    await this.#hang();
    await this.#send({ kind: "goodbye", reason });
  }

  /** Says why, and ends. Of a second call nothing comes. */
  end(code: number, reason: string): void {
    if (this.#life.signal.aborted) return;
    this.#socket.close(code, reason);
    this.closed(reason);
    this.#parts.log.info("session.ended", { ...this.#about(), code, reason });
  }

  /** The socket has closed. */
  closed(reason: string): void {
    if (this.#life.signal.aborted) return;
    this.#life.abort();
    this.#events.ended(this);
    void this.#cleanUp(reason);
  }

  async #awaitHello(): Promise<void> {
    const { helloMs } = this.#parts.limits;
    if ((await this.#parts.clock.sleep(helloMs, this.#life.signal)) && this.#worker === undefined)
      this.end(SESSION_CLOSE.SILENT, `no hello within ${helloMs} ms`);
  }

  /** What is wrong with the message (S1). */
  #take(message: Uint8Array): Ending | undefined {
    const read = readWorkerFrame(message);
    if (read.kind === "malformed") return { code: SESSION_CLOSE.BAD_FRAME, reason: read.reason };
    const { frame } = read;
    if (frame.kind === "hello") return this.#meet(frame);
    const [desk, handover] = [this.#desk, this.#handover];
    if (desk === undefined || handover === undefined) return badHello("the first frame is a hello");
    if (frame.kind !== "took") return this.#begin(frame, message.length, desk);
    return handover.took(frame.id) ? undefined : { code: SESSION_CLOSE.BAD_FRAME, reason: "took answers a delivery" };
  }

  #begin(request: Request, bytes: number, desk: WorkerDesk): Ending | undefined {
    const { payloadBytesMax } = this.#parts.limits;
    if (request.kind === "store" && request.bytes.length > payloadBytesMax)
      return { code: SESSION_CLOSE.TOO_LARGE, reason: `a payload has at most ${payloadBytesMax} bytes` };
    const problem = this.#requests.begin(request.id, bytes);
    if (problem === "id_in_use")
      return { code: SESSION_CLOSE.BAD_FRAME, reason: "the id is that of a request under way" };
    if (problem === "too_much")
      return { code: SESSION_CLOSE.TOO_MUCH, reason: "more requests at once than the welcome allows" };
    void this.#serve(request, desk);
    return undefined;
  }

  #meet(hello: WorkerFrame & { readonly kind: "hello" }): Ending | undefined {
    if (this.#worker !== undefined) return { code: SESSION_CLOSE.BAD_FRAME, reason: "there is one hello" };
    const { version, workerId, window } = hello;
    if (version !== WORKER_FRAMES_VERSION) return badHello(`this gateway speaks version ${WORKER_FRAMES_VERSION}`);
    if (!isOwnId(workerId)) return badHello("a worker's id has 1 to 64 letters, digits, - and _");
    const worker = sessionWorker(workerId, this.#tenant, this.#parts.clock.id());
    this.#worker = worker;
    const full = this.#events.welcome(this, worker);
    if (full !== undefined) return { code: SESSION_CLOSE.FULL, reason: full };
    const handover = new Handover(worker, this.#outlet, this.#parts, this.#life.signal);
    handover.narrow(window);
    this.#handover = handover;
    this.#desk = new WorkerDesk({
      ...{ worker, handover, parts: this.#parts, life: this.#life.signal, onRefused: this.#events.onRefused },
      stop: (packet) => {
        if (this.#cancelWish !== undefined) handover.tell(this.#cancelWish, packet);
      },
    });
    void this.#send(welcomeOf(worker, window, this.#parts.limits));
    this.#parts.log.info("session.started", this.#about());
    return undefined;
  }

  get #outlet(): Outlet {
    return {
      subjectFor: (topic) => this.#directWish ?? (this.#topics.has(topic) ? topic : undefined),
      deliver: (id, subject, packet) => void this.#send({ kind: "deliver", id, subject, packet }),
      giveUp: (reason) => this.end(SESSION_CLOSE.TOO_SLOW, reason),
    };
  }

  async #serve(request: Request, desk: WorkerDesk): Promise<void> {
    try {
      if (request.kind === "load")
        await this.#requests.inTurn(async () => this.#answer(request, await this.#carryOut(request, desk)));
      else await this.#answer(request, await this.#carryOut(request, desk));
    } catch (error) {
      this.#parts.log.error("session.request_failed", error, { ...this.#about(), request: request.kind });
      this.end(SESSION_CLOSE.FAILED, "internal error");
    } finally {
      this.#requests.end(request.id);
    }
  }

  /** What went wrong in the house is an answer, too. */
  async #carryOut(request: Request, desk: WorkerDesk): Promise<Answer> {
    try {
      switch (request.kind) {
        case "subscribe":
          return await this.#subscribe(request.subject, desk);
        case "unsubscribe":
          return await this.#unsubscribe(request.subject);
        case "publish":
          return await desk.publish(request.subject, request.packet);
        case "load":
          return await desk.load(request.key);
        case "store":
          return await desk.store(request);
      }
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return { kind: "refused", code: error.code, isFinal: error.spec.retry === "never", reason: error.message };
    }
  }

  async #answer({ id }: Request, answer: Answer): Promise<void> {
    const waitMs = answer.kind === "refused" && answer.isFinal ? this.#events.refused() : 0;
    if (waitMs > 0) await this.#parts.clock.sleep(waitMs, this.#life.signal);
    if (answer.kind === "done") await this.#send({ kind: "done", id, bytes: answer.bytes ?? NOTHING });
    else await this.#send({ ...answer, id });
  }

  async #subscribe(subject: string, desk: WorkerDesk): Promise<Answer> {
    const wish = wishOf(subject, desk.worker);
    switch (wish.kind) {
      case "forbidden":
        return desk.refuse("SUBJECT_FORBIDDEN", "a worker listens on its own subjects, on cancels and on topics");
      case "cancels":
        this.#cancelWish = subject;
        return DONE;
      case "direct":
        this.#directWish = subject;
        break;
      case "topic":
        if (this.#topics.size >= TOPICS_MAX && !this.#topics.has(subject))
          return desk.refuse("TOPICS_LIMIT", `a worker listens on at most ${TOPICS_MAX} topics`);
        this.#topics.add(subject);
    }
    await this.#listen(desk.worker);
    this.#handover?.wantsChanged();
    return DONE;
  }

  async #unsubscribe(subject: string): Promise<Answer> {
    if (subject === this.#cancelWish) this.#cancelWish = undefined;
    if (subject === this.#directWish) this.#directWish = undefined;
    this.#topics.delete(subject);
    if (this.#directWish === undefined && this.#topics.size === 0) await this.#hang();
    return DONE;
  }

  /** Members of a topic's group cannot be told apart by tenant, so the gateway is in none: all jobs come by the worker's own subject. */
  async #listen({ workerId }: SessionWorker): Promise<void> {
    if (this.#isLeaving) throw new Fault("SHUTTING_DOWN", "this process takes no new work; another one will");
    const subject = directSubject(workerId);
    this.#bell ??= this.#parts.bus.subscribe(
      { subject, group: subject, keep: false, inFlightMax: RINGS_AT_ONCE },
      async (bytes) => {
        const parsed = parsePacket(bytes);
        const payload = parsed.kind === "packet" ? parsed.packet.payload : undefined;
        if (payload?.kind !== "jobRequest") return { kind: "refuse", reason: "no_request" };
        this.#handover?.ring(payload.value.jobId);
        return { kind: "ack" };
      },
    );
    await this.#bell.catch((error: unknown) => {
      this.#bell = undefined;
      throw error;
    });
  }

  /** Nobody rings here any more. */
  async #hang(): Promise<void> {
    const bell = this.#bell;
    this.#bell = undefined;
    await (await bell)?.drain(this.#parts.clock.deadline(NEVER, CLOSE_MS));
  }

  async #send(frame: GatewayFrame): Promise<void> {
    if (!this.#life.signal.aborted) await this.#socket.send(writeGatewayFrame(frame));
  }

  async #cleanUp(reason: string): Promise<void> {
    try {
      await this.#hang();
      await this.#handover?.close(reason, this.#parts.clock.deadline(NEVER, CLOSE_MS));
    } catch (error) {
      this.#parts.log.warn("session.not_cleaned_up", { ...this.#about(), reason: String(error) });
    }
  }

  #about(): { readonly workerId: string; readonly session: string; readonly tenant: string } {
    return { workerId: this.#worker?.workerId ?? "", session: this.#worker?.session ?? "", tenant: this.#tenant };
  }
}

function badHello(reason: string): Ending {
  return { code: SESSION_CLOSE.BAD_HELLO, reason };
}

function welcomeOf({ workerId, tenant, session }: SessionWorker, window: number, limits: SessionLimits): GatewayFrame {
  const { requestsMax, requestBytesMax, packetBytesMax, payloadBytesMax } = limits;
  const own = {
    window: Math.min(window, limits.window),
    requestsMax,
    requestBytesMax,
    packetBytesMax,
    payloadBytesMax,
  };
  return { kind: "welcome", version: WORKER_FRAMES_VERSION, workerId, tenant, session, limits: own };
}
