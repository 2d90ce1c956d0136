#!/usr/bin/env node
// The `cordum` command.
// Owns:          choosing between the sources (in the repository) and the built files (in the published package).
// Must not know: what the command can do.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { findNode26, runOnNode26 } from "./node-26.mjs";

const source = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const built = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const args = process.argv.slice(2);

if (existsSync(source)) runOnNode26([source, ...args]);
else if (findNode26().path === process.execPath) await import(new URL("../dist/main.js", import.meta.url));
else runOnNode26([built, ...args]);
