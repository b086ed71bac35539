/** What a thread can be. Rule: a role makes its methods over the platform port it is given, and awaits nothing. */
import type { Posix } from "../platform/posix.ts";
import type { Ask, Methods, ThreadCells } from "../threads/thread_rpc.ts";

export type Role = (posix: Posix, argument: unknown, cells: ThreadCells, ask: Ask) => Methods;
