/** The log port. Rule: engine code logs facts through it; only the edge decides where lines go. */

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface Log {
  (level: LogLevel, message: string, facts?: Record<string, unknown>): void;
}

export const silentLog: Log = () => {};
