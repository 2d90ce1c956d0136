// Records of workers, as records.ts has those of jobs.
// Owns:          the types.
// Must not know: how they travel.

export interface WorkerRecord {
  readonly worker_id: string;
  readonly pool?: string;
  readonly region?: string;
  readonly type?: string;
  readonly cpu_load?: number;
  readonly gpu_utilization?: number;
  readonly memory_load?: number;
  readonly active_jobs?: number;
  readonly max_parallel_jobs?: number;
  readonly capabilities?: readonly string[];
  readonly labels?: { readonly [label: string]: string };
  readonly last_heartbeat_at?: string;
  /** False: silent, and listed because it is drained. */
  readonly online?: boolean;
  /** It gets no new jobs. */
  readonly draining?: boolean;
  readonly drain?: WorkerDrain;
}

export interface RevokedSession {
  readonly worker_id: string;
  readonly tenant: string;
  /** False: the worker had no session. */
  readonly revoked: boolean;
}

export interface WorkerDrain {
  /** An operator's order; otherwise the worker says so itself. */
  readonly by_order: boolean;
  /** Jobs that are out with it. */
  readonly jobs_out: number;
  readonly empty: boolean;
  /** RFC 3339. */
  readonly since?: string;
  readonly by?: string;
  readonly reason?: string;
}
