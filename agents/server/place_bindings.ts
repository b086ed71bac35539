/**
 * What an agent answers about the places it can reach. Rule: each question has threads of its own, since any disk may hang,
 * and at most so many are answered at once.
 */
import { Buffer } from "node:buffer";
import type * as v from "valibot";
import { homedir } from "node:os";
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import {
  isRepositoryAddress,
  parseRepositoryAddress,
} from "../../protocol/cli/repository_address.ts";
import type { SecretSource } from "../../protocol/cli/secret_source.ts";
import type { KeyNames } from "../../protocol/mesh/job.ts";
import * as places from "../../protocol/mesh/place_methods.ts";
import { toRpcFailure } from "../../protocol/mesh/rpc_failure.ts";
import { type Binding, type EventStream, onCall, onStream } from "../../protocol/rpc/method.ts";
import type { ListedFolder } from "../places/list_directories.ts";
import type { PlaceThreadStart } from "../places/place_thread.ts";
import type { ListedEntry } from "../strategies/mirror/restore/listing.ts";
import { listStored } from "../strategies/mirror/restore/list_stored.ts";
import { openStoredReader, type StoredReader } from "../strategies/mirror/restore/stored_reader.ts";
import { openStoreInThread } from "../strategies/snapshot/mod.ts";
import { openRepositoryBrowser, type RepositoryBrowser } from "../snapshots/browse.ts";
import { createKernels, type Kernels } from "../kernels/mod.ts";
import { ThreadClient } from "../threads/thread_rpc.ts";
import { ThreadWatch } from "../threads/thread_watch.ts";
import { keySourcesOf, namedKeysOf } from "../worker/named_keys.ts";
import { refuseOutside, type Roots } from "../worker/roots.ts";
import type { TaskFiles } from "../worker/task_files.ts";

export interface PlaceBindingsDeps {
  roots: Roots;
  secrets: ReadonlyMap<string, SecretSource>;
  clock: Clock;
  spawn: (role: string) => Worker;
  /** @throws {BackupError} `not_found` */
  files(taskId: string, offset: number, limit: number): TaskFiles;
}

const OPERATION_TIMEOUT_MS = 20_000;
/** Questions that have threads of their own. */
const QUESTIONS_AT_ONCE_MAX = 16;

export function placeBindings(deps: PlaceBindingsDeps): Binding[] {
  const { roots, secrets, clock, spawn } = deps;
  let open = 0;
  let kernels: Kernels | undefined;

  function enter(): () => void {
    if (open >= QUESTIONS_AT_ONCE_MAX) {
      throw new BackupError("rejected", "Too many look at this agent's places already", {
        retry: "later",
      });
    }
    open++;
    let isOver = false;
    return () => {
      if (!isOver) open--;
      isOver = true;
    };
  }

  /** With what is expected to fail told by name. */
  async function told<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      throw toRpcFailure(thrown);
    }
  }

  const counted = <T>(work: () => Promise<T>): Promise<T> =>
    told(async () => {
      const leave = enter();
      try {
        return await work();
      } finally {
        leave();
      }
    });

  async function onPlaceThread<T>(
    method: string,
    argument: unknown,
    path: string,
    allowed: readonly string[],
  ): Promise<T> {
    const watch = new ThreadWatch(clock, OPERATION_TIMEOUT_MS);
    const thread = new ThreadClient(
      spawn("place"),
      { roots: allowed } satisfies PlaceThreadStart,
    );
    watch.add(thread, path);
    try {
      return await thread.call<T>(method, argument);
    } finally {
      watch.close();
      thread.close();
    }
  }

  function reader(destinations: readonly string[], keys: KeyNames = {}): Promise<StoredReader> {
    for (const path of destinations) refuseOutside(path, roots.destinations);
    return openStoredReader({
      destinations,
      roots: roots.destinations,
      keys: keySourcesOf(secrets, keys),
      timeoutMs: OPERATION_TIMEOUT_MS,
      clock,
    }, spawn);
  }

  async function browser(address: string, names: KeyNames = {}): Promise<RepositoryBrowser> {
    const { path } = parseRepositoryAddress(address, "/");
    refuseOutside(path, roots.destinations);
    const credentials = (await namedKeysOf(secrets)(names)).repository(path);
    if (credentials === undefined) {
      throw new BackupError("wrong_key", `${address} needs a password`, {
        hint: "Name the secret of this agent that holds it, as repositoryPassword",
      });
    }
    const store = await openStoreInThread({
      path,
      make: false,
      timeoutMs: OPERATION_TIMEOUT_MS,
      roots: roots.destinations,
      clock,
      spawn,
    });
    const { signal } = new AbortController();
    return await openRepositoryBrowser({
      store,
      kernels: kernels ??= createKernels(),
      credentials,
      clock,
      signal,
    });
  }

  async function listRepository(
    { path, at, pattern, ignoreCase = false, offset, limit, keys }: v.InferOutput<
      typeof places.ListStored.params
    >,
  ): Promise<v.InferOutput<typeof places.ListStored.result>> {
    const opened = await browser(path, keys);
    try {
      const found: v.InferOutput<typeof places.StoredEntry>[] = [];
      if (pattern === undefined) found.push(...await opened.list(at));
      else {
        await opened.search(pattern, ignoreCase, (entry) => found.push(entry) <= offset + limit);
      }
      return {
        entries: found.slice(offset, offset + limit),
        hasMore: found.length > offset + limit,
        isThere: true,
        problems: opened.problems,
      };
    } finally {
      opened.close();
    }
  }

  return [
    onCall(
      places.ListDirectories,
      ({ path = roots.sources[0] ?? homedir(), withinMs }) =>
        counted(async () => {
          refuseOutside(path, roots.sources);
          const argument = { path, withinMs };
          const found = await onPlaceThread<ListedFolder>(
            ...["listDirectories", argument, path, roots.sources] as const,
          );
          const above = path === "/" ? null : path.replace(/\/+[^/]*$/, "") || "/";
          const isRoot = roots.sources.includes(path);
          return { path, parent: isRoot ? null : above, ...found };
        }),
    ),
    onCall(places.InspectPlace, ({ path, writes }) =>
      counted(async () => {
        refuseOutside(path, roots.destinations);
        const probeName = `.${newId("msg")}.backup-agent-test`;
        return await onPlaceThread(
          ...["inspectPlace", { path, writes, probeName }, path, roots.destinations] as const,
        );
      })),
    onCall(places.ListStored, (params) =>
      counted(async () => {
        const { path, at, pattern, ignoreCase = false, offset, limit, keys = {} } = params;
        if (isRepositoryAddress(path)) return await listRepository(params);
        refuseOutside(path, roots.destinations);
        const entries: ListedEntry[] = [];
        let seen = 0;
        let hasMore = false;
        const listed = await listStored({
          path,
          request: pattern === undefined
            ? { kind: "ls", path: at.replace(/^\/+|\/+$/g, ""), recursive: false }
            : { kind: "find", pattern, ignoreCase },
          keys: keySourcesOf(secrets, keys),
          roots: roots.destinations,
          timeoutMs: OPERATION_TIMEOUT_MS,
          onEntry(entry) {
            if (seen++ < offset) return true;
            hasMore = entries.length >= limit;
            if (!hasMore) entries.push(entry);
            return !hasMore;
          },
          signal: new AbortController().signal,
          clock,
        }, spawn);
        return {
          entries: entries.map(storedEntry),
          hasMore,
          isThere: listed.isThere || entries.length > 0,
          problems: [...listed.problems.map(({ message }) => message), ...listed.warnings],
        };
      })),
    onCall(
      places.CompareStored,
      ({ destinations, copies, offset, limit, keys }) =>
        counted(async () => {
          const opened = await reader(destinations, keys);
          try {
            return await opened.compare({ copies, offset, limit });
          } finally {
            opened.close();
          }
        }),
    ),
    onCall(
      places.ListTaskFiles,
      ({ taskId, offset, limit }) => told(() => deps.files(taskId, offset, limit)),
    ),
    onStream(places.ReadStored, ({ path, entry, keys }) =>
      told(async () => {
        const leave = enter();
        try {
          const content = isRepositoryAddress(path)
            ? await openStored(await browser(path, keys), entry)
            : await openCopied(await reader([path], keys), entry);
          return contentStream(content, entry, leave);
        } catch (thrown) {
          leave();
          throw thrown;
        }
      })),
  ];
}

/** One file, whatever it is stored in. */
interface OpenedContent {
  sizeBytes: number;
  /** Undefined at the end, when all of it was what is recorded. */
  next(): Promise<Uint8Array | undefined>;
  close(): void;
}

async function openCopied(opened: StoredReader, entry: string): Promise<OpenedContent> {
  try {
    const sizeBytes = await opened.openFile(entry);
    return { sizeBytes, next: () => opened.readFile(), close: () => opened.close() };
  } catch (thrown) {
    opened.close();
    throw thrown;
  }
}

async function openStored(opened: RepositoryBrowser, entry: string): Promise<OpenedContent> {
  try {
    const { sizeBytes, pieces } = await opened.open(entry);
    return {
      sizeBytes,
      next: async () => (await pieces.next()).value ?? undefined,
      close: () => opened.close(),
    };
  } catch (thrown) {
    opened.close();
    throw thrown;
  }
}

/** Nothing is read before it is asked for. */
function contentStream(
  opened: OpenedContent,
  entry: string,
  leave: () => void,
): EventStream<
  | { kind: "head"; name: string; sizeBytes: number }
  | { kind: "bytes"; base64: string }
  | { kind: "end" }
  | { kind: "broken"; message: string }
> {
  let hasHead = false;
  let isOver = false;
  const over = (): void => {
    isOver = true;
    opened.close();
    leave();
  };
  return {
    async next() {
      if (isOver) return { done: true, value: undefined };
      if (!hasHead) {
        hasHead = true;
        const name = entry.split("/").at(-1) ?? entry;
        return { done: false, value: { kind: "head", name, sizeBytes: opened.sizeBytes } };
      }
      try {
        const piece = await opened.next();
        if (piece !== undefined) {
          const base64 = Buffer.from(piece.buffer, piece.byteOffset, piece.length)
            .toString("base64");
          return { done: false, value: { kind: "bytes", base64 } };
        }
        over();
        return { done: false, value: { kind: "end" } };
      } catch (thrown) {
        over();
        const message = thrown instanceof Error ? thrown.message : String(thrown);
        return { done: false, value: { kind: "broken", message } };
      }
    },
    return() {
      if (!isOver) over();
      return Promise.resolve({ done: true, value: undefined });
    },
  };
}

function storedEntry(entry: ListedEntry) {
  const { path, type, sizeBytes, mtimeNs, verifiedAtMs, sha256, goneAtMs } = entry;
  return {
    path,
    type,
    sizeBytes: sizeBytes ?? null,
    mtimeMs: mtimeNs === undefined ? null : Number(BigInt(mtimeNs) / 1_000_000n),
    verifiedAtMs: verifiedAtMs ?? null,
    sha256: sha256 ?? null,
    isGone: goneAtMs !== undefined,
  };
}
