import type { WorkerFrame } from "@cordum/protocol";
import { describe, expect, it } from "vitest";
import { type Answer, GatewayRequests } from "./gateway-requests.ts";

const BOUNDS = { requestsMax: 3, requestBytesMax: 10_000 };
const DONE: Answer = { kind: "done", bytes: new Uint8Array(0) };

function open() {
  const sent: WorkerFrame[] = [];
  const requests = new GatewayRequests((frame) => sent.push(frame));
  const ids = () => sent.map((frame) => ("id" in frame ? frame.id : 0));
  const names = () => sent.map((frame) => ("key" in frame ? frame.key : "subject" in frame ? frame.subject : ""));
  return { sent, requests, ids, names };
}
const load = (key: string) => ({ kind: "load", key }) as const;
const publish = (subject: string, packet = new Uint8Array(1)) => ({ kind: "publish", subject, packet }) as const;

describe("requests to a gateway", () => {
  it("wait for a connection and leave in order, no more at once than is allowed (Q1, Q3)", async () => {
    const { requests, names, ids } = open();
    const answers = ["a", "b", "c", "d"].map((key) => requests.ask(load(key)));
    expect(names()).toEqual([]);
    requests.resume(BOUNDS);
    expect(names()).toEqual(["a", "b", "c"]);
    requests.answered(ids()[1] ?? 0, { kind: "missing" });
    expect(names()).toEqual(["a", "b", "c", "d"]);
    expect(await answers[1]).toEqual({ kind: "missing" });
    expect(requests.answered(99, DONE)).toBe(false);
  });

  it("are no more bytes at once than is allowed, except one alone", () => {
    const { requests, names } = open();
    requests.resume({ requestsMax: 100, requestBytesMax: 1_000 });
    void requests.ask(publish("first", new Uint8Array(5_000)));
    void requests.ask(publish("second"));
    expect(names()).toEqual(["first"]);
    requests.answered(1, DONE);
    expect(names()).toEqual(["first", "second"]);
  });

  it("that were on their way are sent again with the next connection, before what waited (Q1)", async () => {
    const { requests, sent, names } = open();
    requests.resume(BOUNDS);
    const first = requests.ask(publish("result"));
    requests.pause();
    const second = requests.ask(load("later"));
    expect(names()).toEqual(["result"]);
    requests.resume(BOUNDS);
    expect(names()).toEqual(["result", "result", "later"]);
    expect(requests.answered(1, DONE)).toBe(false); // an answer of the connection before
    for (const frame of sent) if ("id" in frame) requests.answered(frame.id, DONE);
    expect(await Promise.all([first, second])).toEqual([DONE, DONE]);
    await requests.idle();
  });

  it("that may be lost are refused without a connection, and with its end (Q2)", async () => {
    const { requests } = open();
    await expect(requests.ask(publish("beat"), { isLight: true })).rejects.toThrow("no connection");
    requests.resume(BOUNDS);
    const beat = requests.ask(publish("beat"), { isLight: true });
    requests.pause();
    await expect(beat).rejects.toThrow("no connection");
  });

  it("with the same bytes are one while they are kept (Q4)", async () => {
    const { requests, names } = open();
    const packet = new Uint8Array(3);
    requests.resume(BOUNDS);
    const both = [requests.ask(publish("r", packet)), requests.ask(publish("r", packet))];
    expect(names()).toEqual(["r"]);
    requests.answered(1, DONE);
    await Promise.all(both);
    void requests.ask(publish("r", packet));
    expect(names()).toEqual(["r", "r"]);
  });

  it("are bounded", async () => {
    const { requests } = open();
    for (let n = 0; n < 10_000; n++) requests.ask(load(String(n))).catch(() => undefined);
    await expect(requests.ask(load("more"))).rejects.toThrow("10000 requests");
    requests.close(new Error("closed"));
    await requests.idle();
    await expect(requests.ask(load("after"))).rejects.toThrow("closed");
  });

  it("whose time is over wait no more, but count as long as they are on their way", async () => {
    const { requests, names } = open();
    const late = new AbortController();
    requests.resume({ ...BOUNDS, requestsMax: 1 });
    const [one, two] = ["one", "two"].map((key) => requests.ask(load(key), { signal: late.signal }));
    late.abort();
    await expect(one).rejects.toThrow("did not answer in time");
    await expect(two).rejects.toThrow("did not answer in time");
    void requests.ask(load("three"));
    expect(names()).toEqual(["one"]);
    requests.answered(1, DONE);
    expect(names()).toEqual(["one", "three"]);
  });
});
