/** Rows as SQLite has them ↔ records. Rule: whatever comes out of the file passes its schema or is reported as damaged. */
import type { SQLOutputValue } from "node:sqlite";
import * as v from "valibot";
import { BackupError } from "../../../protocol/base/errors.ts";
import { JobEvent, type StoredEvent, StoredRun, StoredTask } from "../records.ts";

export type Row = Record<string, SQLOutputValue>;

export function runOf(row: Row): StoredRun {
  return checked(StoredRun, "run", row["run_id"], () => ({
    runId: row["run_id"],
    hostId: row["host_id"],
    state: row["state"],
    spec: json(row["spec"]),
    createdAtMs: row["created_at_ms"],
    endedAtMs: row["ended_at_ms"],
    report: row["report"] === null ? null : json(row["report"]),
  }));
}

export function taskOf(row: Row): StoredTask {
  return checked(StoredTask, "task", row["task_id"], () => ({
    taskId: row["task_id"],
    runId: row["run_id"],
    source: json(row["source"]),
    requires: json(row["requires"]),
    sizeBytes: row["size_bytes"],
    state: row["state"],
    epoch: row["epoch"],
    agentId: row["agent_id"],
    reason: row["reason"],
  }));
}

export function eventOf(row: Row): StoredEvent {
  return {
    seq: Number(row["seq"]),
    atMs: Number(row["at_ms"]),
    event: checked(JobEvent, "event", row["seq"], () => json(row["event"])),
  };
}

function json(text: SQLOutputValue | undefined): unknown {
  return JSON.parse(String(text));
}

function checked<S extends v.GenericSchema>(
  schema: S,
  what: string,
  id: SQLOutputValue | undefined,
  read: () => unknown,
): v.InferOutput<S> {
  try {
    return v.parse(schema, read());
  } catch (thrown) {
    throw new BackupError("damaged", `Cannot read the stored ${what} ${String(id)}`, {
      cause: thrown,
    });
  }
}
