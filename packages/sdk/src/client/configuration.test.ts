import { describe, expect, it } from "vitest";
import { json, startServer } from "../testing/http-server.ts";
import { Client } from "./client.ts";

const DOCUMENT = { scope: "team", scope_id: "red", data: { a: 1 }, revision: 3, updated_at: "", updated_by: "ann" };

describe("client: configuration", () => {
  it("asks for whole documents, changes them, and says what must still be there", async () => {
    await using server = await startServer((asked, response) => {
      if (asked.method === "GET") json(response, 200, DOCUMENT);
      else response.writeHead(204).end();
    });
    const { config } = new Client({ url: server.url });
    expect(await config.get({ scope: "team", scope_id: "red" })).toEqual(DOCUMENT);
    const change = { scope: "team", scope_id: "red", data: { b: 2 } } as const;
    await config.replace(change, { revision: 3 });
    await config.merge(change);
    await config.remove({ scope: "team", scope_id: "a/b" }, { revision: 0 });
    expect(server.asked.map(({ method, url, headers }) => [method, url, headers["if-match"]])).toEqual([
      ["GET", "/api/v1/config?scope=team&scope_id=red&envelope=true", undefined],
      ["POST", "/api/v1/config", "3"],
      ["PUT", "/api/v1/config", undefined],
      ["DELETE", "/api/v1/config?scope=team&scope_id=a%2Fb", "0"],
    ]);
    expect(JSON.parse(server.asked[1]?.body ?? "")).toEqual(change);
  });

  it("shows what holds for whom", async () => {
    const view = { version: "system:1|org:0|team:0|workflow:0|step:0", hash: "00", data: {} };
    await using server = await startServer((_asked, response) => json(response, 200, view));
    const { config } = new Client({ url: server.url });
    expect(await config.effective({ team: "red", step: "s" })).toEqual(view);
    expect(server.asked[0]?.url).toBe("/api/v1/config/effective?team_id=red&step_id=s");
  });
});

describe("client: schemas", () => {
  it("keeps the slashes of ids, and nothing else that would lead elsewhere", async () => {
    await using server = await startServer((asked, response) => {
      if (asked.method !== "GET") response.writeHead(204).end();
      else if (asked.url.endsWith("/schemas?limit=5")) json(response, 200, { schemas: ["a/In"] });
      else json(response, 200, { id: "a/In", schema: { type: "object" } });
    });
    const { schemas } = new Client({ url: server.url });
    expect(await schemas.list({ limit: 5 })).toEqual(["a/In"]);
    expect((await schemas.get("a b/In?")).schema).toEqual({ type: "object" });
    await schemas.register("a/In", { type: "object" }, { scope: "system" });
    await schemas.remove("a/In", { scope: "system" });
    expect(server.asked.map(({ method, url }) => [method, url])).toEqual([
      ["GET", "/api/v1/schemas?limit=5"],
      ["GET", "/api/v1/schemas/a%20b/In%3F"],
      ["POST", "/api/v1/schemas"],
      ["DELETE", "/api/v1/schemas/a/In?scope=system"],
    ]);
    expect(JSON.parse(server.asked[2]?.body ?? "")).toEqual({
      id: "a/In",
      schema: { type: "object" },
      scope: "system",
    });
    for (const id of ["", "..", "a/../b", "a//b", "/a"]) await expect(schemas.get(id)).rejects.toThrow(TypeError);
  });

  it("does not take anything for a list", async () => {
    await using server = await startServer((_asked, response) => json(response, 200, { schemas: [1] }));
    const { schemas } = new Client({ url: server.url });
    await expect(schemas.list()).rejects.toMatchObject({ code: "RESPONSE_INVALID" });
  });
});
