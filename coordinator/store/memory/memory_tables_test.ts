/** The memory engine passes the suite of all job stores. */
import { jobStoreSuite } from "../job_store_suite.ts";
import { createMemoryTables } from "./memory_tables.ts";

jobStoreSuite("memory", createMemoryTables);
