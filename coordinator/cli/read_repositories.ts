/**
 * What a job says about repositories, from options. Rule: an option that does nothing for any destination of the call is a
 * mistake and is told.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import { localTimeMs } from "../../protocol/cli/local_time.ts";
import type { OptionKey } from "../../protocol/cli/options.ts";
import {
  isRepositoryAddress,
  parseRepositoryAddress,
  type RepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import { settingPath, type Settings } from "../../protocol/cli/settings.ts";
import type { Surroundings } from "../../protocol/cli/surroundings.ts";
import type { Capability } from "../../protocol/mesh/capability.ts";
import type { SnapshotOptions } from "../../protocol/mesh/job.ts";

/** What an agent must offer for a snapshot. */
export const SNAPSHOT_CAPABILITIES: readonly Capability[] = ["snapshot", "compress", "encrypt"];

/** Mean something for plain copies only, and for snapshots only. */
const FOR_COPIES: readonly (readonly [OptionKey, string])[] = [
  ["delete", "--delete"],
  ["deleteAnyway", "--delete-anyway"],
  ["keepVersions", "--keep-versions"],
  ["compress", "--compress"],
  ["encrypt", "--encrypt"],
  ["reencrypt", "--reencrypt"],
  ["mhl", "--mhl"],
];
const FOR_SNAPSHOTS: readonly (readonly [OptionKey, string])[] = [
  ["tag", "--tag"],
  ["snapshotHost", "--host"],
  ["time", "--time"],
  ["compression", "--compression"],
];

/** The destinations of the call that are repositories. @throws {BackupError} `usage` */
export function repositoriesOf(settings: Settings, at: Surroundings): RepositoryAddress[] {
  const to = settings.get("to");
  const base = settingPath(".", to, at);
  return to.value.filter(isRepositoryAddress).map((text) => parseRepositoryAddress(text, base));
}

/** @throws {BackupError} `usage` for options that would do nothing */
export function checkForKinds(
  settings: Settings,
  { hasCopies, hasSnapshots }: { hasCopies: boolean; hasSnapshots: boolean },
): void {
  // Kept in a file or variable they may be meant for another call.
  const given = (list: typeof FOR_COPIES) =>
    list.find(([key]) => settings.get(key).source === "flag")?.[1];
  const forCopies = given(FOR_COPIES);
  if (!hasCopies && forCopies !== undefined) {
    throw new BackupError(
      "usage",
      `${forCopies} is for plain copies, and only repositories are named`,
      {
        hint:
          "Repositories compress and encrypt by themselves and keep what was deleted until it is forgotten",
      },
    );
  }
  const forSnapshots = given(FOR_SNAPSHOTS);
  if (!hasSnapshots && forSnapshots !== undefined) {
    throw new BackupError("usage", `${forSnapshots} is for repositories, and none is named`, {
      hint: "A repository is named restic:PATH",
    });
  }
}

export function snapshotOptions(settings: Settings, at: Surroundings): SnapshotOptions {
  const tags = settings.get("tag").value.flatMap((list) => list.split(","))
    .map((tag) => tag.trim()).filter((tag) => tag !== "");
  const host = settings.get("snapshotHost").value.at(-1) ?? at.env("RESTIC_HOST");
  const time = settings.get("time").value;
  return {
    compression: settings.get("compression").value,
    tags: [...new Set(tags)],
    ...(host === undefined ? {} : { host }),
    ...(time === undefined || time === "now" ? {} : { timeMs: localTimeMs(time)! }),
  };
}
