// `cordum completion bash|zsh|fish`
// Owns:          the scripts by which shells complete the command line.
// Must not know: what commands do; it reads their names and options from the program itself.

import type { Command } from "commander";
import type { Shell } from "./shells.ts";

interface Place {
  /** Names from the program down, e.g. ["job", "submit"]; empty for the program itself. */
  readonly path: readonly string[];
  readonly commands: readonly { readonly name: string; readonly about: string }[];
  readonly options: readonly { readonly name: string; readonly about: string; readonly takesValue: boolean }[];
}

/** The script to be sourced by the shell. */
export function completionScript(program: Command, shell: Shell): string {
  const places = placesOf(program, []);
  switch (shell) {
    case "bash":
      return bashScript(places);
    case "zsh":
      return `autoload -U +X bashcompinit && bashcompinit\n${bashScript(places)}`;
    case "fish":
      return fishScript(places);
  }
}

function placesOf(command: Command, path: readonly string[]): readonly Place[] {
  const commands = command.commands.map((each) => ({ name: each.name(), about: each.description() }));
  const shown = command.createHelp();
  const options = [...shown.visibleOptions(command), ...shown.visibleGlobalOptions(command)].map((option) => ({
    name: option.long ?? option.short ?? "",
    about: option.description,
    takesValue: option.required || option.optional,
  }));
  const below = command.commands.flatMap((each) => placesOf(each, [...path, each.name()]));
  return [{ path, commands, options: unique(options) }, ...below];
}

function unique<T extends { readonly name: string }>(options: readonly T[]): readonly T[] {
  return [...new Map(options.map((option) => [option.name, option])).values()];
}

/** Names of commands and options are letters and dashes: nothing of them has to be quoted. */
function bashScript(places: readonly Place[]): string {
  const cases = places.map(({ path, commands, options }) => {
    const words = [...commands, ...options].map(({ name }) => name).join(" ");
    return `    "${path.join(" ")}") words="${words}" ;;`;
  });
  const known = places.flatMap(({ path }) => (path.length === 0 ? [] : [`"${path.join(" ")}"`])).join("|");
  return `# Completion of the command cordum.
_cordum() {
  local current="\${COMP_WORDS[COMP_CWORD]}" place="" next words="" at
  for ((at = 1; at < COMP_CWORD; at++)); do
    next="\${place:+$place }\${COMP_WORDS[at]}"
    case "$next" in ${known}) place="$next" ;; esac
  done
  case "$place" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _cordum cordum cordumctl
`;
}

function fishScript(places: readonly Place[]): string {
  const lines = places.flatMap(({ path, commands, options }) => {
    const here =
      path.length === 0
        ? "__fish_use_subcommand"
        : path.map((name) => `__fish_seen_subcommand_from ${name}`).join("; and ");
    return [
      ...commands.map(({ name, about }) => `complete -c cordum -f -n '${here}' -a ${name} -d '${quoted(about)}'`),
      ...options.map(
        ({ name, about, takesValue }) =>
          `complete -c cordum -n '${here}' ${name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`}${takesValue ? " -r" : ""} -d '${quoted(about)}'`,
      ),
    ];
  });
  return `# Completion of the command cordum.\n${lines.join("\n")}\n`;
}

function quoted(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("'", "\\'");
}
