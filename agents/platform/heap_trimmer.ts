/**
 * Gives memory that malloc keeps back to the system. Rule: it changes no result, and where there is no glibc it does nothing.
 * glibc keeps an arena for each thread, and what one has freed in it (the 32 MiB of a scrypt, an engine's compiler) stays in
 * the process's memory for ever: 70 MB in a backup with eight threads.
 */

const LIBRARY = "libc.so.6";

/** What trims once; some milliseconds. */
export function openHeapTrimmer(): () => void {
  if (Deno.build.os !== "linux") return () => {};
  try {
    const { symbols } = Deno.dlopen(LIBRARY, {
      malloc_trim: { parameters: ["usize"], result: "i32" },
    });
    return () => void symbols.malloc_trim(0n);
  } catch {
    // Another libc, or no permission to load one.
    return () => {};
  }
}
