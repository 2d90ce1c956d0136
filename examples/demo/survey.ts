// A survey of source files: how many, how long, where, which are the largest.
// Owns:          walking the folders and counting.
// Must not know: jobs, who asked.
// V1. Links are not followed, and folders that hold no sources of ours are left out. V2. At most FILES_MAX files.

import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";

export interface Survey {
  readonly files: number;
  readonly lines: number;
  /** By folder (packages and their neighbours), most lines first. */
  readonly folders: readonly FolderCount[];
  /** The five longest files. */
  readonly longest: readonly FileCount[];
}
export interface FolderCount {
  readonly folder: string;
  readonly files: number;
  readonly lines: number;
}
export interface FileCount {
  readonly path: string;
  readonly lines: number;
}

const EXTENSIONS = new Set([".ts", ".tsx", ".mjs", ".js", ".md", ".yaml", ".yml", ".proto", ".sh"]);
const SKIPPED = new Set(["node_modules", "dist", "coverage"]);
const FILES_MAX = 10_000;
const LONGEST = 5;

/** Counts below `folders` (paths relative to `root`; "" is the root itself). Rejects with the signal's reason when it fires. */
export async function survey(root: string, folders: readonly string[], signal: AbortSignal): Promise<Survey> {
  const files: FileCount[] = [];
  for (const folder of folders) {
    for await (const path of sources(join(root, folder))) {
      signal.throwIfAborted();
      if (files.length === FILES_MAX) break;
      files.push({
        path: relative(root, path).split(sep).join("/"),
        lines: lineCount(await readFile(path, { encoding: "utf8", signal })),
      });
    }
  }
  const lines = files.reduce((sum, file) => sum + file.lines, 0);
  const longest = files.toSorted((a, b) => b.lines - a.lines || (a.path < b.path ? -1 : 1)).slice(0, LONGEST);
  return { files: files.length, lines, folders: byFolder(files), longest };
}

async function* sources(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.name.startsWith(".") || SKIPPED.has(entry.name)) continue;
    if (entry.isDirectory()) yield* sources(path);
    else if (entry.isFile() && EXTENSIONS.has(extname(entry.name))) yield path;
  }
}

function byFolder(files: readonly FileCount[]): readonly FolderCount[] {
  const counts = new Map<string, FolderCount>();
  for (const { path, lines } of files) {
    const folder = folderOf(path);
    const before = counts.get(folder) ?? { folder, files: 0, lines: 0 };
    counts.set(folder, { folder, files: before.files + 1, lines: before.lines + lines });
  }
  return [...counts.values()].sort((a, b) => b.lines - a.lines);
}

/** `packages/sdk` for what is in a package, the top folder otherwise, `.` for files of the root. */
function folderOf(path: string): string {
  const parts = path.split("/");
  if (parts.length === 1) return ".";
  return parts[0] === "packages" && parts.length > 2 ? `packages/${parts[1]}` : (parts[0] ?? ".");
}

function lineCount(text: string): number {
  if (text === "") return 0;
  const breaks = text.split("\n").length;
  return text.endsWith("\n") ? breaks - 1 : breaks;
}
