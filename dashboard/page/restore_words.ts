/** A restore that is chosen on the page, as it is typed. Rule: what one command cannot do has no words. */

export const REPOSITORY_PREFIX = "restic:";

/** Paths in a repository begin with a snapshot's id; those of several snapshots are several commands. */
export function restoreWords(
  { from, paths, target, overwrites }: {
    from: string;
    paths: readonly string[];
    target: string;
    overwrites: boolean;
  },
): string[] | undefined {
  const end = ["--target", target, ...(overwrites ? ["--overwrite"] : [])];
  if (!from.startsWith(REPOSITORY_PREFIX)) return ["restore", ...paths, "--from", from, ...end];
  const ids = new Set(paths.map((path) => path.split("/")[0]!));
  if (ids.size > 1) return undefined;
  const [id] = ids;
  const below = paths.map((path) => path.slice(id!.length));
  return [
    ...["restore", from],
    ...(below.includes("") ? [] : below),
    ...(id === undefined ? [] : ["--snapshot", id]),
    ...end,
  ];
}
