// @cordum/control-plane: what those need who run the system in a process of their own. A table of contents, nothing else.

export type { Log, LogFields } from "./ports/telemetry.ts";
export {
  type Config,
  type ConfigProblem,
  describeProblems,
  type ParsedConfiguration,
  parseConfiguration,
} from "./services/configuration.ts";
export { describeUnknownName, type UnknownName } from "./services/configuration-names.ts";
export type { InProcessConnection } from "./services/in-process-connection.ts";
export {
  type NodeOptions,
  type Running,
  type RunningAllInOne,
  startAllInOne,
  startNode,
} from "./services/node.ts";
export { ALL_ROLES, ROLES, type Role } from "./services/roles.ts";
export { createLog, type LogSettings, type LogSink, silentLog } from "./telemetry/log.ts";
