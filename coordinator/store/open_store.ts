/** The two job stores to choose from. */
import type { Clock } from "../../protocol/base/clock.ts";
import { createJobStore } from "./create_job_store.ts";
import type { JobStore } from "./job_store.ts";
import { createMemoryTables } from "./memory/memory_tables.ts";
import { createSqliteTables } from "./sqlite/sqlite_tables.ts";

/** Nothing is opened before the first call; folders and the file are made when missing. */
export function openSqliteStore(path: string, clock: Clock): JobStore {
  return createJobStore(createSqliteTables(path), clock);
}

/** Forgets everything with the process. */
export function openMemoryStore(clock: Clock): JobStore {
  return createJobStore(createMemoryTables(), clock);
}
