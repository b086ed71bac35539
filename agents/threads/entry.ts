/** What a Web Worker started by `spawnThread` becomes. Rule: `onmessage` is set before anything is awaited. */
import { systemClock } from "../../protocol/base/clock.ts";
import { randomFraction } from "../../protocol/base/ids.ts";
import { ancestry } from "../destinations/identity.ts";
import { confine } from "../platform/confined_posix.ts";
import { openPlaceThread, type PlaceThreadStart } from "../places/place_thread.ts";
import { openPosix } from "../platform/open_posix.ts";
import { type Posix } from "../platform/posix.ts";
import { goneInSource } from "../source/gone_in_source.ts";
import { movedInSource } from "../source/moved_in_source.ts";
import {
  openRestoreThread as openRepositoryRestoreThread,
  type RestoreThreadStart as RepositoryRestoreThreadStart,
} from "../snapshots/restore_thread.ts";
import { Reader } from "../source/reader.ts";
import { scanSource } from "../source/scan.ts";
import { type LaneThreadStart, openLaneThread } from "../strategies/mirror/lane_thread.ts";
import {
  openRestoreThread,
  type RestoreThreadStart,
} from "../strategies/mirror/restore/restore_thread.ts";
import {
  type EncoderThreadStart,
  openEncoderThread,
} from "../strategies/snapshot/encoder_thread.ts";
import {
  type ArchiveThreadStart,
  openArchiveThread,
  openRepositoryThread,
  openStoreThread,
  type RepositoryThreadStart,
  type StoreThreadStart,
} from "../strategies/snapshot/mod.ts";
import {
  type Ask,
  type DedicatedScope,
  type Methods,
  serveThread,
  type ThreadCells,
} from "./thread_rpc.ts";

export interface ReaderThreadStart {
  slots: SharedArrayBuffer;
  /** Where sources may lie; absent or empty: anywhere. */
  roots?: readonly string[];
}

export type Role = (posix: Posix, argument: unknown, cells: ThreadCells, ask: Ask) => Methods;

/** What a thread can be; each role makes its method table over the platform port it is given. */
export const THREAD_ROLES: Readonly<Record<string, Role>> = {
  reader: (posix, argument, cells) => {
    const { slots, roots } = argument as ReaderThreadStart;
    posix = confine(posix, roots ?? []);
    const reader = new Reader(posix, slots, cells);
    return {
      ancestry: (path) => ancestry(posix, path),
      scan: (request) => scanSource(posix, request, cells),
      goneInSource: (request) => goneInSource(posix, request, cells),
      movedInSource: (request) => movedInSource(posix, request, cells),
      addSource: (request) => reader.addSource(request),
      readFiles: (request) => reader.readFiles(request),
      openStream: (request) => reader.openStream(request),
      readStream: (request) => reader.readStream(request),
      closeStream: (request) => reader.closeStream(request),
      readPart: (request) => reader.readPart(request),
      removeSource: (request) => reader.removeSource(request),
    };
  },
  lane: (posix, argument, cells) =>
    openLaneThread(
      confined(posix, argument as LaneThreadStart),
      argument as LaneThreadStart,
      cells,
      systemClock,
      {
        uid: Deno.uid() ?? -1,
        gid: Deno.gid() ?? -1,
      },
    ),
  encoder: (posix, argument, cells) =>
    openEncoderThread(posix, argument as EncoderThreadStart, cells),
  restore: (posix, argument, cells) =>
    openRestoreThread(
      confine(posix, (argument as RestoreThreadStart).roots ?? []),
      argument as RestoreThreadStart,
      cells,
      { uid: Deno.uid() ?? -1, gid: Deno.gid() ?? -1 },
      randomFraction,
    ),
  place: (posix, argument, cells) =>
    openPlaceThread(confine(posix, (argument as PlaceThreadStart).roots), cells, systemClock),
  repository: (posix, argument, cells) =>
    openRepositoryThread(posix, argument as RepositoryThreadStart, cells, systemClock),
  store: (posix, argument, cells) =>
    openStoreThread(
      confine(posix, (argument as StoreThreadStart).roots ?? []),
      argument as StoreThreadStart,
      cells,
    ),
  archive: (posix, argument, cells, ask) =>
    openArchiveThread(posix, argument as ArchiveThreadStart, cells, ask, systemClock),
  repositoryRestore: (posix, argument, cells, ask) =>
    openRepositoryRestoreThread(
      posix,
      argument as RepositoryRestoreThreadStart,
      cells,
      ask,
      systemClock,
    ),
};

function confined(posix: Posix, { roots }: LaneThreadStart): Posix {
  return confine(posix, roots ?? []);
}

/** Called by the entry module when it finds itself inside a worker. */
export function startThread(role: string): void {
  const open = THREAD_ROLES[role];
  if (open === undefined) throw new TypeError(`Unknown thread role: ${role}`);
  serveThread(
    globalThis as unknown as DedicatedScope,
    (argument, cells, ask) => open(openPosix(), argument, cells, ask),
  );
}
