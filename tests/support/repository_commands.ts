/** Commands on repositories in this process, as a person would type them. Rule: real folders, or memory where a test damages it. */
import assert from "node:assert/strict";
import { createRepositoryCommands, repositoryVerbs } from "../../agents/snapshots/mod.ts";
import { lockContextOfThisProcess, makeFolder } from "../../agents/strategies/snapshot/mod.ts";
import { createFindCommand, createLsCommand } from "../../agents/cli/ls.ts";
import { createRestoreCommand } from "../../agents/cli/restore.ts";
import { createDrillCommand } from "../../agents/cli/drill.ts";
import { createVersionsCommand } from "../../agents/cli/versions.ts";
import { createVerifyCommand } from "../../agents/cli/verify.ts";
import type { RepositoryWorld } from "../../agents/snapshots/repository_world.ts";
import {
  openRestoreLoader,
  type RestoreLoaderStart,
} from "../../agents/snapshots/restore_loader.ts";
import {
  openRestoreThread,
  type RestoreThreadStart,
} from "../../agents/snapshots/restore_thread.ts";
import { openPlaceThread } from "../../agents/places/place_thread.ts";
import { MemoryObjectStore } from "../../agents/destinations/memory_object_store.ts";
import { openLocalObjectStore } from "../../agents/destinations/local_object_store.ts";
import type { ObjectStore } from "../../agents/destinations/object_store.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { type Clock, systemClock } from "../../protocol/base/clock.ts";
import {
  type FakeSignals,
  fakeSignals,
  fakeSurroundings,
  fakeTerminal,
} from "../../protocol/cli/fake_world.ts";
import { runProgram } from "../../protocol/cli/program.ts";
import { FAST_KDF, kernels, lockContext, PASSWORD, posix } from "./restic.ts";
import { inThreadWorker } from "./in_thread_worker.ts";
import { ManualClock } from "./manual_clock.ts";

/** A clock by which nobody waits: what sleeps wakes at once. */
export function sleeplessClock(clock: Clock = new ManualClock()): Clock {
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    sleep: (_, signal) => signal?.aborted ? Promise.reject(signal.reason) : Promise.resolve(),
    every: (ms, tick) => clock.every(ms, tick),
  };
}

export interface Typed {
  code: number;
  out: string;
  err: string;
  /** Every line of standard output that is JSON. */
  // deno-lint-ignore no-explicit-any -- tests look into it as they like
  json: any[];
}

export interface TypingOptions {
  password?: string | undefined;
  env?: Record<string, string>;
  answers?: string[];
  signals?: FakeSignals;
}

/** Types commands at a world of repositories. */
export class RepositoryShell {
  /** By path; a place that is not in it is a folder, unless it begins with `/memory/`. */
  readonly stores = new Map<string, MemoryObjectStore>();
  readonly clock: Clock;
  readonly world: RepositoryWorld;
  /** Sees every store that is opened, to make it faulty. */
  wrap: (store: ObjectStore) => ObjectStore = (store) => store;

  /** `isReal`: with the time and the process ids of this machine. */
  constructor({ isReal = false }: { isReal?: boolean } = {}) {
    this.clock = isReal ? sleeplessClock(systemClock) : sleeplessClock();
    this.world = {
      openStore: (path, { make = false }) =>
        new Promise((resolve) => resolve(this.wrap(this.#open(path, make)))),
      lockContext: () =>
        isReal
          ? lockContextOfThisProcess(this.clock, "machine")
          : { ...lockContext(), clock: this.clock },
      kdf: () => FAST_KDF,
      spawn: (role) => {
        if (role === "place") {
          return inThreadWorker((_, cells) => openPlaceThread(posix, cells, this.clock));
        }
        if (role === "repositoryLoad") {
          return inThreadWorker((argument, cells, ask) =>
            openRestoreLoader(posix, argument as RestoreLoaderStart, cells, ask, this.clock)
          );
        }
        assert.equal(role, "repositoryRestore");
        return inThreadWorker((argument, cells, ask) =>
          openRestoreThread(posix, argument as RestoreThreadStart, cells, ask, this.clock)
        );
      },
      kernels,
    };
  }

  /** What is stored at a place in memory. */
  memory(path: string): MemoryObjectStore {
    return this.stores.get(path)!;
  }

  async type(words: readonly string[], options: TypingOptions = {}): Promise<Typed> {
    const { answers, signals = fakeSignals(), env = {} } = options;
    const password = "password" in options ? options.password : PASSWORD;
    const terminal = fakeTerminal(answers === undefined ? {} : { answers });
    const verbs = repositoryVerbs(this.world);
    const no = () => Promise.reject(new BackupError("usage", "not for copies here"));
    const commands = [
      ...createRepositoryCommands(this.world),
      createLsCommand(no, verbs.ls),
      createFindCommand(no, verbs.find),
      createRestoreCommand(no, verbs.restore),
      createVerifyCommand(no, verbs.verify),
      createDrillCommand(no, verbs.drill),
      createVersionsCommand({ find: no, restore: no }, verbs.versions),
    ];
    const code = await runProgram(words, { version: "1", commands, roles: {} }, {
      terminal,
      signals,
      clock: this.clock,
      surroundings: fakeSurroundings({
        env: { ...(password === undefined ? {} : { RESTIC_PASSWORD: password }), ...env },
        home: undefined,
      }),
    });
    const { out, err } = terminal.written;
    const json = out.split("\n").filter((line) => /^[[{]/.test(line)).map((line) =>
      JSON.parse(line)
    );
    return { code, out, err, json };
  }

  #open(path: string, make: boolean): ObjectStore {
    if (!path.startsWith("/memory/")) {
      if (make) makeFolder(posix, path);
      return openLocalObjectStore(posix, path);
    }
    let store = this.stores.get(path);
    if (store === undefined) {
      if (!make) throw new BackupError("destination_missing", `${path} does not exist`, { path });
      store = new MemoryObjectStore(path);
      this.stores.set(path, store);
    }
    return store;
  }
}
