// Shell blocks of the documents.
// Owns:          finding them, for the tests that run them, and taking them apart into simple commands as far as documents need.
// Must not know: what commands do.
// W1. Whoever runs a block asks for it by `blockOf` or `sectionOf` with page and mark as they stand, so that the sources of the tests say
//     which blocks are run, and by whom. One that nobody asks for fails a test (commands.test.ts).

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");

export interface ShellBlock {
  readonly page: string;
  readonly line: number;
  readonly text: string;
}

export interface SimpleCommand {
  /** NAME=value in front of it, or behind `export`. */
  readonly settings: readonly string[];
  readonly words: readonly string[];
}

/** Every page that users read. */
export function pages(): readonly string[] {
  const below = (folder: string) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".md") && !path.includes("node_modules"))
      .map((path) => `${folder}/${path}`);
  return ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", ...["docs", "examples", "packages"].flatMap(below)];
}

export function shellBlocks(page: string): readonly ShellBlock[] {
  const text = readFileSync(join(ROOT, page), "utf8");
  return [...text.matchAll(/^ *```(?:sh|bash|shell|console|zsh|fish)\b.*\n([\s\S]*?)^ *```$/gm)].map((found) => ({
    page,
    line: text.slice(0, found.index).split("\n").length,
    text: found[1] ?? "",
  }));
}

/** The one shell block of the page that holds `mark`. Throws when there is none, or another. */
export function blockOf(page: string, mark: string): string {
  return found(page, mark).text;
}

/** The text between a heading of the second level and the next. Whoever asks runs all its shell blocks. */
export function sectionOf(page: string, heading: string): string {
  const sections = readFileSync(join(ROOT, page), "utf8").split(/^## /m);
  const section = sections.find((text) => text.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`${page} has no section "${heading}"`);
  return section;
}

export interface Asked {
  readonly by: string;
  readonly block: ShellBlock;
}

/** Which blocks a test asks for, as its source says (W1). Throws where it asks for one that is not there. */
export function blocksAskedFor(by: string, source: string): readonly Asked[] {
  const asked: Asked[] = [];
  for (const [, what, page = "", quoted = ""] of source.matchAll(ASKING)) {
    const mark = quoted.startsWith('"') ? String(JSON.parse(quoted)) : quoted.slice(1, -1);
    if (what === "blockOf") asked.push({ by, block: found(page, mark) });
    else {
      const section = sectionOf(page, mark);
      asked.push(...shellBlocks(page).flatMap((block) => (section.includes(block.text) ? [{ by, block }] : [])));
    }
  }
  return asked;
}

const ASKING = /\b(blockOf|sectionOf)\(\s*"([^"]+)",\s*("(?:\\.|[^"\\])*"|'[^'\\]*')/g;

function found(page: string, mark: string): ShellBlock {
  const blocks = shellBlocks(page).filter(({ text }) => text.includes(mark));
  const [block] = blocks;
  if (block === undefined || blocks.length > 1)
    throw new Error(`${page} has ${blocks.length} shell blocks with ${JSON.stringify(mark)}, not one`);
  return block;
}

/** As far as documents need: words in quotes are one; lines, pipes, `;`, `&&`, `||` and `$(…)` separate. Comments are dropped. */
export function commandsOf(script: string): readonly SimpleCommand[] {
  const commands: string[][] = [[]];
  for (const [token] of script.replace(/\\\n/g, " ").matchAll(TOKEN)) {
    if (/^[\s]*#/.test(token)) continue;
    if (SEPARATOR.test(token)) commands.push([]);
    else if (token.trim() !== "") commands.at(-1)?.push(unquoted(token));
  }
  return commands.filter((each) => each.length > 0).map(simple);
}

const SEPARATOR = /^(\n|\$\(|\)|;|&&?|\|\|?)$|=\$\($/;
/** A comment, a separator, a word, or blanks. `name=$(` opens another command. */
const TOKEN =
  /(?<=^|\s)#[^\n]*|\n|[A-Za-z_]\w*=\$\(|\$\(|\)|;|&&?|\|\|?|(?:"(?:\\.|[^"\\])*"|'[^']*'|<[^>\s]*>|\$(?!\()|[^\s"'$;&|()])+|[^\S\n]+/gm;

function simple(words: readonly string[]): SimpleCommand {
  const isExport = words[0] === "export";
  const rest = isExport ? words.slice(1) : words;
  const first = rest.findIndex((word) => !/^[A-Za-z_]\w*=/.test(word));
  const end = first < 0 ? rest.length : first;
  return { settings: rest.slice(0, end).map((word) => word.split("=")[0] ?? ""), words: rest.slice(end) };
}

function unquoted(word: string): string {
  return word.replace(/"((?:\\.|[^"])*)"|'([^']*)'/g, (_, double, single) => double ?? single ?? "");
}
