// Shell blocks of the documents.
// Owns:          finding them, and taking them apart into simple commands as far as documents need.
// Must not know: what commands do.

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
