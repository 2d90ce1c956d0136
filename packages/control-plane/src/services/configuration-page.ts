// The reference page of all settings.
// Owns:          its text.
// Must not know: values of any process.

import { SETTINGS, type Setting } from "./configuration-settings.ts";

const HEAD = `# Settings

A Cordum process reads its settings from environment variables, once, at its start. All faults are reported together, and a
process with a fault does not start. An empty value counts as not set. A name that begins with \`CORDUM_\` and is not on this page
is ignored with a warning.

\`cordum dev\` sets some of these itself: see [the command](cli.md#cordum-dev).

<!-- Printed from packages/control-plane/src/services/configuration-settings.ts; a test compares. -->
`;

/** docs/reference/configuration.md. */
export function configurationPage(): string {
  const sections = Object.entries(SETTINGS).map(([title, group]) => section(title, Object.values(group)));
  return [HEAD, ...sections].join("\n");
}

function section(title: string, settings: readonly Setting<unknown>[]): string {
  const rows = settings.map((setting) => {
    const byDefault = setting.byDefault === undefined ? "–" : `\`${setting.byDefault}\``;
    return `| \`${setting.name}\` | ${byDefault} | ${setting.says} | ${cell(setting.expected)} |`;
  });
  return [`## ${title}`, "", "| Name | Default | Meaning | Value |", "|---|---|---|---|", ...rows, ""].join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}
