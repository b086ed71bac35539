/** Rows as SQLite has them ↔ records. Rule: whatever comes out of the file passes its schema or is reported as damaged. */
import type { SQLOutputValue } from "node:sqlite";
import * as v from "valibot";
import { BackupError } from "../../../protocol/base/errors.ts";
import { MirrorResult } from "../../../protocol/mesh/task.ts";
import {
  JobEvent,
  KnownDestination,
  ScanOutcome,
  StoredAgent,
  StoredDestination,
  type StoredEvent,
  StoredRun,
  StoredTask,
} from "../records.ts";

export type Row = Record<string, SQLOutputValue>;

export function runOf(row: Row): StoredRun {
  return checked(StoredRun, "run", row["run_id"], () => ({
    runId: row["run_id"],
    hostId: row["host_id"],
    owner: row["owner"],
    idempotencyKey: row["idempotency_key"],
    state: row["state"],
    spec: json(row["spec"]),
    createdAtMs: row["created_at_ms"],
    endedAtMs: row["ended_at_ms"],
    report: jsonOrNull(row["report"]),
    runEpoch: row["run_epoch"],
    homeAgentId: row["home_agent_id"],
    isPaused: row["paused"] === 1,
    notes: json(row["notes"]),
  }));
}

export function taskOf(row: Row): StoredTask {
  return checked(StoredTask, "task", row["task_id"], () => ({
    taskId: row["task_id"],
    runId: row["run_id"],
    source: json(row["source"]),
    part: jsonOrNull(row["part"]),
    requires: json(row["requires"]),
    files: row["files"],
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

export function resultOf(row: Row): [string, MirrorResult] {
  const taskId = String(row["task_id"]);
  return [taskId, checked(MirrorResult, "result of task", taskId, () => json(row["result"]))];
}

export function scanOf(row: Row): [string, ScanOutcome] {
  const source = String(row["source"]);
  return [source, checked(ScanOutcome, "scan of", source, () => json(row["outcome"]))];
}

export function destinationOf(row: Row): StoredDestination {
  return checked(StoredDestination, "destination", row["destination"], () => ({
    destination: row["destination"],
    isCancelled: row["is_cancelled"] === 1,
    destinationId: row["destination_id"],
    warnings: json(row["warnings"]),
    end: jsonOrNull(row["ending"]),
  }));
}

export function knownDestinationOf(row: Row): KnownDestination {
  return checked(KnownDestination, "destination known as", row["path"], () => ({
    path: row["path"],
    hostId: row["host_id"],
    destinationId: row["destination_id"],
  }));
}

export function agentOf(row: Row): StoredAgent {
  return checked(StoredAgent, "agent", row["agent_id"], () => json(row["agent"]));
}

/** Of a document; what it must be is its kind's business. */
export function bodyOf(row: Row): unknown {
  return checked(v.unknown(), "document", row["id"], () => json(row["body"]));
}

function jsonOrNull(text: SQLOutputValue | undefined): unknown {
  return text === null ? null : json(text);
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
