// Workers over HTTP.
// Owns:          the list of workers that this process has heard of in the last 30 s, one of them, the orders to drain them and to end sessions.
// Must not know: how workers are chosen, how an order is kept.
// W1. A worker that is drained is listed although it is silent, so that the order can be seen and taken back. W2. Whoever works for a
//     worker's tenant may drain it; a worker that serves all tenants is drained by the tenant that operates the installation.
// W3. A session is its tenant's, and ends by order of that tenant's people; a worker with a session need not have been heard of here.

import { Type } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import type { Static } from "typebox";
import { Fault } from "../../ports/fault.ts";
import { orderDrain, takeBackDrain, type WorkerDrain } from "../../scheduling/drain.ts";
import { servesTenant, type Worker } from "../../scheduling/registry.ts";
import { ownIdIn } from "../../worker-sessions/session-worker.ts";
import type { App } from "../app.ts";
import { actorOf, type Caller } from "../identity.ts";
import { pathId } from "../query.ts";
import { fullView, type KnownWorker, loadOut, shortView, WorkerSchema } from "../worker-view.ts";
import { callerOf, type RouteParts } from "./route-parts.ts";
import { maybe, problemResponses } from "./schemas.ts";

const tags = ["workers"];
const WorkerParams = Type.Object({ id: Type.String() });
const ReasonBody = Type.Union([Type.Object({ reason: maybe(Type.String({ maxLength: 512 })) }), Type.Null()]);

export function workerRoutes(app: App, parts: RouteParts): void {
  listRoute(app, parts);
  oneRoute(app, parts);
  drainRoutes(app, parts);
  revokeRoute(app, parts);
}

function listRoute(app: App, parts: RouteParts): void {
  const { jobParts, deadline } = parts;
  app.get(
    "/api/v1/workers",
    {
      config: { permission: "workers.read" },
      schema: {
        tags,
        operationId: "listWorkers",
        summary: "Workers heard of in the last 30 s, and those that are drained",
        description:
          "An array; in `{items}` for requests that name their tenant in a header. Workers serve all tenants, except those that are connected to a gateway with an API key: they are listed for their own tenant.",
        response: {
          200: Type.Union([Type.Array(WorkerSchema), Type.Object({ items: Type.Array(WorkerSchema) })]),
          ...problemResponses,
        },
      },
    },
    async (request) => {
      const caller = callerOf(request);
      const workers = knownTo(caller, parts);
      const out = await loadOut(workers, jobParts, deadline());
      const about = {
        now: jobParts.clock.now(),
        out,
        mayManage: (known: KnownWorker) => mayDrain(known, caller, parts),
      };
      if (caller.namesTenant) return { items: workers.map((worker) => fullView(worker, about)) };
      return workers.map((worker) => shortView(worker, about));
    },
  );
}

function oneRoute(app: App, parts: RouteParts): void {
  app.get(
    "/api/v1/workers/:id",
    {
      config: { permission: "workers.read" },
      schema: {
        tags,
        operationId: "getWorker",
        summary: "One worker",
        params: WorkerParams,
        response: { 200: WorkerSchema, ...problemResponses },
      },
    },
    async (request) => viewOf(findWorker(request, parts), request, parts),
  );
}

function drainRoutes(app: App, parts: RouteParts): void {
  const { jobParts, deadline } = parts;
  const verbs = [
    {
      verb: "drain",
      operationId: "drainWorker",
      summary: "Give a worker no new jobs",
      description:
        "Jobs that it has go on; `drain.empty` says when it has none. The order is for the id and holds until it is taken back, over restarts of the worker and of ours. Every scheduler heeds it at once where it hears of it over the bus, and after 10 s where not. A worker that listens on topics alone may still be given a job by the bus.",
    },
    {
      verb: "undrain",
      operationId: "undrainWorker",
      summary: "Let a drained worker have jobs again",
      description: "Takes an operator's order back. A worker that says itself that it is draining still gets nothing.",
    },
  ] as const;
  for (const { verb, ...about } of verbs)
    app.post(
      `/api/v1/workers/:id/${verb}`,
      {
        config: { permission: "workers.drain" },
        schema: {
          tags,
          ...about,
          params: WorkerParams,
          body: ReasonBody,
          response: { 200: WorkerSchema, ...problemResponses },
        },
      },
      async (request) => {
        const known = findWorker(request, parts);
        const caller = callerOf(request);
        if (!mayDrain(known, caller, parts))
          throw new Fault(
            "TENANT_FORBIDDEN",
            "the worker serves all tenants: the tenant that operates the installation drains it",
          );
        const wish = { workerId: known.id, by: actorOf(caller), reason: reasonIn(request.body) };
        const signal = jobParts.clock.deadline(deadline(), jobParts.settings.storeTimeoutMs);
        if (verb === "drain") await orderDrain({ ...wish, tenant: known.tenant ?? "" }, jobParts, signal);
        else await takeBackDrain(wish, jobParts, signal);
        await jobParts.drains.refresh();
        await jobParts.drains.announce();
        jobParts.log.info(`worker.${verb}ed`, { workerId: known.id, by: wish.by.principal });
        return viewOf({ id: known.id, ...freshOf(known.id, parts) }, request, parts);
      },
    );
}

function revokeRoute(app: App, parts: RouteParts): void {
  app.post(
    "/api/v1/workers/:id/revoke-session",
    {
      config: { permission: "workers.revoke" },
      schema: {
        tags,
        operationId: "revokeWorkerSession",
        summary: "End the session of a worker that is connected with an API key",
        description:
          "Whichever gateway it is connected to. The worker may connect again with a key that is still valid: to keep it out, revoke its key first. Jobs that it has go on if it comes back in time, and otherwise the way of a lost worker's. `revoked` is false for a worker that has no session.",
        params: WorkerParams,
        body: ReasonBody,
        response: {
          200: Type.Object({ worker_id: Type.String(), tenant: Type.String(), revoked: Type.Boolean() }),
          ...problemResponses,
        },
      },
    },
    async (request) => {
      const caller = callerOf(request);
      const { tenant } = caller;
      const workerId = pathId(request.params, "id", "WORKER_NOT_FOUND", "no such worker");
      const ownId = ownIdIn(workerId, tenant);
      const order = { tenant, workerId, by: actorOf(caller), reason: reasonIn(request.body) };
      const revoked = ownId !== undefined && (await parts.workers.revoke({ ...order, ownId }, parts.deadline()));
      if (!revoked) findWorker(request, parts);
      else parts.log.info("worker.session_revoked", { workerId, by: order.by.principal });
      return { worker_id: workerId, tenant, revoked };
    },
  );
}

function reasonIn(body: Static<typeof ReasonBody> | undefined): string {
  return (body?.reason ?? "").trim();
}

/** Workers that the caller may know of: alive, or drained. */
function knownTo({ tenant }: Pick<Caller, "tenant">, { jobParts }: RouteParts): readonly KnownWorker[] {
  const known = new Map<string, KnownWorker>();
  for (const worker of jobParts.registry.alive(jobParts.clock.now())) known.set(worker.id, knownAs(worker, undefined));
  for (const order of jobParts.drains.all())
    known.set(order.workerId, { ...(known.get(order.workerId) ?? knownAs(undefined, order)), order });
  const visible = [...known.values()].filter((worker) => servesTenant(worker, tenant));
  return visible.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function knownAs(worker: Worker | undefined, order: WorkerDrain | undefined): KnownWorker {
  const tenant = worker === undefined ? order?.tenant || undefined : worker.tenant;
  return { id: worker?.id ?? order?.workerId ?? "", tenant, worker, order };
}

/** Fault WORKER_NOT_FOUND, for workers of other tenants too. */
export function findWorker(request: FastifyRequest, parts: RouteParts): KnownWorker {
  const id = pathId(request.params, "id", "WORKER_NOT_FOUND", "no such worker");
  const known = { id, ...freshOf(id, parts) };
  const isKnown = known.worker !== undefined || known.order !== undefined;
  if (!isKnown || !servesTenant(known, callerOf(request).tenant)) throw new Fault("WORKER_NOT_FOUND", "no such worker");
  return known;
}

function freshOf(id: string, { jobParts }: RouteParts): Omit<KnownWorker, "id"> {
  const { id: _, ...fresh } = knownAs(jobParts.registry.find(id, jobParts.clock.now()), jobParts.drains.find(id));
  return fresh;
}

/** W2. */
function mayDrain(known: KnownWorker, { identity, tenant }: Caller, { settings }: RouteParts): boolean {
  if (known.tenant !== undefined) return known.tenant === tenant;
  return identity.allowCrossTenant || tenant === settings.operatorTenant;
}

async function viewOf(known: KnownWorker, request: FastifyRequest, parts: RouteParts) {
  const { jobParts, deadline } = parts;
  const out = await loadOut([known], jobParts, deadline());
  const caller = callerOf(request);
  return fullView(known, { now: jobParts.clock.now(), out, mayManage: (one) => mayDrain(one, caller, parts) });
}
