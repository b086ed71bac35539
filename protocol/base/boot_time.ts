/**
 * The kernel's count of milliseconds since the machine was started, suspend included: cheap enough to be asked before
 * every rename. Rule: it is one for all threads and processes of a machine, or there is none.
 */

const CLOCK_BOOTTIME = 7;

let read: (() => number | undefined) | undefined;

/** What `BootClock` counts too where the kernel shows it; undefined elsewhere. */
export function kernelBootMs(): number | undefined {
  return (read ??= openKernelClock())();
}

function openKernelClock(): () => number | undefined {
  if (Deno.build.os !== "linux") return () => undefined;
  try {
    const { symbols } = Deno.dlopen("libc.so.6", {
      clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
    });
    const time = new BigInt64Array(2);
    return () =>
      symbols.clock_gettime(CLOCK_BOOTTIME, time) === 0
        ? Number(time[0]!) * 1000 + Number(time[1]!) / 1e6
        : undefined;
  } catch {
    // No glibc, or no FFI.
    return () => undefined;
  }
}
