/**
 * `marker.json`: who this destination is and what each top name in it came from. Rule: a name belongs to one
 * (host, source path); nothing else is ever written under it.
 */
import * as v from "valibot";
import { BackupError } from "../../protocol/base/errors.ts";
import type { DirectoryHandle, Posix } from "../platform/posix.ts";
import { readSmallFile, replaceSmallFile } from "../platform/small_file.ts";
import { MARKER_FILE } from "./layout.ts";

export const FORMAT_VERSION = 1;

export const Binding = v.object({
  /** Top name at the destination. */
  name: v.string(),
  hostId: v.string(),
  hostName: v.string(),
  sourcePath: v.string(),
  /** Key of its manifest and stage: `manifests/<key>.jsonl`. Letters and digits. */
  key: v.pipe(v.string(), v.regex(/^[a-z0-9-]{1,40}$/)),
});
export type Binding = v.InferOutput<typeof Binding>;

export const Marker = v.object({
  format: v.literal("backup-agent destination"),
  version: v.number(),
  destinationId: v.string(),
  createdAt: v.string(),
  bindings: v.array(Binding),
});
export type Marker = v.InferOutput<typeof Marker>;

/** The marker, or undefined when the folder has none. @throws {BackupError} `newer_version` or `damaged` */
export function readMarker(
  posix: Posix,
  own: DirectoryHandle,
  display: string,
): Marker | undefined {
  const bytes = readSmallFile(posix, own, MARKER_FILE, `${display}/${MARKER_FILE}`);
  if (bytes === undefined) return undefined;
  const path = `${display}/${MARKER_FILE}`;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw damaged(display, `${path} is not valid JSON`, cause);
  }
  const version = v.safeParse(v.object({ version: v.number() }), json);
  if (version.success && version.output.version > FORMAT_VERSION) {
    throw new BackupError(
      "newer_version",
      `${path} was written by a newer backup-agent (format ${version.output.version})`,
      { path, hint: "Use that version or a later one" },
    );
  }
  const parsed = v.safeParse(Marker, json);
  if (!parsed.success) {
    throw damaged(display, `${path} does not have the form of a marker`);
  }
  return parsed.output;
}

/** Without a marker nobody knows whose the copies are, so they stay as they are and new ones get another name. */
function damaged(display: string, message: string, cause?: unknown): BackupError {
  return new BackupError("damaged", message, {
    path: `${display}/${MARKER_FILE}`,
    hint:
      `Put a good copy of it back, or move ${display} away and copy again with --init and --as NAME`,
    cause,
  });
}

export function writeMarker(
  posix: Posix,
  own: DirectoryHandle,
  display: string,
  marker: Marker,
): void {
  const bytes = new TextEncoder().encode(JSON.stringify(marker, null, 2) + "\n");
  replaceSmallFile(posix, own, MARKER_FILE, bytes, `${display}/${MARKER_FILE}`);
}
