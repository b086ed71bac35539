/**
 * `repair`: a repository made whole from its replicas. Rule: files are compared with their names, which needs no key; with the
 * password also what is missing, what no index lists any more, and a damaged config come back.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../protocol/cli/command.ts";
import { jsonLine } from "../../protocol/cli/error_line.ts";
import { formatDuration, formatPlural } from "../../protocol/cli/format.ts";
import {
  parseRepositoryAddress,
  type RepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import { PASSWORD_OPTIONS } from "../../protocol/cli/repository_password.ts";
import { visibleText } from "../../protocol/cli/visible_text.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import {
  type Credentials,
  holdsReplica,
  idOfObject,
  isRepository,
  loadIndex,
  openRepository,
  removeLeftoversOfDead,
  repairConfig,
  type RepairCounts,
  repairReplica,
  replaceIndex,
  type Repository,
  restoreIndex,
  restoreKey,
  writerOf,
} from "../repository/mod.ts";
import { showPackProgress } from "./pack_progress.ts";
import { RepositoryPasswords } from "./repository_passwords.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { tellExit, tellProblem, tellWarning } from "./telling.ts";
import { addressOf, refuseMore, untilInterrupted } from "./use_repositories.ts";

const SYNOPSIS = "repair restic:PATH --from restic:OTHER [--from restic:OTHER2 ...] [OPTIONS]";

export function createRepairCommand(world: RepositoryWorld): Command {
  return {
    name: "repair",
    summary: "Put a repository right from a replica of it, file by file, without a password",
    synopsis: [SYNOPSIS],
    about: [
      "Reads every file and compares it with its name, which is its SHA-256; one that is damaged is taken from OTHER when it " +
      "is whole there. OTHER is only read, and nothing is deleted but a damaged index file that others have replaced.",
      "With the password (--password-file, --password-command or RESTIC_PASSWORD) also packs that are missing are known and " +
      "come back, packs that are in no index any more are listed again, and a damaged config is replaced. An index file that " +
      "no replica has whole is made anew from the packs.",
    ],
    options: ["from", ...PASSWORD_OPTIONS, "timeout", "json", "quiet"],
    optionHelp: { from: "Replica to take from, as restic:PATH; repeat for more" },
    examples: [
      {
        says: "from the second disk",
        words: "repair restic:/mnt/ssd/backup --from restic:/mnt/nas/backup",
      },
    ],
    exitCodes: [0, 1, 2, 10, 12, 130],
    exitMeanings: { 0: "everything is whole, or whole again", 1: "some is damaged still (named)" },
    async run(call) {
      refuseMore(call.positionals, 1, SYNOPSIS);
      const counts = await repairFrom(world, call, call.settings.get("from").value);
      if (counts.lost.length === 0) return 0;
      tellExit(call, 1, "Some files are damaged, and no replica has them whole");
      return 1;
    },
  };
}

/** Repairs the repository that the command names, and says so. @throws {BackupError} */
export async function repairFrom(
  world: RepositoryWorld,
  call: CommandCall,
  others: readonly string[],
): Promise<RepairCounts> {
  const { surroundings, settings, clock } = call;
  const target = addressOf(call, call.positionals[0], SYNOPSIS);
  if (others.length === 0) {
    throw new BackupError("usage", "No replica is given to repair from", { hint: SYNOPSIS });
  }
  const sources = others.map((other) => parseRepositoryAddress(other, surroundings.folder));
  if (sources.some(({ path }) => path === target.path)) {
    throw new BackupError("usage", `${target.key} cannot be repaired from itself`);
  }
  const passwords = new RepositoryPasswords(call, [target, ...sources], sources);
  const startedAtMs = clock.monotonicMs();
  return await untilInterrupted(call, async (signal) => {
    const stores: ObjectStore[] = [];
    try {
      const timeoutMs = settings.get("timeout").value;
      const { owner, isAlive } = world.lockContext(call);
      const writer = writerOf(owner.process);
      const store = await world.openStore(target.path, { timeoutMs, writer });
      stores.push(store);
      await removeLeftoversOfDead(store, owner.process, isAlive);
      const replicas = await openSources(world, call, sources, stores);
      const credentials = await passwords.given(target);
      const counts = await repairOne(world, call, { store, target, replicas, credentials, signal });
      report(call, target.key, counts, clock.monotonicMs() - startedAtMs);
      return counts;
    } finally {
      for (const store of stores) store.close();
    }
  });
}

/** One that is not there is told; with none left there is nothing to do. */
async function openSources(
  world: RepositoryWorld,
  call: CommandCall,
  sources: readonly RepositoryAddress[],
  stores: ObjectStore[],
): Promise<ObjectStore[]> {
  const timeoutMs = call.settings.get("timeout").value;
  let failure: unknown;
  const opened: ObjectStore[] = [];
  for (const { path, key } of sources) {
    try {
      opened.push(await world.openStore(path, { timeoutMs }));
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      failure ??= error;
      tellWarning(call, `${key} is left out: ${error.message}`);
    }
  }
  stores.push(...opened);
  if (opened.length === 0) throw failure;
  return opened;
}

interface RepairJob {
  store: ObjectStore;
  target: RepositoryAddress;
  replicas: ObjectStore[];
  credentials: Credentials | undefined;
  signal: AbortSignal;
}

async function repairOne(
  world: RepositoryWorld,
  call: CommandCall,
  { store, target, replicas, credentials, signal }: RepairJob,
): Promise<RepairCounts> {
  const kinds = ["keys", "snapshots", "index", "data"];
  const isEmpty = !await isRepository(store) &&
    (await Promise.all(kinds.map((kind) => store.list(kind)))).every((list) => list.length === 0);
  if (isEmpty) {
    throw new BackupError("destination_missing", `There is no repository at ${target.key}`, {
      path: target.path,
      hint: "A new replica is made with init --from",
    });
  }
  const progress = showPackProgress(call, `Repairing: ${target.key}`);
  const all = (await store.list("data")).length;
  let done = 0;
  const onFile = (name: string, outcome: "whole" | "repaired" | "lost") => {
    // With the password it may come back yet, from a replica that has another.
    if (name === "config" && outcome === "lost" && credentials !== undefined) return;
    if (name.startsWith("data/")) progress.set(++done, Math.max(all, done));
    const path = `${store.display}/${name}`;
    if (outcome === "repaired") say(call, path);
    if (outcome === "lost") tellProblem(call, `${path} is damaged, and no replica has it whole`);
  };
  try {
    // Keys and files first: without a whole key file no password opens anything.
    const counts = await repairReplica(store, replicas, { onFile, signal });
    if (credentials === undefined) return counts;
    const add = (more: RepairCounts) => {
      counts.repaired.push(...more.repaired);
      counts.lost.push(...more.lost);
    };
    const key = await restoreKey(store, replicas, world.kernels, credentials);
    if (key !== undefined) {
      counts.repaired.push(key);
      onFile(key, "repaired");
    }
    if (await repairConfig(store, replicas, world.kernels, credentials)) {
      counts.repaired.push("config");
      counts.lost = counts.lost.filter((name) => name !== "config");
      onFile("config", "repaired");
    }
    const repository = await openRepository(store, world.kernels, credentials);
    for (const other of replicas) {
      if (await holdsReplica(repository, other)) continue;
      tellWarning(call, `${other.display} is not known to be a replica of ${target.key}`);
    }
    const listed = await restoreIndex(repository, replicas, signal);
    if (listed.packs > 0) {
      say(call, `${formatPlural(listed.packs, "pack")} of ${target.key} that no index listed`);
      counts.repaired.push(...listed.names);
    }
    const damaged = counts.lost.map((name) => idOfObject("index", name))
      .filter((id) => id !== undefined);
    if (damaged.length > 0) {
      const { packs, names, replaced } = await replaceIndex(repository, damaged, signal);
      if (packs > 0) {
        say(call, `${formatPlural(packs, "pack")} of ${target.key} that no index listed`);
      }
      counts.repaired.push(...names);
      counts.lost = counts.lost.filter((name) => !replaced.includes(name));
      for (const name of replaced) {
        say(call, `${store.display}/${name}: new index files list what it listed`);
      }
    }
    const missing = await missingPacks(repository);
    add(
      await repairReplica(store, replicas, {
        only: missing.map((id) => ({ type: "pack" as const, id })),
        onFile,
        signal,
      }),
    );
    return counts;
  } finally {
    progress.close();
  }
}

/** Packs that the index lists and the store has not. */
async function missingPacks(repository: Repository): Promise<string[]> {
  const { index } = await loadIndex(repository, () => {});
  const stored = new Set((await repository.list("pack")).map(({ id }) => id));
  const ids = Array.from({ length: index.packCount }, (_, pack) => index.packId(pack));
  return ids.filter((id) => !stored.has(id));
}

function say({ settings, terminal }: CommandCall, what: string): void {
  if (settings.get("quiet").value) return;
  if (settings.get("json").value) {
    terminal.out(jsonLine({ message_type: "repaired", path: what }));
  } else terminal.out(`Repaired ${visibleText(what)}\n`);
}

function report(call: CommandCall, key: string, counts: RepairCounts, elapsedMs: number): void {
  const { settings, terminal } = call;
  const { whole, repaired, lost } = counts;
  if (settings.get("json").value) {
    terminal.out(jsonLine({
      message_type: "summary",
      files_whole: whole,
      files_repaired: repaired.length,
      files_lost: lost.length,
      seconds_elapsed: elapsedMs / 1000,
    }));
  } else if (!settings.get("quiet").value) {
    const { outStyle: style } = terminal;
    const mark = lost.length === 0 ? style.good(style.glyphs.done) : style.bad(style.glyphs.failed);
    const parts = [
      `${formatPlural(whole, "file")} whole`,
      `${repaired.length} repaired`,
      ...(lost.length > 0 ? [`${lost.length} lost`] : []),
    ];
    terminal.out(
      `${mark} ${visibleText(key)}: ${parts.join(", ")}, in ${formatDuration(elapsedMs)}.\n`,
    );
  }
}
