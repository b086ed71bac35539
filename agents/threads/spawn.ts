/** Starts Web Workers. Rule: each begins in `roles/main.ts`, which a packed program has to name, since it has no file for it. */

let entryUrl: string | undefined;

/** Called once by the entry module of a packed program, before any thread is started. */
export function setEntryUrl(url: string): void {
  entryUrl = url;
}

/** Starts a thread in the given role; `roles/entry.ts` knows them. */
export function spawnThread(role: string): Worker {
  return new Worker(entryUrl ?? import.meta.resolve("../roles/main.ts"), {
    type: "module",
    name: role,
  });
}
