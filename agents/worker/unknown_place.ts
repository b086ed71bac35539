/** Whether what lies under a path is the destination that is known there. Rule: an unmounted disk is never filled through its empty mount point. */
import { BackupError } from "../../protocol/base/errors.ts";
import type { DestinationSpec } from "../../protocol/mesh/job.ts";

export interface KnownPlace {
  /** Ids that were found under the path on this host, by whoever has looked. */
  readonly here: readonly (string | undefined)[];
  /** Whether only other hosts are known to have a destination under it. */
  readonly isKnownElsewhere: boolean;
}

/** `found`: the id of what stands there, undefined when that is no destination. */
export function unknownPlace(
  { key, isNew }: Pick<DestinationSpec, "key" | "isNew">,
  found: string | undefined,
  { here, isKnownElsewhere }: KnownPlace,
): BackupError | undefined {
  if (isNew) return undefined;
  const known = here.filter((id) => id !== undefined);
  if (found !== undefined) {
    // A destination that was made before, of which nothing was known on this host, is what it says it is.
    if (known.length === 0 || known.includes(found)) return undefined;
    return new BackupError(
      "destination_changed",
      `${key} is not the destination that was known under this path`,
      { path: key, hint: "Mount the right disk; if this one is meant, say so with --init" },
    );
  }
  if (known.length > 0) {
    return new BackupError(
      "destination_changed",
      `${key} was a destination before and its marker is gone`,
      { path: key, hint: "Mount the disk; if it really is a new one, say so with --init" },
    );
  }
  if (!isKnownElsewhere) return undefined;
  return new BackupError(
    "destination_changed",
    `${key} is a destination on another host, and nothing of it is here`,
    {
      path: key,
      hint: "Mount it here as well; if it really is a new one on this host, say so with --init",
    },
  );
}
