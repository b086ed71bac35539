/** `verify DEST`: everything recorded there is read back, by threads of its own and with no coordinator. */
import { verificationKind } from "./file_verifier.ts";
import type { VerificationKind } from "../../../protocol/mesh/task.ts";
import type { Clock } from "../../../protocol/base/clock.ts";
import { asBackupError, BackupError } from "../../../protocol/base/errors.ts";
import type { Log } from "../../../protocol/base/log.ts";
import type { FileFailure } from "../../../protocol/mesh/job.ts";
import type { Inspection } from "../../destinations/local_destination.ts";
import { noDestination } from "../../destinations/other_kind.ts";
import { ThreadClient } from "../../threads/thread_rpc.ts";
import { ThreadWatch } from "../../threads/thread_watch.ts";
import type { KeysRequest, OpenRequest } from "./held_destination.ts";
import type { LaneThreadStart } from "./lane_thread.ts";
import {
  openOthers,
  repairCopy,
  type RepairedEntry,
  type RepairJob,
  type RepairOther,
  type RepairOutcome,
} from "./repair_destination.ts";
import type { KeyTexts, OpenedKeys } from "./destination_keys.ts";
import { type GivenKeys, type KeySources, readKeys } from "./read_keys.ts";
import type { SumsCheck, SumsTotals } from "./stored_sums.ts";
import { checkVersionsOf, countAllVersions } from "./verify_versions.ts";
import type { StoredCheck, StoredResult, StoredTotals } from "./stored_copy.ts";

export interface VerifyOptions {
  /** Absolute. */
  path: string;
  /** Top names to check; empty = all. */
  names: readonly string[];
  /** Other destinations, absolute, that damaged and missing files are taken from, in this order; none: only look. */
  repairFrom?: readonly string[];
  /** Where the secrets are for lists that are encrypted. */
  keys?: KeySources;
  /** How long one disk operation may take. */
  timeoutMs: number;
  /** How long a destination that another run uses is waited for. */
  waitMs: number;
  onProgress(progress: {
    filesDone: number;
    filesTotal: number;
    bytesDone: number;
    bytesTotal: number;
    currentFile: string;
  }): void;
  signal: AbortSignal;
  clock: Clock;
  log: Log;
}

export interface VerifyOutcome {
  filesVerified: number;
  bytesVerified: number;
  verification: VerificationKind;
  damaged: FileFailure[];
  missing: FileFailure[];
  extra: string[];
  unreadable: FileFailure[];
  /** What a repair put right; absent when none was asked for. */
  repaired?: RepairedEntry[];
  /** What a person should know of the repair, a sentence each. */
  warnings?: string[];
  recordedOnly: number;
  lastVerifiedAtMs?: number;
}

const THREADS = 2;
const TICK_MS = 250;
/** How often a busy destination is tried again. */
const BUSY_RETRY_MS = 500;

/**
 * Dates of sound files are brought up to date where the destination can be written. A copy that cannot be checked as a
 * whole is a failure with its name, and the others are checked all the same.
 * @throws {BackupError} `destination_missing` without a marker, `destination_busy`, `usage` for an unknown name
 */
export async function verifyDestination(
  options: VerifyOptions,
  spawn: (role: string) => Worker,
): Promise<VerifyOutcome> {
  const { clock, signal } = options;
  const watch = new ThreadWatch(clock, options.timeoutMs);
  const threads: ThreadClient[] = [];
  const others: RepairOther[] = [];
  const opened = () => [...threads, ...others.map(({ thread }) => thread)];
  const cancel = () => opened().forEach((thread) => thread.cancel());
  signal.addEventListener("abort", cancel, { once: true });
  try {
    const { keys, warnings } = await readKeys(options.keys ?? {});
    const start: LaneThreadStart = {
      path: options.path,
      slots: new SharedArrayBuffer(8),
      limitBytesPerSecond: 0,
    };
    for (let n = 0; n < THREADS; n++) {
      const thread = new ThreadClient(spawn("lane"), start);
      watch.add(thread, options.path);
      threads.push(thread);
    }
    for (const path of options.repairFrom ?? []) {
      const thread = new ThreadClient(spawn("lane"), { ...start, path });
      watch.add(thread, path);
      others.push({ path, thread });
    }
    const outcome = await verifyOpened(options, threads, others, keys);
    if (warnings.length > 0) outcome.warnings = [...warnings, ...outcome.warnings ?? []];
    return outcome;
  } catch (thrown) {
    if (signal.aborted) throw new BackupError("cancelled", "Cancelled");
    throw thrown;
  } finally {
    signal.removeEventListener("abort", cancel);
    watch.close();
    for (const thread of opened()) thread.close();
  }
}

async function verifyOpened(
  options: VerifyOptions,
  threads: ThreadClient[],
  repairOthers: readonly RepairOther[],
  given: GivenKeys,
): Promise<VerifyOutcome> {
  const { path, clock } = options;
  const repairs = repairOthers.length > 0;
  const [control, ...others] = threads as [ThreadClient, ...ThreadClient[]];
  const inspection = await control.call<Inspection>("inspect", []);
  if (inspection.destinationId === undefined) {
    throw noDestination(path, inspection.otherKind === "repository");
  }
  // Before the lock: whoever names the wrong folder is told at once.
  await openOthers(repairOthers, inspection.destinationId, openRequest(clock), given);
  const opened = await control.callFlush<OpenedKeys>(
    "keysAt",
    { given, needsLists: false } satisfies KeysRequest,
  );
  const keys = { identities: opened.identities, recipients: [] };
  const isWritable = await openAll(control, others, options, keys);
  const chosen = (await control.call<{ name: string; key: string }[]>("bindings", undefined))
    .filter(({ name }) => options.names.length === 0 || options.names.includes(name));
  for (const name of options.names) {
    if (!chosen.some((binding) => binding.name === name)) {
      throw new BackupError("usage", `There is no copy named ${name} at ${path}`, { path });
    }
  }
  const outcome: VerifyOutcome = {
    filesVerified: 0,
    bytesVerified: 0,
    verification: "none",
    damaged: [],
    missing: [],
    extra: [],
    recordedOnly: 0,
    unreadable: [],
    ...(repairs && { repaired: [] }),
    warnings: [
      ...opened.warnings,
      ...await control.call<string[]>("identityWarnings", undefined),
    ],
  };
  /** Copies whose list no key given opens. */
  const locked: string[] = [];
  let fromDisk = 0;
  let fromCache = 0;
  const total = { files: 0, bytes: 0 };
  const bindings: { name: string; key: string; lines: number }[] = [];
  for (const binding of chosen) {
    try {
      const counted = await control.call<StoredTotals>("countStored", binding);
      bindings.push({ ...binding, lines: counted.lines });
      total.files += counted.files;
      total.bytes += counted.bytes;
    } catch (thrown) {
      if (asBackupError(thrown).code === "wrong_key") {
        const sums = await control.call<SumsTotals>("countSums", binding.name);
        locked.push(binding.name);
        total.files += sums.files;
        outcome.warnings!.push(checkedBySums(binding.name, sums, repairs));
        continue;
      }
      addUncheckable(outcome, binding.name, thrown);
      if (repairs) outcome.warnings!.push(listNotTaken(binding.name));
    }
  }
  const versions = await countAllVersions(control, chosen);
  total.files += versions.files;
  total.bytes += versions.bytes;
  // One pair of numbers per thread: each is written by one alone.
  const progress = threads.map(() => new SharedArrayBuffer(16));
  const report = (currentFile: string) => {
    const sums = progress.map((shared) => new Float64Array(shared));
    options.onProgress({
      filesDone: sums.reduce((sum, each) => sum + each[0]!, 0),
      filesTotal: total.files,
      bytesDone: sums.reduce((sum, each) => sum + each[1]!, 0),
      bytesTotal: total.bytes,
      currentFile,
    });
  };
  const addResult = (result: StoredResult, failures: Failures) => {
    outcome.filesVerified += result.files;
    outcome.bytesVerified += result.bytes;
    failures.damaged.push(...result.damaged);
    failures.missing.push(...result.missing);
    failures.unreadable.push(...result.unreadable);
    outcome.extra.push(...result.extra);
    outcome.recordedOnly += result.recordedOnly;
    fromDisk += result.fromDisk;
    fromCache += result.fromCache;
  };
  for (const binding of bindings) {
    const sound = new SharedArrayBuffer(binding.lines);
    const stopTicks = clock.every(TICK_MS, () => report(binding.name));
    const found: Failures = { damaged: [], missing: [], unreadable: [] };
    try {
      const results = await allEnded(threads.map((thread, part) =>
        thread.call<StoredResult>(
          "checkStored",
          {
            bindingKey: binding.key,
            name: binding.name,
            part,
            parts: threads.length,
            sound,
            progress: progress[part]!,
          } satisfies StoredCheck,
        )
      ));
      for (const result of results) addResult(result, found);
    } catch (thrown) {
      // A copy of which the folder itself is gone can be repaired as long as its list is there.
      addUncheckable(found, binding.name, thrown);
      if (!repairs) {
        addFailures(outcome, found);
        continue;
      }
    } finally {
      stopTicks();
    }
    options.signal.throwIfAborted();
    if (repairs) {
      const job = { control, others: repairOthers, binding, sound, signal: options.signal };
      const repair = await repairOrKeep({ ...job, onProgress: report }, found);
      outcome.filesVerified += repair.files;
      outcome.bytesVerified += repair.bytes;
      fromDisk += repair.fromDisk;
      fromCache += repair.fromCache;
      outcome.repaired!.push(...repair.repaired);
      outcome.warnings!.push(...repair.warnings);
      addFailures(outcome, repair);
    } else addFailures(outcome, found);
    if (isWritable) {
      await control.callFlush("stampVerified", {
        bindingKey: binding.key,
        name: binding.name,
        sound,
        verifiedAtMs: clock.nowMs(),
      });
    }
  }
  for (const name of locked) {
    const stopTicks = clock.every(TICK_MS, () => report(name));
    try {
      const results = await allEnded(threads.map((thread, part) => {
        const check = { name, part, parts: threads.length, progress: progress[part]! };
        return thread.call<StoredResult>("checkSums", check satisfies SumsCheck);
      }));
      for (const result of results) addResult(result, outcome);
    } catch (thrown) {
      addUncheckable(outcome, name, thrown);
    } finally {
      stopTicks();
    }
    options.signal.throwIfAborted();
  }
  for (const { key, name } of chosen) {
    if (locked.includes(name)) continue;
    const stopTicks = clock.every(TICK_MS, () => report(`${name}, earlier versions`));
    try {
      for (const result of await checkVersionsOf(threads, key, progress)) {
        addResult(result, outcome);
      }
    } finally {
      stopTicks();
    }
    options.signal.throwIfAborted();
  }
  if (repairs) await renewChecksums(control, outcome);
  report("");
  outcome.verification = verificationKind(fromDisk, fromCache);
  if (outcome.filesVerified > 0) outcome.lastVerifiedAtMs = clock.nowMs();
  await control.call("close", undefined);
  return outcome;
}

type Failures = Pick<VerifyOutcome, "damaged" | "missing" | "unreadable">;

function addFailures(outcome: VerifyOutcome, found: Failures): void {
  outcome.damaged.push(...found.damaged);
  outcome.missing.push(...found.missing);
  outcome.unreadable.push(...found.unreadable);
}

/**
 * Repairs a copy in which the check found `found`; what could not be read and was not looked at again stays named. A repair
 * that cannot be done at all leaves what was found. @throws what concerns more than this copy
 */
async function repairOrKeep(job: RepairJob, found: Failures): Promise<RepairOutcome> {
  const { name } = job.binding;
  try {
    const repair = await repairCopy(job);
    const seen = new Set([...repair.repaired, ...repair.unreadable].map(({ path }) => path));
    const stays = found.unreadable.filter(({ path }) => path !== name && !seen.has(path));
    return { ...repair, unreadable: [...repair.unreadable, ...stays] };
  } catch (thrown) {
    const { code, message } = asBackupError(thrown);
    const { control, signal } = job;
    if (control.isClosed || signal.aborted || code === "destination_lost" || code === "internal") {
      throw thrown;
    }
    const nothing = { files: 0, bytes: 0, fromDisk: 0, fromCache: 0, repaired: [] };
    const failed: Failures = { ...found, damaged: [...found.damaged] };
    failed.damaged.push({ path: name, code, message: `Not repaired: ${message}`, attempts: 1 });
    return { ...nothing, ...failed, warnings: [] };
  }
}

function checkedBySums(name: string, { isStale }: SumsTotals, repairs: boolean): string {
  const notRepaired = repairs ? ", and nothing of it can be repaired" : "";
  const stale = isStale ? ". A backup was cut off before it wrote that file anew" : "";
  return `The list of ${name} is encrypted, and no key is given that opens it: the bytes of its files ` +
    `were compared with SHA256SUMS, but no links, folders, modes, times or earlier versions${notRepaired}${stale}`;
}

function listNotTaken(name: string): string {
  return `${name} was not repaired: without its own list nobody knows what belongs there, ` +
    "and the list of another destination may be of another time. Run its backup again";
}

/** SHA256SUMS may be what was damaged, so it is made anew; it cannot be while a list is damaged. */
async function renewChecksums(control: ThreadClient, outcome: VerifyOutcome): Promise<void> {
  try {
    await control.callFlush("repairChecksums", undefined);
  } catch (thrown) {
    if (control.isClosed) throw thrown;
    outcome.warnings!.push(`SHA256SUMS stays as it was: ${asBackupError(thrown).message}`);
  }
}

/** All results, or the first error, in either case when nothing of it is under way any more. */
async function allEnded<T>(calls: Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(calls);
  return await Promise.all(calls);
}

/** A copy of which nothing can be told but that; what concerns more than this copy is thrown on. */
function addUncheckable(outcome: Failures, name: string, thrown: unknown): void {
  const { code, message, hint } = asBackupError(thrown);
  const groups: Partial<Record<typeof code, FileFailure[]>> = {
    damaged: outcome.damaged,
    not_found: outcome.missing,
    not_a_directory: outcome.damaged,
    permission: outcome.unreadable,
    io: outcome.unreadable,
  };
  const group = groups[code];
  if (group === undefined) throw thrown;
  const text = hint === undefined ? message : `${message}. ${hint}`;
  group.push({ path: name, code, message: text, attempts: 1 });
}

/** With the lock where that is possible; a read-only medium is checked without it. */
async function openAll(
  control: ThreadClient,
  others: ThreadClient[],
  options: VerifyOptions,
  keys: KeyTexts,
): Promise<boolean> {
  const { clock } = options;
  const request = { ...openRequest(clock), keys };
  const deadlineMs = clock.monotonicMs() + options.waitMs;
  let isWritable: boolean | undefined;
  while (isWritable === undefined) {
    try {
      await control.call("open", request);
      isWritable = true;
    } catch (thrown) {
      const { code } = asBackupError(thrown);
      const leftMs = deadlineMs - clock.monotonicMs();
      if (code === "destination_busy" && leftMs > 0) {
        await clock.sleep(Math.min(leftMs, BUSY_RETRY_MS), options.signal);
        continue;
      }
      const mayOnlyRead = (options.repairFrom ?? []).length === 0;
      if (!mayOnlyRead || (code !== "read_only" && code !== "permission")) throw thrown;
      isWritable = false;
      await control.call("attach", request);
    }
  }
  await Promise.all(others.map((thread) => thread.call("attach", request)));
  return isWritable;
}

function openRequest(clock: Clock): OpenRequest {
  return {
    wanted: [],
    holder: `verify, process ${Deno.pid}`,
    createdAt: new Date(clock.nowMs()).toISOString(),
  };
}
