// The reference page of the HTTP API: every route with what it takes and what it answers.
// Owns:          its text.
// Must not know: single routes (they are handed in, as the API describes them).

export interface HttpDescription {
  readonly tags?: readonly { readonly name: string }[];
  readonly paths: { readonly [path: string]: { readonly [method: string]: HttpOperation } };
}

export interface HttpOperation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly description?: string;
  readonly tags?: readonly string[];
  readonly "x-permission": string;
  readonly parameters?: readonly HttpParameter[];
  readonly requestBody?: { readonly content: { readonly [type: string]: { readonly schema: Shape } } };
  readonly responses: { readonly [status: string]: HttpAnswer };
}

interface HttpParameter {
  readonly in: string;
  readonly name: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema?: Shape;
}

interface HttpAnswer {
  readonly description?: string;
  readonly content?: { readonly [type: string]: { readonly schema: Shape } };
}

/** As much of JSON Schema as this page shows. */
interface Shape {
  readonly type?: string;
  readonly description?: string;
  readonly items?: Shape;
  readonly properties?: { readonly [name: string]: Shape };
  readonly required?: readonly string[];
  readonly anyOf?: readonly Shape[];
  readonly allOf?: readonly Shape[];
  readonly additionalProperties?: Shape | boolean;
}

/** docs/reference/http.md; a test keeps the two equal. */
export function httpPage({ tags = [], paths }: HttpDescription): string {
  const routes = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, operation })),
  );
  const parts = tags.flatMap(({ name }) => [
    `## ${name[0]?.toUpperCase()}${name.slice(1)}`,
    ...routes
      .filter(({ operation }) => operation.tags?.[0] === name)
      .flatMap((route) => routePart(route.name, route.operation)),
  ]);
  return `${[HEAD, ...parts].join("\n\n")}\n`;
}

function routePart(name: string, operation: HttpOperation): readonly string[] {
  const { summary = "", description, parameters = [], requestBody, responses } = operation;
  const rows = [
    ...parameters.map((each) => row(each.in, each.name, each.required === true, each.schema, each.description)),
    ...Object.values(requestBody?.content ?? {}).flatMap(({ schema }) => bodyRows(schema)),
  ];
  const answers = Object.entries(responses)
    .filter(([status]) => !/XX$/.test(status))
    .map(([status, answer]) => `- ${status}${answerText(answer)}`);
  return [
    `### ${name}`,
    [`${summary}${/[.?!]$/.test(summary) ? "" : "."}`, ...(description === undefined ? [] : [description])].join(" "),
    `\`${operation.operationId}\`, ${rightText(operation["x-permission"])}.`,
    ...(rows.length === 0 ? [] : [[ROWS_HEAD, ...rows].join("\n")]),
    answers.join("\n"),
  ];
}

function rightText(permission: string): string {
  return permission === "public" ? "without a key" : `right \`${permission}\``;
}

function bodyRows(schema: Shape): readonly string[] {
  const members = membersOf(schema);
  if (members.length === 0) return [`| body | | ${typeText(schema)} | ${cell(schema.description)} |`];
  return members.map(({ name, shape, isRequired }) => row("body", name, isRequired, shape, undefined));
}

function row(place: string, name: string, isRequired: boolean, shape: Shape = {}, about?: string): string {
  const known = said(shape);
  const text = about ?? known.description ?? shape.description;
  return `| ${place} | \`${name}\`${isRequired ? " *" : ""} | ${typeText(known)} | ${cell(text)} |`;
}

/** What may be null is shown as what it is otherwise: null says the same as leaving it out. */
function said(shape: Shape): Shape {
  const others = (shape.anyOf ?? []).filter(({ type }) => type !== "null");
  return others.length === 1 ? said(others[0] ?? {}) : shape;
}

interface Member {
  readonly name: string;
  readonly shape: Shape;
  readonly isRequired: boolean;
}

function membersOf(schema: Shape): readonly Member[] {
  const parts = [schema, ...(schema.allOf ?? [])];
  return parts.flatMap(({ properties = {}, required = [] }) =>
    Object.entries(properties).map(([name, shape]) => ({ name, shape, isRequired: required.includes(name) })),
  );
}

function typeText(shape: Shape): string {
  const { type, items, anyOf } = said(shape);
  if (type === "array") return items === undefined ? "array" : `${typeText(items)}[]`;
  if (type !== undefined) return type;
  if (anyOf === undefined) return "any";
  return [...new Set(anyOf.filter((each) => each.type !== "null").map(typeText))].join(" or ");
}

function answerText({ description = "", content = {} }: HttpAnswer): string {
  const about = description === "Default Response" ? "" : ` ${cell(description)}`;
  const types = Object.entries(content).map(([type, { schema }]) => ` \`${type}\`${membersText(schema)}`);
  return `${about}${types.join(";")}${about === "" && types.length === 0 ? " without a body" : ""}`;
}

function membersText(schema: Shape): string {
  const names = (shape: Shape) =>
    membersOf(shape)
      .map(({ name }) => `\`${name}\``)
      .join(", ");
  if (schema.items !== undefined) return `, an array of ${names(schema.items) || typeText(schema.items)}`;
  const own = names(schema);
  if (own !== "") return `: ${own}`;
  const forms = (schema.anyOf ?? []).map(membersText).filter((text) => text !== "");
  return forms.length === 0 ? "" : forms.join(", or");
}

function cell(text = ""): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

const ROWS_HEAD = `| In | Name | Type | |
|---|---|---|---|`;

const HEAD = `# The HTTP API

Every route that a gateway serves. The page is printed from the description that a gateway hands out at \`GET /openapi.json\`, which
its answers are checked against; a test keeps the two equal. The description has the types of all members as well.

- The key goes into the header \`X-API-Key\`. Which role has which right is told in [roles](roles.md).
- Errors, here left out, are [problems](problems.md): 401 without a valid key, 403 without the right, 404 for what does not exist or is another
  tenant's, 400 for what cannot be read, 429 and 503 with \`Retry-After\`.
- \`X-Tenant-ID\` names the tenant, for keys that may use several.
- An asterisk marks what must be there. Members of bodies that are \`null\` count as left out.`;
