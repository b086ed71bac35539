/**
 * `drill` on a repository: some files of the newest snapshots, restored to a scratch folder, read again and compared. Rule: nothing
 * is written at the repository but a lock, and nothing is left in the scratch folder.
 */
import { join } from "node:path";
import { chmod, mkdir, readdir, rm, statfs } from "node:fs/promises";
import { hostname } from "node:os";
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import { formatPlural } from "../../protocol/cli/format.ts";
import type { FileFailure } from "../../protocol/mesh/job.ts";
import { fromWireError } from "../../protocol/mesh/task_mapping.ts";
import type { DrillDone, DrillFromRepository } from "../cli/drill.ts";
import {
  type BlobReader,
  loadSnapshots,
  type Repository,
  shortId,
  type StoredSnapshot,
  utf8ByteString,
} from "../repository/mod.ts";
import { DRILL_FORMAT, type DrillReport } from "../strategies/mirror/restore/drill_report.ts";
import { openBlobGroup } from "./blob_group.ts";
import { compareWithSource } from "./compare_source.ts";
import { drawSample } from "./drill_sample.ts";
import type { RepositoryWorld } from "./repository_world.ts";
import { restoreInThread } from "./restore_in_thread.ts";
import { RESTORE_PROGRESS_BYTES, type RestoreEvent } from "./restore_thread.ts";
import { cleanPath, Selection } from "./selection.ts";
import {
  chooseSnapshot,
  filterOf,
  parseSnapshotWord,
  passes,
  treeOfFolder,
} from "./snapshot_choice.ts";
import { newestOfEach } from "./snapshots.ts";
import { lockOfReader } from "./telling.ts";
import { addressOf, type Opened, refuseMore, useRepositories } from "./use_repositories.ts";

const SYNOPSIS = "drill restic:PATH [OPTIONS]";
/** Of the free room; the rest is for others. */
const FREE_SHARE = 0.8;
const FAILURES_NAMED_MAX = 1_000;
const FOLDER_MODE = 0o700;
const TELL_EVERY_MS = 250;

type DrillWishes = Parameters<DrillFromRepository>[1];

export async function runDrill(
  world: RepositoryWorld,
  call: CommandCall,
  wishes: DrillWishes,
): Promise<DrillDone> {
  const address = addressOf(call, call.positionals[0], SYNOPSIS);
  refuseMore(call.positionals, 1, SYNOPSIS);
  return await useRepositories(world, call, [address], lockOfReader(call), async (opened) => {
    const room = await freeBytes(wishes.scratch);
    const folder = join(wishes.scratch, `backup-agent-drill-${newId("run")}`);
    await mkdir(folder, { mode: FOLDER_MODE });
    try {
      return await new RepositoryDrill(world, call, wishes, opened).run(folder, room);
    } finally {
      await removeAll(folder);
    }
  });
}

class RepositoryDrill {
  readonly #world: RepositoryWorld;
  readonly #call: CommandCall;
  readonly #wishes: DrillWishes;
  readonly #opened: Opened;
  readonly #repository: Repository;
  readonly #failures = new Map<string, FileFailure>();
  #failureCount = 0;
  readonly #warnings = new Set<string>();
  #metadataProblems = 0;

  constructor(world: RepositoryWorld, call: CommandCall, wishes: DrillWishes, opened: Opened) {
    this.#world = world;
    this.#call = call;
    this.#wishes = wishes;
    this.#opened = opened;
    this.#repository = opened.repositories[0]!.repository;
  }

  async run(folder: string, room: number): Promise<DrillDone> {
    const { clock } = this.#call;
    const startedAt = new Date(clock.nowMs()).toISOString();
    const { snapshots, below } = await this.#snapshots();
    const { reader } = await openBlobGroup(
      this.#opened.repositories,
      clock,
      (message) => void this.#warnings.add(message),
    );
    const report: DrillReport = {
      format: DRILL_FORMAT,
      version: 1,
      startedAt,
      endedAt: startedAt,
      passed: false,
      samplePercent: this.#wishes.samplePercent,
      copies: snapshots.map(({ id }) => shortId(id)),
      ...{ filesChosen: 0, bytesChosen: 0, filesRestored: 0, bytesRestored: 0 },
      ...{ comparedWithSource: 0, failures: [] },
    };
    for (const snapshot of snapshots) {
      const target = join(folder, shortId(snapshot.id));
      await this.#rehearse(reader, snapshot, below, { target, room, report });
      await removeAll(target);
    }
    if (report.filesChosen === 0 && this.#failureCount === 0) {
      throw new BackupError("not_found", "No file is in the snapshots that there is room for", {
        hint: "Run a backup first, or name a larger folder with --scratch",
      });
    }
    if (this.#metadataProblems > 0) {
      this.#warnings.add(
        `Owner, mode, times or attributes of ${
          formatPlural(this.#metadataProblems, "entry", "entries")
        } could not be set in the scratch folder`,
      );
    }
    report.endedAt = new Date(clock.nowMs()).toISOString();
    report.failures = [...this.#failures.values()];
    report.passed = this.#failureCount === 0 && report.filesRestored === report.filesChosen;
    return { report, reportPath: undefined, warnings: [...this.#warnings] };
  }

  /** The one that is named, or the newest of each host and paths. */
  async #snapshots(): Promise<{ snapshots: StoredSnapshot[]; below: string }> {
    const word = this.#call.settings.get("snapshot").value;
    const filter = filterOf(this.#call);
    const damaged = (error: BackupError) => this.#fail(error.path ?? "snapshots", error);
    if (word !== undefined) {
      const { id, folder } = parseSnapshotWord(word);
      const snapshot = await chooseSnapshot(this.#repository, id, filter, damaged);
      return { snapshots: [snapshot], below: folder };
    }
    const all = await loadSnapshots(this.#repository, (_, error) => damaged(asBackupError(error)));
    const snapshots = newestOfEach(all.filter((one) => passes(filter, one)), 1);
    if (snapshots.length > 0) return { snapshots, below: "" };
    const { display } = this.#repository.store;
    throw new BackupError("not_found", `There is no such snapshot in ${display}`, {
      path: display,
      hint: "Run a backup first; snapshots lists what there is",
    });
  }

  async #rehearse(
    reader: BlobReader,
    snapshot: StoredSnapshot,
    below: string,
    { target, room, report }: { target: string; room: number; report: DrillReport },
  ): Promise<void> {
    const { clock, settings } = this.#call;
    const { signal } = this.#opened;
    const timeoutMs = settings.get("timeout").value;
    const fail = (path: string, error: unknown) =>
      this.#fail(`${shortId(snapshot.id)}${path}`, asBackupError(error));
    const tree = await treeOfFolder(reader, snapshot.tree, below);
    const { sample, files, bytes } = await drawSample(reader, tree, {
      fraction: this.#wishes.samplePercent / 100,
      bytesMax: room,
      onFailure: fail,
      signal,
    });
    if (files === 0) return;
    report.filesChosen += files;
    report.bytesChosen += bytes;
    const selection = { paths: [], includes: [], excludes: [], sample };
    const progress = new SharedArrayBuffer(RESTORE_PROGRESS_BYTES);
    const before = report.filesRestored;
    const tell = () => {
      const filesDone = before + new Float64Array(progress)[0]!;
      this.#wishes.onProgress({ filesDone, filesTotal: report.filesChosen });
    };
    const stop = clock.every(TELL_EVERY_MS, tell);
    try {
      const [done] = await restoreInThread({
        replicas: this.#opened.repositories,
        roots: [],
        repositoryRoots: [],
        target,
        process: this.#world.lockContext(this.#call).owner.process,
        timeoutMs,
        clock,
        spawn: (role) => this.#world.spawn(role),
        listen: (event) => this.#hear(event, fail),
        signal,
      }, [{
        tree,
        folder: "",
        counts: false,
        target,
        selection,
        overwrite: "refuse",
        ...{ delete: false, sparse: true, verify: true, dryRun: false },
        progress,
      }]);
      report.filesRestored += done!.verified ?? 0;
      report.bytesRestored += done!.counts?.bytes ?? 0;
    } finally {
      stop();
    }
    if (snapshot.hostname !== hostname()) return;
    try {
      await compareWithSource({
        reader,
        snapshot,
        folder: utf8ByteString(cleanPath(below)),
        tree,
        selection: new Selection(selection),
        onCompared: () => void report.comparedWithSource++,
        onFailure: fail,
        spawn: (role) => this.#world.spawn(role),
        ...{ timeoutMs, clock, signal },
      });
    } catch (error) {
      // No fault of the repository.
      if (!(error instanceof BackupError) || error.code !== "deadline") throw error;
      this.#warnings.add(error.message);
    }
  }

  #hear(event: RestoreEvent, fail: (path: string, error: unknown) => void): void {
    switch (event.kind) {
      case "warning":
        this.#warnings.add(event.message);
        return;
      case "metadata":
        this.#metadataProblems++;
        return;
      case "failed": {
        fail(`/${event.path.replace(/^\/+/, "")}`, fromWireError(event.error));
      }
    }
  }

  /** Once a path: what the walk has found the restore finds as well. */
  #fail(path: string, { code, message }: BackupError): void {
    if (this.#failures.has(path)) return;
    this.#failureCount++;
    if (this.#failures.size >= FAILURES_NAMED_MAX) return;
    this.#failures.set(path, { path, code, message, attempts: 1 });
  }
}

/** What a drill may take of it. @throws {BackupError} `usage` when it is no folder */
async function freeBytes(scratch: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(scratch);
    return bavail * bsize * FREE_SHARE;
  } catch (cause) {
    throw new BackupError("usage", `${scratch} is no folder to restore a sample to`, {
      path: scratch,
      hint: "Make it first, or name another folder with --scratch",
      cause,
    });
  }
}

/** Also folders that were stored as ones that nobody may write to. */
async function removeAll(path: string): Promise<void> {
  const remove = () => rm(path, { recursive: true, force: true });
  try {
    await remove();
  } catch {
    await openUp(path);
    await remove();
  }
}

async function openUp(folder: string): Promise<void> {
  await chmod(folder, FOLDER_MODE);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await openUp(join(folder, entry.name));
  }
}
