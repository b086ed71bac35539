/** The coordinator's logs for people. Rule: only files of the log folder, by the names that are listed; nothing leads out of it. */
import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { Buffer } from "node:buffer";
import { BackupError } from "../../protocol/base/errors.ts";
import type { LogLine } from "../../protocol/logs/json_log.ts";

/** As `openJsonLog` names them. */
const LOG_NAME = /^[\w.-]+\.jsonl(?:\.\d{1,3})?$/;
const PIECE_BYTES = 1 << 20;
const ORDER = ["debug", "info", "warn", "error"] as const;

export interface LogFiles {
  list(): { name: string; sizeBytes: number; changedAtMs: number }[];
  read(name: string, offset: number): { base64: string; nextOffset: number | null };
}

export function createLogFiles(directory: string): LogFiles {
  return {
    list() {
      let names: string[];
      try {
        names = readdirSync(directory);
      } catch {
        return [];
      }
      return names.filter((name) => LOG_NAME.test(name)).sort().flatMap((name) => {
        try {
          const { size, mtimeMs } = statSync(join(directory, name));
          return [{ name, sizeBytes: size, changedAtMs: Math.round(mtimeMs) }];
        } catch {
          // It was rotated away since.
          return [];
        }
      });
    },
    read(name, offset) {
      const missing = () => new BackupError("not_found", `There is no log ${name}`);
      if (!LOG_NAME.test(name)) throw missing();
      let file: number;
      try {
        file = openSync(join(directory, name), "r");
      } catch {
        throw missing();
      }
      try {
        const piece = Buffer.alloc(PIECE_BYTES);
        const got = readSync(file, piece, 0, PIECE_BYTES, offset);
        return {
          base64: piece.subarray(0, got).toString("base64"),
          nextOffset: got < PIECE_BYTES ? null : offset + got,
        };
      } finally {
        closeSync(file);
      }
    },
  };
}

export interface LineFilter {
  limit: number;
  level?: LogLine["level"];
  contains?: string;
  runId?: string;
}

/** The newest of those that match, the newest last. */
export function matchingLines(
  lines: readonly LogLine[],
  { limit, level = "debug", contains, runId }: LineFilter,
): LogLine[] {
  const wanted = contains?.toLowerCase();
  return lines.filter((line) =>
    ORDER.indexOf(line.level) >= ORDER.indexOf(level) &&
    (runId === undefined || line["run"] === runId) &&
    (wanted === undefined || JSON.stringify(line).toLowerCase().includes(wanted))
  ).slice(-limit);
}
