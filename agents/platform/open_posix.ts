/** Picks the platform port. Rule: exact where the system lets us, and always something that works. */
import process from "node:process";
import { openLibc } from "./linux_libc.ts";
import { openPortable } from "./portable.ts";
import type { Posix } from "./posix.ts";

/** Set to `portable` to do without libc, for tests and for systems where calling it goes wrong. */
export const PLATFORM_VARIABLE = "BACKUP_AGENT_PLATFORM";

/** libc on Linux when it loads (glibc, and FFI allowed), else the fallback. One per thread. */
export function openPosix(): Posix {
  if (Deno.build.os !== "linux" || process.env[PLATFORM_VARIABLE] === "portable") {
    return openPortable();
  }
  try {
    return openLibc();
  } catch {
    // musl, a big-endian machine, no FFI permission: the fallback serves them all.
    return openPortable();
  }
}
