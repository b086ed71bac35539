/**
 * Time that no suspend and no stopped process can hold up, for leases. Rule: only differences mean something, and only
 * on one machine since its start.
 */

/** Milliseconds since this machine was started, those in which it slept included. */
export type BootClock = () => number;

const CLOCK_BOOTTIME = 7;

let read: BootClock | undefined;

/** The kernel's own clock where it can be asked, else the one of this process, which may stand still in a suspend. */
export function bootTimeMs(): number {
  return (read ??= openBootClock())();
}

function openBootClock(): BootClock {
  if (Deno.build.os === "linux") {
    try {
      const { symbols } = Deno.dlopen("libc.so.6", {
        clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
      });
      const time = new BigInt64Array(2);
      const ms = () => {
        symbols.clock_gettime(CLOCK_BOOTTIME, time);
        return Number(time[0]!) * 1000 + Number(time[1]!) / 1e6;
      };
      if (symbols.clock_gettime(CLOCK_BOOTTIME, time) === 0 && ms() > 0) return ms;
    } catch {
      // No glibc, or no FFI.
    }
    try {
      uptimeMs();
      return uptimeMs;
    } catch {
      // No /proc.
    }
  }
  return () => performance.now();
}

function uptimeMs(): number {
  const ms = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]) * 1000;
  if (!(ms > 0)) throw new TypeError("/proc/uptime is not what it should be");
  return ms;
}
