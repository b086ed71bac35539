/**
 * Schemas for one option's value. Rule: each takes the text of a flag or variable and the JSON of a file alike, and its
 * message completes the sentence "--flag …".
 */
import * as v from "valibot";
import { parseDurationMs, parseRateLimit, parseSizeBytes, type RateLimit } from "./quantity.ts";
import { localTimeMs } from "./local_time.ts";
import { PRIORITY_LEVELS, type PriorityLevel } from "../mesh/job.ts";

const SWITCH_TEXT: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  "1": true,
  false: false,
  no: false,
  off: false,
  "0": false,
};

export interface PriorityRule {
  pattern: string;
  level: PriorityLevel;
}

/** Any text but the empty one; a NUL cannot be part of a path. */
export const textValue: v.GenericSchema<unknown, string> = parsed(
  "needs a text that is not empty",
  (raw) => typeof raw === "string" && raw !== "" && !raw.includes("\0") ? raw : undefined,
);

export const switchValue: v.GenericSchema<unknown, boolean> = parsed(
  "must be true or false",
  (raw) =>
    typeof raw === "boolean"
      ? raw
      : typeof raw === "string"
      ? SWITCH_TEXT[raw.toLowerCase()]
      : undefined,
);

export function integerBetween(min: number, max: number): v.GenericSchema<unknown, number> {
  return parsed(`must be a whole number from ${min} to ${max}`, (raw) => {
    const value = typeof raw === "string" && /^\d{1,9}$/.test(raw) ? Number(raw) : raw;
    return Number.isInteger(value) && (value as number) >= min && (value as number) <= max
      ? value as number
      : undefined;
  });
}

/** Milliseconds. A JSON number is refused: it would not say its unit. */
export function durationValue(minMs: number, minText: string): v.GenericSchema<unknown, number> {
  return parsed(`must be a duration such as 30s, 5m or 1h30m, at least ${minText}`, (raw) => {
    const ms = typeof raw === "string" ? parseDurationMs(raw) : undefined;
    return ms !== undefined && ms >= minMs ? ms : undefined;
  });
}

export function sizeValue(minBytes: number, minText: string): v.GenericSchema<unknown, number> {
  return parsed(`must be a size such as 64MiB or 500MB, at least ${minText}`, (raw) => {
    const text = typeof raw === "number" ? String(raw) : raw;
    const sizeBytes = typeof text === "string" ? parseSizeBytes(text) : undefined;
    return sizeBytes !== undefined && sizeBytes >= minBytes ? sizeBytes : undefined;
  });
}

export function choiceValue<const C extends string>(
  choices: readonly C[],
): v.GenericSchema<unknown, C> {
  return parsed(
    `must be ${choices.join(" or ")}`,
    (raw) => choices.find((choice) => choice === raw),
  );
}

/** More than 0, at most 100; with or without the sign. */
export const percentValue: v.GenericSchema<unknown, number> = parsed(
  "must be a percentage such as 5%, more than 0 and at most 100",
  (raw) => {
    const value = typeof raw === "string" && /^\d{1,3}(\.\d{1,6})?%?$/.test(raw)
      ? Number(raw.replace("%", ""))
      : raw;
    return typeof value === "number" && value > 0 && value <= 100 ? value : undefined;
  },
);

export const rateLimitValue: v.GenericSchema<unknown, RateLimit> = parsed(
  "must be RATE or DEST=RATE, RATE as in 8MB (per second)",
  (raw) => typeof raw === "string" ? parseRateLimit(raw) : undefined,
);

/** `PATTERN=LEVEL`; the pattern may hold `=`. */
export const priorityValue: v.GenericSchema<unknown, PriorityRule> = parsed(
  `must be PATTERN=LEVEL, LEVEL one of ${Object.keys(PRIORITY_LEVELS).join(", ")}`,
  (raw) => {
    if (typeof raw !== "string") return undefined;
    const at = raw.lastIndexOf("=");
    const level = raw.slice(at + 1);
    return at > 0 && Object.hasOwn(PRIORITY_LEVELS, level)
      ? { pattern: raw.slice(0, at), level: level as PriorityLevel }
      : undefined;
  },
);

/** `NAME=TEXT`; the text may hold `=`. */
export const namedValue: v.GenericSchema<unknown, { name: string; text: string }> = parsed(
  "must be NAME=TEXT",
  (raw) => {
    const at = typeof raw === "string" ? raw.indexOf("=") : -1;
    const text = typeof raw === "string" ? raw.slice(at + 1) : "";
    return at > 0 && text !== "" ? { name: (raw as string).slice(0, at), text } : undefined;
  },
);

/** A moment on this machine's clock, as restic writes it, or `now`. */
export const snapshotTimeValue: v.GenericSchema<unknown, string> = parsed(
  "must be a time such as '2026-11-01 22:08:41'",
  (raw) =>
    typeof raw === "string" && (raw === "now" || localTimeMs(raw) !== undefined) ? raw : undefined,
);

/** A list; one value alone stands for a list of one. */
export function listOf<T>(item: v.GenericSchema<unknown, T>): v.GenericSchema<unknown, T[]> {
  return v.pipe(
    v.unknown(),
    v.transform((raw) => Array.isArray(raw) ? raw as unknown[] : [raw]),
    v.array(item),
  );
}

/** `message` completes the sentence; `read` gives undefined for what is refused. */
export function parsed<T>(
  message: string,
  read: (raw: unknown) => T | undefined,
): v.GenericSchema<unknown, T> {
  return v.pipe(
    v.unknown(),
    v.rawTransform<unknown, T>(({ dataset, addIssue, NEVER }) => {
      const value = read(dataset.value);
      if (value !== undefined) return value;
      addIssue({ message });
      return NEVER;
    }),
  );
}
