/** Identifiers. Rule: ids are made here only, so that randomness has one door. */
import { nanoid } from "nanoid";

/** A fresh id such as `run-V1StGXR8_Z5jdHi6B`; 16 random characters from nanoid's URL-safe alphabet. */
export function newId(
  prefix:
    | "run"
    | "task"
    | "agent"
    | "dest"
    | "host"
    | "boot"
    | "msg"
    | "push"
    | "place"
    | "folder"
    | "schedule"
    | "restore",
): string {
  return `${prefix}-${nanoid(16)}`;
}

/** A number in [0, 1) for jitter. */
export function randomFraction(): number {
  return Math.random();
}
