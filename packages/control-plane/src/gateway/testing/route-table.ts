// The routes of a running gateway, as its own description of the API tells them.
// Owns:          reading that description for tests which must hold for every route.
// Must not know: single routes.

import type { HttpDescription, HttpOperation } from "../http-page.ts";
import type { Scene } from "./gateway-scene.ts";

export interface RouteRow {
  readonly method: "GET" | "POST" | "DELETE" | "PUT";
  /** With {parameters}. */
  readonly path: string;
  readonly permission: string;
  readonly operation: Operation;
}

interface Operation extends HttpOperation {
  readonly security?: readonly unknown[];
  readonly "x-shows-references"?: boolean;
}

interface Description extends HttpDescription {
  readonly openapi: string;
  readonly paths: { readonly [path: string]: { readonly [method: string]: Operation } };
}

export async function routesOf(scene: Scene): Promise<readonly RouteRow[]> {
  const { paths } = await descriptionOf(scene);
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      method: methodOf(method),
      path,
      permission: operation["x-permission"],
      operation,
    })),
  );
}

export async function descriptionOf(scene: Scene): Promise<Description> {
  return (await scene.call("", "GET", "/openapi.json")).json<Description>();
}

/** The path with every parameter filled in. */
export function pathFor(row: RouteRow, id: string): string {
  return row.path.replace(/\{\w+\}/g, id);
}

/** Names of its query parameters. */
export function queryOf({ operation }: RouteRow): readonly string[] {
  return (operation.parameters ?? []).filter((parameter) => parameter.in === "query").map(({ name }) => name);
}

/** Names of the members of its body. */
export function bodyOf({ operation }: RouteRow): readonly string[] {
  const contents = Object.values(operation.requestBody?.content ?? {});
  return contents.flatMap(({ schema }) => Object.keys(schema.properties ?? {}));
}

export function methodOf(name: string): RouteRow["method"] {
  const method = name.toUpperCase();
  if (method === "GET" || method === "POST" || method === "DELETE" || method === "PUT") return method;
  throw new Error(`no test knows the method ${name}`);
}
