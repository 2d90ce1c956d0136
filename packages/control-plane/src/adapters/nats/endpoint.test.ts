import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nkeys } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { never } from "../../conformance/bus-conformance.ts";
import { startNats } from "../../testing/nats-servers.ts";
import { natsStage } from "../../testing/nats-stage.ts";
import { type NatsEndpoint, parseNatsEndpoint } from "./endpoint.ts";

const misconfigured = (says: string | RegExp) => ({ code: "BUS_MISCONFIGURED", message: expect.stringMatching(says) });

describe("parseNatsEndpoint", () => {
  it("reads servers, ports, credentials", async () => {
    const read = async (url: string) => {
      const { servers, login, tls } = await parseNatsEndpoint({ url });
      return [servers, login, tls !== undefined];
    };
    expect(await read("nats://localhost")).toEqual([["localhost:4222"], {}, false]);
    expect(await read("nats://a:1, nats://[::1]:2")).toEqual([["a:1", "[::1]:2"], {}, false]);
    expect(await read("tls://u:p%40%3A1@h:9")).toEqual([["h:9"], { user: "u", pass: "p@:1" }, true]);
    expect(await read("nats://secret@h")).toEqual([["h:4222"], { token: "secret" }, false]);
    expect(await read("nats://u:p@a,nats://u:p@b")).toEqual([["a:4222", "b:4222"], { user: "u", pass: "p" }, false]);
  });

  it.each([
    [{ url: "" }, "nats://host:port"],
    [{ url: "localhost:4222" }, "nats://host:port"],
    [{ url: "http://h" }, "nats://host:port"],
    [{ url: "ws://h" }, "nats://host:port"],
    [{ url: "nats://" }, "nats://host:port"],
    [{ url: "nats://h/0" }, "nats://host:port"],
    [{ url: "nats://h:99999" }, "nats://host:port"],
    [{ url: "nats://u:p%@h" }, "%25"],
    [{ url: "nats://u:p@a,nats://v:p@b" }, "more than one way"],
    [{ url: "nats://u:p@h", credentials: { token: "t" } }, "more than one way"],
    [{ url: "nats://h", credentials: { username: "u", password: "p", token: "t" } }, "more than one way"],
    [{ url: "nats://h", credentials: { password: "p" } }, "without a user name"],
    [{ url: "nats://h", credentials: { nkeySeed: "SUnonsense" } }, "NATS_NKEY"],
    [{ url: "nats://h", tls: { certPath: "c.pem" } }, "NATS_TLS_CERT and NATS_TLS_KEY"],
    [{ url: "nats://h", tls: { keyPath: "k.pem" } }, "NATS_TLS_CERT and NATS_TLS_KEY"],
    [{ url: "nats://h", tls: { caPath: "/no/such/file.pem" } }, /NATS_TLS_CA cannot be read: .*file\.pem/],
    [{ url: "nats://h", tls: { caPath: import.meta.filename.replace("endpoint.test", "until") } }, "no PEM file"],
  ] satisfies [NatsEndpoint, string | RegExp][])("refuses %o", async (endpoint, says) => {
    await expect(parseNatsEndpoint(endpoint)).rejects.toMatchObject(misconfigured(says));
  });

  it("E3 repeats no secret", async () => {
    for (const url of [
      "nats://u:hunter2@h/x",
      "nats://u:hunter2%@h",
      "hunter2",
      "nats://hunter2@a,nats://b:hunter2@c",
    ]) {
      const message = await parseNatsEndpoint({ url }).then(String, (error: Error) => error.message);
      expect(message).not.toContain("hunter2");
    }
  });
});

describe("logging in", () => {
  const folder = mkdtempSync(join(tmpdir(), "cordum-nats-login-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const configured = (text: string) => {
    const path = join(folder, "nats.conf");
    writeFileSync(path, text);
    return startNats({ args: ["-c", path] });
  };

  it("accepts user and password, from the URL or apart, and says when they are wrong", async () => {
    await using server = await startNats({ args: ["--user", "u", "--pass", "p"] });
    await using stage = natsStage(server.url);
    const inUrl = server.url.replace("//", "//u:p@");
    for (const open of [{ url: inUrl }, { credentials: { username: "u", password: "p" } }]) {
      expect((await stage.open(open)).status().connected).toBe(true);
    }
    for (const credentials of [{}, { username: "u", password: "hunter2" }, { token: "p" }]) {
      await expect(stage.open({ credentials })).rejects.toMatchObject(misconfigured(/refuses the credentials/));
    }
  });

  it("accepts a token, and an nkey", async () => {
    const key = nkeys.createUser();
    await using withToken = await startNats({ args: ["--auth", "t0ken"] });
    await using withKey = await configured(`authorization { users = [ { nkey: "${key.getPublicKey()}" } ] }`);
    await using stage = natsStage(withToken.url);
    expect((await stage.open({ credentials: { token: "t0ken" } })).status().connected).toBe(true);
    const nkeySeed = new TextDecoder().decode(key.getSeed());
    expect((await stage.open({ url: withKey.url, credentials: { nkeySeed } })).status().connected).toBe(true);
  });

  it("comes back when the server forgets the credentials and learns them again", async () => {
    await using server = await startNats({ args: ["--user", "u", "--pass", "p"] });
    await using stage = natsStage(server.url, { credentials: { username: "u", password: "p" } });
    const bus = await stage.open();
    await server.kill();
    await server.restart({ args: ["--user", "u", "--pass", "other"] });
    await expect.poll(() => stage.events.filter(({ event }) => event === "bus.server_error").length).toBeGreaterThan(3);
    await server.kill();
    await server.restart();
    await expect.poll(() => bus.status()).toEqual({ connected: true, reconnects: 1 });
  });

  it("says which permission is missing, instead of losing what is published", async () => {
    await using server = await configured(`authorization { users = [ { user: "u", password: "p", permissions: {
      publish: { deny: ["secret.>"] }, subscribe: { deny: ["secret.>"] } } } ] }`);
    await using stage = natsStage(server.url, { credentials: { username: "u", password: "p" } });
    const bus = await stage.open();
    const bytes = new Uint8Array(1);
    const missing = misconfigured(/may not (publish to|subscribe to) secret\.a/);
    await expect(bus.publish("secret.a", bytes, never)).rejects.toMatchObject(missing);
    await expect(bus.deliver("secret.a", bytes, never)).rejects.toMatchObject(missing);
    await expect(bus.publish("open.a", bytes, never)).resolves.toBeUndefined();
    const subscribing = bus.subscribe({ subject: "secret.a", keep: false, inFlightMax: 1 }, async () => ({
      kind: "ack",
    }));
    await expect(subscribing).rejects.toMatchObject(missing);
    expect(await bus.deliver("open.a", bytes, never)).toBe("nobody");
  });
});

describe("TLS", () => {
  const folder = mkdtempSync(join(tmpdir(), "cordum-nats-tls-"));
  const path = (name: string): string => join(folder, name);
  beforeAll(() => {
    makeCertificate("ca", ["-x509", "-subj", "/CN=test-ca", "-days", "2"]);
    for (const name of ["server", "client"]) {
      const san = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
      makeCertificate(name, [
        "-x509",
        "-subj",
        `/CN=${name}`,
        "-days",
        "2",
        "-CA",
        path("ca.pem"),
        "-CAkey",
        path("ca.key"),
        ...san,
      ]);
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const makeCertificate = (name: string, args: readonly string[]): void => {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path(`${name}.key`)];
    const made = spawnSync("openssl", ["req", ...key, "-out", path(`${name}.pem`), ...args], { encoding: "utf8" });
    if (made.status !== 0) throw new Error(`These tests make certificates with openssl: ${made.error ?? made.stderr}`);
  };
  const serverArgs = () => ["--tls", "--tlscert", path("server.pem"), "--tlskey", path("server.key")];

  it("verifies the server, by name, unless told not to", async () => {
    await using server = await startNats({ args: serverArgs() });
    await using stage = natsStage(server.url.replace("nats://127.0.0.1", "tls://localhost"));
    const works = [{ caPath: path("ca.pem") }, { insecure: true }, { caPath: path("ca.pem"), serverName: "localhost" }];
    for (const tls of works) expect((await stage.open({ tls })).status().connected).toBe(true);
    for (const tls of [{}, { caPath: path("ca.pem"), serverName: "elsewhere" }]) {
      await expect(stage.open({ tls })).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
    }
  });

  it("shows its own certificate where the server wants one", async () => {
    await using server = await startNats({ args: [...serverArgs(), "--tlsverify", "--tlscacert", path("ca.pem")] });
    await using stage = natsStage(server.url.replace("nats://127.0.0.1", "tls://localhost"));
    const own = { caPath: path("ca.pem"), certPath: path("client.pem"), keyPath: path("client.key") };
    expect((await stage.open({ tls: own })).status().connected).toBe(true);
    const without = { tls: { caPath: path("ca.pem") }, limits: { connectMsMax: 500 } };
    await expect(stage.open(without)).rejects.toMatchObject({ code: "BUS_UNAVAILABLE" });
  });

  it("E2 never falls back to plain text", async () => {
    await using server = await startNats();
    await using stage = natsStage(server.url.replace("nats://", "tls://"));
    await expect(stage.open()).rejects.toMatchObject({
      code: "BUS_UNAVAILABLE",
      message: expect.stringContaining("tls"),
    });
  });
});
