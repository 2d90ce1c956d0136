// `npm run demo`: Cordum in one process, five jobs, every kind of decision.
// Owns:          start, order and end; the exit code: 0 only when every job ended as it should.
// Must not know: how a line looks (story.ts), what a worker does (workers.ts).

import { join } from "node:path";
import type { JobDetail } from "@cordum/sdk";
import * as acts from "./acts.ts";
import { parseArguments, type Servers, USAGE } from "./arguments.ts";
import { demoJobs } from "./jobs.ts";
import { listenToNews } from "./news.ts";
import { askYesOrNo } from "./person.ts";
import { longestRows, Story, surveyRows } from "./story.ts";
import type { Survey } from "./survey.ts";
import { type DemoSystem, type Folders, makeFolders, removeFolders, startSystem } from "./system.ts";
import { demoCrews } from "./workers.ts";

const ROOT = join(import.meta.dirname, "..", "..");

async function main(): Promise<number> {
  const given = parseArguments(process.argv.slice(2), process.stdin.isTTY === true);
  if (given.kind === "help") return say(USAGE, 0);
  if (given.kind === "wrong") return complain(`${given.says}\n\n${USAGE}`);
  const story = new Story({
    isColoured: process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== "dumb",
    write: (text) => void process.stdout.write(`${text}\n`),
    now: Date.now,
  });
  const signal = stopSignal(story);
  const folders = await makeFolders();
  try {
    return await play({ story, signal, folders, servers: given.servers, approvesUnasked: given.approves });
  } catch (error) {
    if (signal.aborted) return 130;
    story.verdict(false, `The demo failed: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  } finally {
    await removeFolders(folders);
  }
}

interface Play {
  readonly story: Story;
  readonly signal: AbortSignal;
  readonly folders: Folders;
  readonly servers: Servers;
  readonly approvesUnasked: boolean;
}

async function play({ story, signal, folders, servers, approvesUnasked }: Play): Promise<number> {
  const nameOf = (topic: string) => topic.slice("job.demo.".length);
  const store = servers.redis === undefined ? "SQLite in a temporary folder" : "Redis";
  const bus = servers.nats === undefined ? "" : ", packets over NATS";
  story.title(`Starting: gateway, policy, scheduler and three workers in this process, ${store}${bus}`);
  const system = await startSystem({
    folders,
    servers,
    crewsOf: (tell) => demoCrews({ root: ROOT, outbox: folders.outbox, scratch: folders.scratch, tell }),
    tell: (topic, what) => story.did(nameOf(topic), what),
  });
  try {
    await listenToNews(system.running.connection(), ({ topic, state, why }) => story.moved(nameOf(topic), state, why));
    story.say(`ready at ${system.running.url}`);
    signal.throwIfAborted();
    return await perform({ system, story, signal }, folders, approvesUnasked);
  } finally {
    await end(system, story, signal);
  }
}

async function perform(stage: acts.Stage, folders: Folders, approvesUnasked: boolean): Promise<number> {
  const { story, signal } = stage;
  story.title("Five jobs go in");
  const submitted: acts.Submitted[] = [];
  for (const job of demoJobs(folders.scratch, true)) submitted.push(await acts.submit(stage, job));
  const [report, review, drop, mail, cleanup] = submitted;
  if (!report || !review || !drop || !mail || !cleanup) throw new Error("the demo has five jobs");

  story.title("Allowed: with and without limits");
  const ends: JobDetail[] = [await acts.untilEnd(stage, report), await acts.untilEnd(stage, review)];

  story.title("Denied: no worker ever saw it");
  ends.push(await acts.untilEnd(stage, drop));
  await acts.tellDeadLetter(stage, drop);

  story.title("Throttled: it waits until policy lets it go");
  await acts.liftThrottle(stage, mail);
  ends.push(await acts.untilEnd(stage, mail));

  story.title("An approval: it waits until somebody else says yes");
  await acts.showApproval(stage, cleanup);
  const isApproved = approvesUnasked || (await askYesOrNo(QUESTION, signal));
  if (approvesUnasked) story.say("--yes: approving without asking");
  await acts.answerApproval(stage, cleanup, isApproved);
  ends.push(await acts.untilEnd(stage, cleanup));

  return close({ story, expected: demoJobs(folders.scratch, isApproved), submitted, ends });
}

const QUESTION = "\nYou are ben. May cleanup delete three scratch files that this demo has made?";

interface Closing {
  readonly story: Story;
  readonly expected: ReturnType<typeof demoJobs>;
  readonly submitted: readonly acts.Submitted[];
  /** In the same order. */
  readonly ends: readonly JobDetail[];
}

function close({ story, expected, submitted, ends }: Closing): number {
  const survey = surveyOf(ends[0]);
  if (survey !== undefined) {
    story.title("What demo-reporter found in this repository");
    story.table(surveyRows(survey));
    story.plain("");
    story.table(longestRows(survey));
  }
  const rows = expected.map((job, at) => {
    const [decided, end] = [submitted[at]?.decision.decision ?? "-", ends[at]?.state ?? "-"];
    const isGood = decided === job.decision && end === job.ends;
    return { isGood, cells: [job.name, decided, job.ends, end, isGood ? "yes" : "NO"] };
  });
  story.title("All five");
  story.table([
    ["job", "policy decided first", "expected end", "end", "as expected"],
    ...rows.map(({ cells }) => cells),
  ]);
  const wrong = rows.filter(({ isGood }) => !isGood).length;
  const text =
    wrong === 0 ? "Every job ended as it should." : `${wrong} of ${rows.length} jobs did not end as they should.`;
  story.verdict(wrong === 0, text);
  return wrong === 0 ? 0 : 1;
}

function surveyOf(job: JobDetail | undefined): Survey | undefined {
  const result = job?.result;
  return isSurvey(result) ? result : undefined;
}

function isSurvey(value: unknown): value is Survey {
  return (
    typeof value === "object" &&
    value !== null &&
    "folders" in value &&
    Array.isArray(value.folders) &&
    "longest" in value
  );
}

async function end(system: DemoSystem, story: Story, signal: AbortSignal): Promise<void> {
  if (signal.aborted) story.say("stopping: work in hand may end; Ctrl-C again stops at once");
  await system.drain();
}

/** A launcher and a terminal may both send the signal of one key press: what comes within 300 ms is the same. */
function stopSignal(story: Story): AbortSignal {
  const stop = new AbortController();
  let firstAt = 0;
  const heard = () => {
    if (stop.signal.aborted && performance.now() - firstAt > 300) process.exit(130);
    if (stop.signal.aborted) return;
    firstAt = performance.now();
    story.plain("");
    stop.abort();
  };
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, heard);
  // `npm run demo | head`: whoever read has seen enough.
  process.stdout.on("error", () => stop.abort());
  return stop.signal;
}

function say(text: string, code: number): number {
  process.stdout.write(`${text}\n`);
  return code;
}

function complain(text: string): number {
  process.stderr.write(`${text}\n`);
  return 2;
}

process.exit(await main());
