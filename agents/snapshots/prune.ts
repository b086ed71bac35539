/** `prune`: removes data that no snapshot needs. Rule: nothing is removed when anything that is needed is missing or doubtful. */
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { formatBytes, formatCount, formatPlural } from "../../protocol/cli/format.ts";
import type { OptionKey } from "../../protocol/cli/options.ts";
import { parseSizeBytes } from "../../protocol/cli/quantity.ts";
import {
  type MaxUnused,
  type PrunePlan,
  pruneRepository,
  type Repository,
} from "../repository/mod.ts";
import { showPackProgress } from "./pack_progress.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { addressOf, OPENING_OPTIONS, refuseMore, useRepositories } from "./use_repositories.ts";

const SYNOPSIS = "prune restic:PATH [OPTIONS]";

/** What `forget --prune` takes too. */
export const PRUNE_OPTIONS = [
  "maxUnused",
  "maxRepackSize",
] as const satisfies readonly OptionKey[];

export function createPruneCommand(world: RepositoryWorld): Command {
  return {
    name: "prune",
    summary: "Remove the data of a repository that no snapshot needs any more",
    synopsis: [SYNOPSIS],
    about: [
      "Packs in which nothing is needed are removed; of others what is needed is written anew where that frees enough. " +
      "At any moment it can be interrupted: what is needed stands and is listed all the time.",
    ],
    options: [...PRUNE_OPTIONS, "dryRun", ...OPENING_OPTIONS, "json", "quiet"],
    optionHelp: { dryRun: "Show what would be freed; change nothing" },
    examples: [{ says: "what it would free", words: "prune restic:/mnt/ssd/backup --dry-run" }],
    exitCodes: [0, 1, 2, 10, 11, 12, 130],
    exitMeanings: { 0: "pruned", 1: "failed: needed data is missing or damaged; run check" },
    async run(call) {
      const address = addressOf(call, call.positionals[0], SYNOPSIS);
      refuseMore(call.positionals, 1, SYNOPSIS);
      const isDryRun = call.settings.get("dryRun").value;
      const lock = isDryRun ? "none" : "exclusive";
      return await useRepositories(world, call, [address], { lock }, async (opened) => {
        const { signal, repositories: [first] } = opened;
        await prune(call, first!.repository, { isDryRun, signal });
        return 0;
      });
    },
  };
}

/** Under an exclusive lock, unless it is a dry run. `without` are snapshots that a dry run takes for removed. */
export async function prune(
  call: CommandCall,
  repository: Repository,
  { isDryRun, signal, without }: {
    isDryRun: boolean;
    signal: AbortSignal;
    without?: ReadonlySet<string>;
  },
): Promise<void> {
  const { settings, terminal, clock } = call;
  const maxRepackBytes = settings.get("maxRepackSize").value;
  const progress = showPackProgress(call, `Pruning: ${call.positionals[0] ?? ""}`);
  let plan: PrunePlan;
  try {
    plan = await pruneRepository(repository, {
      clock,
      isDryRun,
      signal,
      maxUnused: maxUnusedOf(settings.get("maxUnused").value),
      onPack: progress.set,
      ...(maxRepackBytes === undefined ? {} : { maxRepackBytes }),
      ...(without === undefined ? {} : { without }),
    });
  } finally {
    progress.close();
  }
  if (settings.get("json").value) {
    terminal.out(jsonLine({ message_type: "summary", dry_run: isDryRun, ...planMessage(plan) }));
  } else if (!settings.get("quiet").value) {
    terminal.out(`${planLines(plan, isDryRun).join("\n")}\n`);
  }
}

function planMessage(plan: PrunePlan) {
  const { counts, keep, repack, remove, missing, unindexed, leftovers } = plan;
  return {
    packs_kept: keep.length,
    packs_repacked: repack.length,
    packs_removed: remove.length + unindexed.length,
    packs_missing: missing.length,
    unfinished_files_removed: leftovers.length,
    used_blobs: counts.usedBlobs,
    used_bytes: counts.usedBytes,
    unused_blobs: counts.unusedBlobs,
    unused_bytes: counts.unusedBytes,
    duplicate_blobs: counts.duplicateBlobs,
    repack_bytes: counts.repackBytes,
    freed_bytes: counts.freedBytes,
  };
}

function planLines(
  { counts, repack, remove, unindexed, leftovers }: PrunePlan,
  isDryRun: boolean,
): string[] {
  const would = isDryRun ? "Would free" : "Freed";
  const removed = remove.length + unindexed.length;
  const repacked = repack.length === 0
    ? ""
    : `, ${formatPlural(repack.length, "pack")} written anew (${
      formatBytes(counts.repackBytes)
    } in use)`;
  const unfinished = leftovers.length === 0
    ? ""
    : `, ${formatPlural(leftovers.length, "file")} that an interrupted run has left`;
  return [
    `In use: ${formatPlural(counts.usedBlobs, "blob")}, ${formatBytes(counts.usedBytes)}; unused: ${
      formatCount(counts.unusedBlobs)
    }, ${formatBytes(counts.unusedBytes)}.`,
    `${would} ${formatBytes(counts.freedBytes)}: ${
      formatPlural(removed, "pack")
    } removed${repacked}${unfinished}.`,
  ];
}

/** The option's schema has let nothing else through. */
export function maxUnusedOf(text: string): MaxUnused {
  if (/^unlimited$/i.test(text)) return { fraction: 1 };
  if (text.endsWith("%")) return { fraction: Number(text.slice(0, -1)) / 100 };
  return { bytes: resticSizeBytes(text) };
}

/** restic's K, M, G and T are powers of 1024; with a B ours are what they say. */
function resticSizeBytes(text: string): number {
  const short = /^(\d+(?:\.\d+)?)([kmgt])$/i.exec(text);
  return parseSizeBytes(short === null ? text : `${short[1]}${short[2]}i`)!;
}
