// Tables of text.
// Owns:          column widths.
// Must not know: what is in the cells.

import { oneLine } from "../terminal.ts";

const CELL_CHARS_MAX = 80;

/** Columns aligned by two blanks; the first row is the head. Cells are escaped and cut. No trailing blanks. */
export function table(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((cell) => cut(oneLine(cell === "" ? "-" : cell), CELL_CHARS_MAX)));
  const widths: number[] = [];
  for (const row of cells) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  return cells
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export function cut(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : `${text.slice(0, charsMax - 1)}…`;
}
