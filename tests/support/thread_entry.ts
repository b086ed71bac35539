/**
 * What a thread becomes in a test that starts real ones: the engine's half alone. Rule: as little as there can be, since
 * whatever a thread's module reaches is checked anew when it is started for the first time after a change.
 */
import { startThread } from "../../agents/threads/entry.ts";

startThread((globalThis as { name?: string }).name ?? "");
