/**
 * Opening repositories for one command. Rule: no password is asked for where there is no repository, and locks and stores are
 * given back however the command ends.
 */
import { asBackupError, BackupError } from "../../protocol/base/errors.ts";
import type { CommandCall } from "../../protocol/cli/command.ts";
import { watchInterrupts } from "../../protocol/cli/interrupt.ts";
import type { OptionKey } from "../../protocol/cli/options.ts";
import {
  parseRepositoryAddress,
  type RepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import { PASSWORD_OPTIONS } from "../../protocol/cli/repository_password.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import {
  areReplicas,
  isRepository,
  lockRepository,
  type Repository,
  type RepositoryLock,
  writerOf,
} from "../repository/mod.ts";
import { RepositoryPasswords } from "./repository_passwords.ts";
import type { RepositoryWorld } from "./repository_world.ts";

/** What every command that opens a repository takes. */
export const OPENING_OPTIONS = [
  ...PASSWORD_OPTIONS,
  "wait",
  "timeout",
] as const satisfies readonly OptionKey[];

/** After Ctrl-C, for what is under way and for giving locks back. */
const GRACE_MS = 10_000;

export interface OpenedRepository {
  address: RepositoryAddress;
  repository: Repository;
}

export interface Opened {
  /** At least one, in the order in which they were named. */
  repositories: OpenedRepository[];
  /** Aborted by Ctrl-C, and when a lock is lost. */
  signal: AbortSignal;
  /** Repositories that could not be used, a sentence each; only with `isTolerant`. */
  warnings: string[];
}

export interface OpenOptions {
  lock: "none" | "shared" | "exclusive";
  /** The command has --no-lock; absent: those do that only read and let others write. */
  mayGoWithout?: boolean;
  /** One that opens is enough; the others are told as warnings. */
  isTolerant?: boolean;
  /** Of a command that names more than these. */
  passwords?: RepositoryPasswords;
}

/** The words that name repositories, at the place where the command expects them. @throws {BackupError} `usage` */
export function addressOf(
  { surroundings }: Pick<CommandCall, "surroundings">,
  word: string | undefined,
  synopsis: string,
): RepositoryAddress {
  if (word === undefined || word === "") {
    throw new BackupError("usage", "No repository is given", { hint: synopsis });
  }
  return parseRepositoryAddress(word, surroundings.folder);
}

/** @throws {BackupError} `usage` for words that are too many */
export function refuseMore(words: readonly string[], max: number, synopsis: string): void {
  if (words.length <= max) return;
  throw new BackupError("usage", `Unexpected ${words[max]}`, { hint: synopsis });
}

/** Opens, locks, calls, and gives everything back. Whatever Ctrl-C ended is `cancelled`. */
export async function useRepositories<T>(
  world: RepositoryWorld,
  call: CommandCall,
  addresses: readonly RepositoryAddress[],
  options: OpenOptions,
  use: (opened: Opened) => Promise<T>,
): Promise<T> {
  return await untilInterrupted(call, async (signal) => {
    const stores: ObjectStore[] = [];
    const locks: RepositoryLock[] = [];
    // What a disk has not answered by then ends without it.
    const giveUp = () =>
      void call.clock.sleep(GRACE_MS).then(() => stores.forEach((store) => store.close()));
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      const timeoutMs = call.settings.get("timeout").value;
      const warnings: string[] = [];
      const repositories: OpenedRepository[] = [];
      let failure: unknown;
      const passwords = options.passwords ?? new RepositoryPasswords(call, addresses);
      const writer = options.lock === "none"
        ? {}
        : { writer: writerOf(world.lockContext(call).owner.process) };
      for (const address of addresses) {
        try {
          const store = await world.openStore(address.path, { timeoutMs, ...writer });
          stores.push(store);
          await requireRepository(store, address);
          const repository = await passwords.open(store, world.kernels, address);
          if (options.lock !== "none") {
            locks.push(await takeLock(world, call, repository, options, signal));
          }
          repositories.push({ address, repository });
        } catch (error) {
          if (!(error instanceof BackupError) || error.code === "cancelled") throw error;
          if (options.isTolerant !== true || addresses.length === 1) throw error;
          failure ??= error;
          warnings.push(`${address.key} is left out: ${error.message}`);
        }
      }
      if (repositories.length === 0) throw failure;
      const all = AbortSignal.any([signal, ...locks.map((lock) => lock.signal)]);
      return await use({ repositories, signal: all, warnings });
    } finally {
      await Promise.allSettled(locks.map((lock) => lock.release()));
      signal.removeEventListener("abort", giveUp);
      for (const store of stores) store.close();
    }
  });
}

async function takeLock(
  world: RepositoryWorld,
  call: CommandCall,
  repository: Repository,
  { lock: kind, mayGoWithout = kind === "shared" }: OpenOptions,
  signal: AbortSignal,
): Promise<RepositoryLock> {
  try {
    return await lockRepository(repository, world.lockContext(call), {
      exclusive: kind === "exclusive",
      waitMs: call.settings.get("wait").value,
      signal,
    });
  } catch (error) {
    const cannotWrite = error instanceof BackupError && mayGoWithout &&
      ["read_only", "permission", "no_space"].includes(error.code);
    if (!cannotWrite) throw error;
    const { code, message, path } = error;
    const hint = "Where nobody else writes, --no-lock reads without";
    throw new BackupError(code, `No lock can be written: ${message}`, { path, hint, cause: error });
  }
}

/** Gives the signal of Ctrl-C and its relatives; what it ends is `cancelled`, whatever it threw. */
export async function untilInterrupted<T>(
  call: CommandCall,
  use: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const interrupts = watchInterrupts(call.signals, () => {}, { mayHoldLocks: true });
  try {
    return await use(interrupts.signal);
  } catch (thrown) {
    if (interrupts.signal.aborted) throw asBackupError(interrupts.signal.reason);
    throw thrown;
  } finally {
    interrupts.close();
  }
}

/** @throws {BackupError} `destination_missing` */
async function requireRepository(store: ObjectStore, { key, path }: RepositoryAddress) {
  if (await isRepository(store)) return;
  throw new BackupError("destination_missing", `There is no repository at ${key}: no config`, {
    path,
    hint: "Check the path, mount its disk, or make one with init",
  });
}

/** Those with the same keys and configuration as the first; the others are named in `warnings`. */
export function replicasOfFirst({ repositories, warnings }: Opened): OpenedRepository[] {
  const [first, ...others] = repositories;
  const replicas = others.filter(({ repository, address }) => {
    const isReplica = areReplicas(first!.repository, repository);
    if (!isReplica) {
      warnings.push(`${address.key} is left out: no replica of ${first!.address.key}`);
    }
    return isReplica;
  });
  return [first!, ...replicas];
}
