/** The entry of every thread. Rule: as little as there can be; the packed program has it as a text of its own. */
import { startThread } from "./entry.ts";

startThread((globalThis as { name?: string }).name ?? "");
