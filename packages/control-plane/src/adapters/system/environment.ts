// The process's environment.
// Owns:          the only reading of process.env in the control plane.
// Must not know: which settings exist (config/ has the schema).

export type Environment = { readonly [name: string]: string | undefined };

/** A frozen copy without prototype, taken now: later changes of process.env are not seen, and no name of Object is a setting. */
export function environment(): Environment {
  return Object.freeze(Object.assign(Object.create(null) as Record<string, string | undefined>, process.env));
}
