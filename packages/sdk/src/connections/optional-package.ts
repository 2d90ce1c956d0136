// Optional packages: the clients that only workers over NATS and Redis need.
// Owns:          loading one when it is needed, and the sentence for those who have not installed it.
// Must not know: what the package does.

/** What `load` imports. Rejects with a sentence that says what to install when the package itself is missing. */
export async function loadOptional<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    if (!isMissing(cause, name)) throw cause;
    throw new Error(`a worker that connects by URL needs the package ${name}; install it: npm install ${name}`, {
      cause,
    });
  }
}

/** A package that is there and lacks one of its own must not be called missing. */
function isMissing(error: unknown, name: string): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    error.code === "ERR_MODULE_NOT_FOUND" &&
    error.message.includes(`'${name}'`)
  );
}
