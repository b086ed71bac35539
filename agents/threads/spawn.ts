/**
 * Starts Web Workers from the one entry module. Rule: worker and program share their entry, so the same source runs
 * from a checkout, a bundle and a packed executable.
 */

let entryUrl: string | undefined;

/** Called once by the entry module with its own `import.meta.url`, before any thread is started. */
export function setEntryUrl(url: string): void {
  entryUrl = url;
}

/** Starts a thread in the given role; `entry.ts` knows the roles. */
export function spawnThread(role: string): Worker {
  return new Worker(entryUrl ?? import.meta.resolve("../../mod.ts"), {
    type: "module",
    name: role,
  });
}
