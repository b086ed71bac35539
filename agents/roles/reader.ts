/** Walks and reads sources. */
import { ancestry } from "../destinations/identity.ts";
import { confine } from "../platform/confined_posix.ts";
import { goneInSource } from "../source/gone_in_source.ts";
import { movedInSource } from "../source/moved_in_source.ts";
import { Reader } from "../source/reader.ts";
import { scanSource } from "../source/scan.ts";
import type { Role } from "./role.ts";

export interface ReaderThreadStart {
  slots: SharedArrayBuffer;
  /** Where sources may lie; absent or empty: anywhere. */
  roots?: readonly string[];
}

export const role: Role = (raw, argument, cells) => {
  const { slots, roots } = argument as ReaderThreadStart;
  const posix = confine(raw, roots ?? []);
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
};
