// A batch as cells of the tape.
// Owns:          writing what the engine reads. Must not know: SQL, threads.

import { unreachable } from "../../ports/fault.ts";
import type { Batch, Change, Check } from "../../ports/state.ts";
import type { Texts } from "../state/admission.ts";
import { indexName, logName, recordName } from "../state/names.ts";
import { CALL, type Cell, CHANGE, CHECK } from "./tape.ts";

/** `texts`: the JSON of each change, as Admission answers them. */
export function batchCells(batch: Batch, texts: Texts): readonly Cell[] {
  const cells: Cell[] = [CALL.commit, batch.id, batch.partition, batch.checks.length];
  for (const check of batch.checks) pushCheck(cells, check);
  cells.push(batch.changes.length);
  for (const [at, change] of batch.changes.entries()) pushChange(cells, change, texts[at] ?? "");
  const tell = batch.tell ?? [];
  cells.push(tell.length);
  for (const index of tell) cells.push(indexName(index));
  return cells;
}

function pushCheck(cells: Cell[], check: Check): void {
  switch (check.is) {
    case "at":
      cells.push(CHECK.at, recordName(check.key), check.version);
      break;
    case "absent":
      cells.push(CHECK.absent, recordName(check.key));
      break;
    case "in":
    case "out":
      cells.push(CHECK[check.is], indexName(check.index), check.member);
      break;
    case "fewer":
      cells.push(CHECK.fewer, indexName(check.index), check.than);
      break;
    default:
      unreachable(check);
  }
}

function pushChange(cells: Cell[], change: Change, text: string): void {
  switch (change.do) {
    case "put":
      cells.push(
        CHANGE.put,
        recordName(change.key),
        text,
        change.wakeAt === "never" ? null : change.wakeAt,
        change.keepMs ?? null,
      );
      break;
    case "delete":
      cells.push(CHANGE.delete, recordName(change.key));
      break;
    case "enter":
      cells.push(CHANGE.enter, indexName(change.index), change.member, change.score + 0);
      break;
    case "leave":
      cells.push(CHANGE.leave, indexName(change.index), change.member);
      break;
    case "append":
      cells.push(CHANGE.append, logName(change.log), text);
      break;
    case "attach":
      cells.push(CHANGE.attach, change.key, text, change.keepMs);
      break;
    default:
      unreachable(change);
  }
}
