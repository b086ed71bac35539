/**
 * Where a role's log goes: JSON lines in files that rotate, the latest in memory. Rule: no secret gets in, and a log that
 * cannot be written stops nobody.
 */
import { getRotatingFileSink } from "@logtape/file";
import type { LogRecord } from "@logtape/logtape";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { asBackupError, BackupError } from "../base/errors.ts";
import type { Log, LogLevel } from "../base/log.ts";

/** Of one file; with `FILES` of them no more than 100 MB are kept. */
export const FILE_BYTES_MAX = 10_000_000;
export const FILES = 10;
/** The latest lines, for whoever asks. */
export const LINES_IN_MEMORY = 1_000;
const LINE_CHARS_MAX = 16 << 10;

export interface LogLine {
  time: string;
  level: LogLevel;
  message: string;
  [fact: string]: unknown;
}

export interface JsonLog {
  log: Log;
  /** The latest lines, the oldest first; at most `LINES_IN_MEMORY`. */
  lines(): readonly LogLine[];
  /** The file that is written to now; older ones have `.1`, `.2` … at their ends. */
  readonly path: string;
  close(): void;
}

export interface JsonLogOptions {
  directory: string;
  /** `worker-8801`: becomes `worker-8801.jsonl`. */
  name: string;
  clock: Pick<Clock, "nowMs">;
  /** Texts that never appear, whatever a line says. */
  secrets: readonly string[];
  /** In every line, e.g. the agent's id. */
  facts?: Readonly<Record<string, unknown>>;
  /** Lines below it are left out. */
  level?: LogLevel;
  fileBytesMax?: number;
  /** Told once when the file cannot be written. */
  onFailure(message: string): void;
}

const ORDER: readonly LogLevel[] = ["debug", "info", "warn", "error"];
/** Members whose value is never of use in a log. */
const SECRET_MEMBER = /token|passphrase|password|secret|authorization|cookie|identity$/i;

/** @throws {BackupError} `config` when the folder cannot be made. */
export function openJsonLog(options: JsonLogOptions): JsonLog {
  const { directory, name, clock, secrets, facts = {}, level = "info", onFailure } = options;
  const path = join(directory, `${name.replaceAll(/[^\w.-]/g, "_")}.jsonl`);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    throw new BackupError("config", `Cannot keep logs: ${asBackupError(thrown).message}`, {
      path: directory,
      hint: "Choose another folder with --log-dir",
      cause: thrown,
    });
  }
  const sink = getRotatingFileSink(path, {
    maxSize: options.fileBytesMax ?? FILE_BYTES_MAX,
    maxFiles: FILES - 1,
    bufferSize: 0,
    formatter: (record) => `${record.rawMessage as string}\n`,
  });
  const latest: LogLine[] = [];
  let hasFailed = false;

  const log: Log = (lineLevel, message, detail = {}) => {
    if (ORDER.indexOf(lineLevel) < ORDER.indexOf(level)) return;
    const time = new Date(clock.nowMs()).toISOString();
    const { line, text } = encode(
      { time, level: lineLevel, message, ...facts, ...detail },
      secrets,
    );
    if (latest.push(line) > LINES_IN_MEMORY) latest.shift();
    try {
      sink(recordOf(text, clock.nowMs()));
    } catch (thrown) {
      if (hasFailed) return;
      hasFailed = true;
      onFailure(`The log ${path} cannot be written: ${asBackupError(thrown).message}`);
    }
  };
  return { log, lines: () => latest, path, close: () => sink[Symbol.dispose]() };
}

/** The line as it may be kept. */
function encode(line: LogLine, secrets: readonly string[]): { line: LogLine; text: string } {
  const hide = (text: string): string =>
    secrets.reduce((safe, secret) => safe.replaceAll(secret, "[secret]"), text);
  const seen = new WeakSet<object>();
  const whole = JSON.stringify(line, (key, value) => {
    if (SECRET_MEMBER.test(key) && value !== undefined) return "[secret]";
    if (typeof value === "string") return hide(value);
    if (typeof value === "bigint") return String(value);
    if (typeof value !== "object" || value === null) return value;
    if (value instanceof Error) return hide(value.message);
    if (seen.has(value)) return "[again]";
    seen.add(value);
    return value;
  });
  const isShort = whole.length <= LINE_CHARS_MAX;
  const text = isShort ? whole : JSON.stringify({
    time: line.time,
    level: line.level,
    message: hide(line.message).slice(0, LINE_CHARS_MAX / 2),
    cut: true,
  });
  return { line: JSON.parse(text), text };
}

function recordOf(text: string, timestamp: number): LogRecord {
  return {
    category: [],
    level: "info",
    message: [text],
    rawMessage: text,
    timestamp,
    properties: {},
  };
}
