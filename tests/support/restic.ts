/**
 * Stock restic as the judge, and backups with our own library to be judged. Rule: what is compared comes from restic's own
 * mouth; nothing of ours reads a result for it.
 */
import assert from "node:assert/strict";
import { openLocalObjectStore } from "../../agents/destinations/local_object_store.ts";
import type { ObjectStore } from "../../agents/destinations/object_store.ts";
import { createKernels } from "../../agents/kernels/mod.ts";
import { openPosix } from "../../agents/platform/open_posix.ts";
import type { Posix } from "../../agents/platform/posix.ts";
import { thisProcess } from "../../agents/platform/process_identity.ts";
import {
  BlobReader,
  BlobWriter,
  type BlobWriterOptions,
  checkRepository,
  Chunker,
  findParent,
  initRepositories,
  type Instant,
  instantOfMs,
  loadIndex,
  loadSnapshots,
  type LockContext,
  openRepository,
  type Repository,
  restoreTree,
  sealSnapshot,
  SnapshotBuilder,
  type StoredSnapshot,
  storeSnapshot,
} from "../../agents/repository/mod.ts";
import {
  archiveSource,
  Encoders,
  type EncoderThreads,
  openRestoreTarget,
  readAccountNames,
  type ReadingAgain,
  type TargetOptions,
  temporariesOf,
} from "../../agents/strategies/snapshot/mod.ts";
import { walk } from "../../agents/source/walk.ts";
import { systemClock } from "../../protocol/base/clock.ts";
import type { BackupError } from "../../protocol/base/errors.ts";
import { runProgram } from "./run_program.ts";

export const PASSWORD = "secret";
export const HOST = "test-host";
/** Weaker than any real key, so that tests are fast. */
export const FAST_KDF = { N: 1024, r: 8, p: 1 };
export const kernels = createKernels();
export const posix = openPosix();

/** Runs restic on a repository; fails with its words unless it ends with `code`. */
export async function restic(
  repository: string,
  args: readonly string[],
  { code = 0, cwd, password = PASSWORD }: { code?: number; cwd?: string; password?: string } = {},
): Promise<string> {
  const outcome = await runProgram("restic", ["--no-cache", ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    env: {
      RESTIC_REPOSITORY: repository,
      RESTIC_PASSWORD: password,
      PATH: Deno.env.get("PATH") ?? "",
      HOME: "/nonexistent",
    },
  });
  assert.equal(outcome.code, code, `restic ${args.join(" ")}: ${outcome.out}\n${outcome.err}`);
  return outcome.out;
}

/** The last line of restic's JSON that has a field. */
export function lastJson(out: string, field: string): Record<string, unknown> {
  const lines = out.trim().split("\n").filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
  const found = lines.findLast((line) => field in line);
  assert.ok(found !== undefined, out);
  return found;
}

export function localStore(path: string): ObjectStore {
  Deno.mkdirSync(path, { recursive: true });
  return openLocalObjectStore(posix, path);
}

export async function makeRepository(path: string, version: 1 | 2 = 2): Promise<Repository> {
  const [repository] = await initRepositories([localStore(path)], kernels, systemClock, {
    username: "me",
    hostname: HOST,
    password: PASSWORD,
    kdf: FAST_KDF,
    version,
  });
  return repository!;
}

export function openOurs(path: string, password = PASSWORD): Promise<Repository> {
  return openRepository(localStore(path), kernels, { password });
}

/** Restores a tree into a new folder; what could not be restored, a line each. */
export async function restoreOurs(
  repository: Repository,
  tree: string,
  target: string,
  options: Partial<TargetOptions> = {},
): Promise<string[]> {
  const problems: string[] = [];
  Deno.mkdirSync(target, { recursive: true });
  const { index } = await loadIndex(repository);
  const reader = new BlobReader(repository.store, repository.key, index);
  const onProblem = (path: string, error: BackupError) =>
    problems.push(`${path}: ${error.message}`);
  const temporaries = temporariesOf(thisProcess("machine"));
  const folder = openRestoreTarget(target, { posix, onProblem, temporaries, ...options });
  try {
    await restoreTree(reader, tree, folder, { onFailure: onProblem });
  } finally {
    folder.close();
  }
  return problems;
}

/** Everything a full check says. */
export async function allProblems(repository: Repository): Promise<string[]> {
  const problems: string[] = [];
  await checkRepository(repository, {
    readData: { kind: "all" },
    onProblem: ({ message }) => problems.push(message),
  });
  return problems;
}

/** A lock of this very process. */
export function lockContext(): LockContext {
  return {
    clock: systemClock,
    owner: {
      hostname: Deno.hostname(),
      username: "me",
      uid: Deno.uid() ?? 0,
      gid: Deno.gid() ?? 0,
      process: { pid: Deno.pid, host: "machine", boot: "boot", start: "now" },
    },
    isAlive: (pid, start) => pid === Deno.pid && (start === undefined || start === "now"),
  };
}

const EVERYTHING = {
  excludes: [],
  ignoreFiles: false,
  excludeCaches: false,
  oneFileSystem: false,
};

export interface OurBackup {
  /** Absolute; its entries become the root's. */
  base: string;
  /** The source keeps its place in the tree instead. */
  isPlaced?: boolean;
  time?: Instant;
  tags?: readonly string[];
  host?: string;
  writer?: Partial<BlobWriterOptions>;
  isForced?: boolean;
  /** Threads that read and encode; without them it is done in this one. */
  threads?: EncoderThreads;
  /** Of the walk, and of the reading without threads. */
  port?: Posix;
  again?: ReadingAgain;
}

export interface OurResult {
  snapshot: StoredSnapshot;
  builder: SnapshotBuilder;
  writer: BlobWriter;
  problems: [string, BackupError][];
}

/** A whole backup as a command would make it, without the lock. */
export async function backupOurs(repository: Repository, options: OurBackup): Promise<OurResult> {
  const host = options.host ?? HOST;
  const startedAt = instantOfMs(systemClock.nowMs());
  const time = options.time ?? startedAt;
  const paths = [options.base];
  const snapshots = options.isForced === true ? [] : await loadSnapshots(repository);
  const parent = findParent(snapshots, host, paths, time);
  const { index } = await loadIndex(repository);
  const writer = new BlobWriter(repository, index, { clock: systemClock, ...options.writer });
  const reader = new BlobReader(repository.store, repository.key, index);
  const chunker = new Chunker(kernels.createScanner(repository.config.polynomial));
  const builder = new SnapshotBuilder(
    writer,
    chunker,
    parent === undefined ? {} : { parent: { tree: parent.tree, reader } },
  );
  const problems: [string, BackupError][] = [];
  const port = options.port ?? posix;
  const { table } = walk(port, options.base, "source", EVERYTHING, () => {});
  await archiveSource(builder, options.base, table, {
    posix: port,
    accounts: readAccountNames(),
    isRoot: options.isPlaced !== true,
    ...(options.threads === undefined
      ? {}
      : { encoders: { encoders: new Encoders(options.threads, writer), folder: "" } }),
    ...(options.again === undefined ? {} : { again: options.again }),
    onProblem: (path, error) => problems.push([path, error]),
  });
  const sealed = await sealSnapshot(builder, writer, {
    time,
    startedAt,
    endedAt: instantOfMs(systemClock.nowMs()),
    paths,
    hostname: host,
    username: "me",
    uid: Deno.uid() ?? 0,
    gid: Deno.gid() ?? 0,
    program: "backup-agent test",
    ...(options.tags === undefined ? {} : { tags: options.tags }),
    ...(parent === undefined ? {} : { parent: parent.id }),
  });
  return { snapshot: await storeSnapshot(repository, sealed), builder, writer, problems };
}
