// The description of the API against live answers.
// Owns:          finding the operation of an answer and comparing the answer with what it describes.
// Must not know: single routes.

import { Type } from "typebox";
import { Compile } from "typebox/compile";
import type { Answer } from "./row.ts";

interface Described {
  readonly description?: string;
  readonly content?: { readonly [type: string]: { readonly schema: object } };
}
interface Operation {
  readonly operationId: string;
  readonly responses: { readonly [status: string]: Described };
}

export interface Description {
  readonly operations: readonly { readonly name: string; readonly path: string }[];
  /** The operation that an answer belongs to; undefined: nothing is at that path, or not with that method. */
  operationOf(answer: Pick<Answer, "method" | "path">): string | undefined;
  /** What is wrong with an answer by its description; empty when nothing is. */
  faultsOf(answer: Answer): readonly unknown[];
}

export async function loadDescription(url: string): Promise<Description> {
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as {
    readonly paths: { readonly [path: string]: { readonly [method: string]: Operation } };
  };
  const routes = Object.entries(document.paths).map(([path, operations]) => ({ form: formOf(path), operations, path }));
  // What is written out wins over a parameter, as in the router.
  routes.sort((a, b) => parametersOf(a.path) - parametersOf(b.path));
  const checks = new Map<object, ReturnType<typeof Compile>>();
  const find = ({ method, path }: Pick<Answer, "method" | "path">): Operation | undefined => {
    const name = method === "HEAD" ? "get" : method.toLowerCase();
    return routes.find(({ form, operations }) => form.test(path) && name in operations)?.operations[name];
  };
  const check = (schema: object) => {
    const known = checks.get(schema) ?? Compile(Type.Unsafe(schema));
    checks.set(schema, known);
    return known;
  };
  return {
    operations: routes.flatMap(({ operations, path }) =>
      Object.values(operations).map(({ operationId }) => ({ name: operationId, path })),
    ),
    operationOf: (answer) => find(answer)?.operationId,
    faultsOf(answer) {
      const operation = find(answer);
      if (operation === undefined || answer.method === "HEAD" || answer.status === 101) return [];
      const { responses } = operation;
      const response = responses[answer.status] ?? responses[`${Math.floor(answer.status / 100)}XX`];
      if (response === undefined) return [`${operation.operationId} describes no ${answer.status}`];
      if (answer.text === "") return response.content === undefined || answer.status === 204 ? [] : ["an empty answer"];
      const content = response.content?.[answer.type];
      if (content === undefined) return [`${operation.operationId} describes no ${answer.type} of ${answer.status}`];
      if (!answer.type.endsWith("json")) return [];
      return [...check(content.schema).Errors(answer.json)];
    },
  };
}

/** A parameter is one segment; the last may be the rest of the path (pointers hold slashes). */
function formOf(path: string): RegExp {
  const escaped = path.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/\{(artifact_ptr|schema_id)\}$/, ".+").replace(/\{\w+\}/g, "[^/]+")}$`);
}

function parametersOf(path: string): number {
  return path.split("{").length - 1;
}
