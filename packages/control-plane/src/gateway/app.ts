// The HTTP server without its routes.
// Owns:          limits, parsing of bodies, errors, hooks, the rule that every route names its permission, 404 and 405.
// Must not know: what the routes are for.
// H1. A route without a permission does not start. H2. A handler runs only for admitted requests, and a drain waits for it.
// H3. Bodies are JSON whatever their Content-Type says, as the original reads them; an empty body is no body.
// H4. References to secrets are blanked out in every text that is answered, whatever route it comes from. A route whose documents are read to
//     be written back says so (`showsReferences`).

import type { IncomingMessage, ServerResponse } from "node:http";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type RawServerDefault,
  type RouteOptions,
} from "fastify";
import { redactJson } from "../policy/secrets.ts";
import type { Clock } from "../ports/clock.ts";
import { Fault, type FaultCode } from "../ports/fault.ts";
import type { Log, Meter } from "../ports/telemetry.ts";
import type { Auth } from "./auth.ts";
import { refuseBrokenRequest } from "./broken-request.ts";
import type { Denials } from "./denials.ts";
import { createDoorman, SECURITY_HEADERS } from "./doorman.ts";
import type { Flight } from "./flight.ts";
import { asFault, bodyFault } from "./framework-fault.ts";
import type { GatewaySettings } from "./parts.ts";
import { PROBLEM_CONTENT_TYPE, type Problem, retryAfterS, toProblem } from "./problem.ts";
import { bucketOfAddress } from "./rate-limit.ts";
import { asksForSocket } from "./sockets.ts";
import { validatorCompiler } from "./validation.ts";
import { readWhole, WholeMessage } from "./whole-body.ts";

export interface AppParts {
  readonly auth: Auth;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly flight: Flight;
  readonly denials: Pick<Denials, "note">;
  readonly settings: GatewaySettings;
}

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

const PARAM_CHARS_MAX = 512;
const INSTANCE_CHARS_MAX = 500;
const COUNT_END = 2 ** 32;
const REQUEST_ID_FORM = /^[A-Za-z0-9._:-]{1,128}$/;

export function createApp(parts: AppParts): App {
  const { settings, clock } = parts;
  const requestId = createRequestId(clock);
  const app: App = Fastify({
    bodyLimit: settings.bodyBytesMax,
    requestTimeout: settings.requestReadMs,
    keepAliveTimeout: settings.idleMs,
    // A socket on which nothing moves for that long has a client that does not read its answer.
    connectionTimeout: settings.handlerMs + settings.requestReadMs,
    http: {
      IncomingMessage: WholeMessage,
      headersTimeout: settings.headReadMs,
      connectionsCheckingInterval: Math.min(settings.headReadMs, 5_000),
      // Without anybody who takes upgrades, they are ordinary requests.
      shouldUpgradeCallback: (raw) => app.server.listenerCount("upgrade") > 0 && asksForSocket(raw),
    },
    routerOptions: { maxParamLength: PARAM_CHARS_MAX },
    trustProxy: settings.trustedProxies.length === 0 ? false : [...settings.trustedProxies],
    exposeHeadRoutes: true,
    return503OnClosing: false,
    genReqId: (request) => requestId(request.headers["x-request-id"]),
    // Paths that cannot be decoded reach no hook, hence the headers here.
    frameworkErrors: (error, request, reply) =>
      answerError(error, request, reply.headers(SECURITY_HEADERS).header("x-request-id", request.id), parts),
    clientErrorHandler: refuseBrokenRequest,
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.decorateRequest("caller", undefined);
  app.decorateRequest("route", undefined);
  app.decorateRequest("isRefused", false);
  readJsonBodies(app);
  app.addHook("onRequest", createDoorman(parts));
  app.addHook("onSend", (request, _, payload, done) => {
    const isOurs = typeof payload === "string" && request.route?.showsReferences !== true;
    done(null, isOurs ? redactJson(payload) : payload);
  });
  const measure = createMeasure(parts.meter);
  app.addHook("onResponse", (request, reply, done) => {
    measure(request, reply);
    done();
  });
  app.addHook("onRoute", (route) => watchRoute(route, parts.flight));
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply, parts));
  app.setNotFoundHandler((request, reply) => {
    answerError(new Fault("ROUTE_NOT_FOUND", `nothing is at ${instanceOf(request)}`), request, reply, parts);
  });
  return app;
}

/** Runs `register`, then answers 405 to every other method of each path that it has registered. */
export function registerRoutes(app: App, register: () => void): void {
  const paths = new Map<string, Set<string>>();
  app.addHook("onRoute", ({ url, method, config }) => {
    if (config?.isFallback === true) return;
    const methods = paths.get(url) ?? new Set();
    paths.set(url, methods);
    for (const one of Array.isArray(method) ? method : [method]) methods.add(one);
  });
  register();
  for (const [url, methods] of paths) {
    const allow = [...methods].sort().join(", ");
    app.route({
      method: METHODS.filter((method) => !methods.has(method)),
      url,
      config: { permission: "public", isFallback: true },
      schema: { hide: true },
      handler: (_, reply) => {
        reply.header("allow", allow);
        throw new Fault("METHOD_NOT_ALLOWED", `this path takes ${allow}`);
      },
    });
  }
}

const METHODS = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"] as const;

function watchRoute(route: RouteOptions, flight: Flight): void {
  if (route.config?.permission === undefined) {
    throw new Error(`route ${String(route.method)} ${route.url} names no permission in its config`);
  }
  const { handler } = route;
  const leave = (): void => flight.leave();
  route.handler = function watched(request, reply) {
    flight.enter();
    try {
      const answering: unknown = handler.call(this, request, reply);
      // Before the framework's own listener: a drain does not wait for the socket.
      void Promise.resolve(answering).then(leave, leave);
      return answering;
    } catch (error) {
      leave();
      throw error;
    }
  };
}

function readJsonBodies(app: App): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeAllContentTypeParsers();
  // What most clients say is named beside "everything", which the framework would look up anew, by reading the header, for each request.
  app.addContentTypeParser(["application/json", "*"], (request, payload, done) => {
    const { bodyLimit } = request.routeOptions;
    if (Number(request.headers["content-length"]) > bodyLimit) return done(bodyFault("too large"));
    readWhole(payload, bodyLimit, (failure, body) => {
      if (failure !== undefined) return done(bodyFault(failure));
      const text = body.toString("utf8");
      if (text.trim() === "") done(null, undefined);
      else parse(request, text, done);
    });
  });
}

/** Requests that never reached a handler are counted by the code that refused them. */
const REFUSALS: ReadonlySet<FaultCode> = new Set<FaultCode>([
  "UNAUTHENTICATED",
  "FORBIDDEN",
  "TENANT_FORBIDDEN",
  "ORIGIN_FORBIDDEN",
  "ROUTE_NOT_FOUND",
  "METHOD_NOT_ALLOWED",
  "RATE_LIMITED",
  "TOO_MANY_CONNECTIONS",
  "SHUTTING_DOWN",
]);

function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply, parts: AppParts): void {
  const problem = toProblem(asFault(error, request.routeOptions?.schema?.body), {
    instance: instanceOf(request),
    traceId: request.id,
  });
  tellError(error, problem, request, parts);
  const waitS = retryAfterS(problem.status);
  if (waitS !== undefined && !reply.hasHeader("retry-after")) reply.header("retry-after", String(waitS));
  void reply
    .code(problem.status)
    .header("content-type", PROBLEM_CONTENT_TYPE)
    .send(redactJson(JSON.stringify(problem)));
}

function tellError(error: unknown, problem: Problem, request: FastifyRequest, parts: AppParts): void {
  if (REFUSALS.has(problem.code)) {
    request.isRefused = true;
    parts.meter.count("cordum_api_gateway_http_refused_total", { code: problem.code });
  }
  const about = {
    requestId: request.id,
    method: request.method,
    route: request.route?.url ?? "",
    keyId: request.caller?.identity.keyId ?? "",
  };
  const { caller } = request;
  if (caller !== undefined && error instanceof Fault) {
    const { identity } = caller;
    const address = bucketOfAddress(request.ip ?? "");
    parts.denials.note({ fault: error, identity, address, route: `${about.method} ${about.route}` });
  }
  if (problem.code === "INTERNAL") parts.log.error("request.failed", error, about);
  else if (problem.status >= 500)
    parts.log.warn("request.unserved", { ...about, code: problem.code, detail: problem.detail });
}

function createMeasure(meter: Meter): (request: FastifyRequest, reply: FastifyReply) => void {
  const templates = new Map<string, string>();
  return (request, reply) => {
    const url = request.route?.url;
    if (request.isRefused || url === undefined) return;
    let route = templates.get(url);
    if (route === undefined) {
      route = templateOf(url);
      templates.set(url, route);
    }
    const { method } = request;
    meter.count("cordum_api_gateway_http_requests_total", { method, route, status: String(reply.statusCode) });
    meter.observe("cordum_api_gateway_http_request_duration_seconds", reply.elapsedTime / 1000, { method, route });
  };
}

/** `/jobs/:id` as it is named in metrics and in the API's description: `/jobs/{id}`. */
function templateOf(url: string): string {
  return url.replace(/:(\w+)/g, "{$1}");
}

/** The caller's own id, or one of 16 hex digits: eight that are this process's, then a count. */
function createRequestId(clock: Clock): (sent: string | string[] | undefined) => string {
  const own = Buffer.from(clock.id(4), "base64url").toString("hex");
  let count = Math.floor(clock.random() * COUNT_END);
  return (sent) => {
    if (typeof sent === "string" && REQUEST_ID_FORM.test(sent)) return sent;
    count = (count + 1) % COUNT_END;
    return own + count.toString(16).padStart(8, "0");
  };
}

function instanceOf(request: FastifyRequest): string {
  const { url } = request;
  const end = url.indexOf("?");
  return (end === -1 ? url : url.slice(0, end)).slice(0, INSTANCE_CHARS_MAX);
}
