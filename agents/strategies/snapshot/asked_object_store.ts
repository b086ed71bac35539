/**
 * A repository's files as a thread sees them that must not touch its disk. Rule: every call is carried out by the thread of that
 * destination, so a disk that hangs holds up nobody who is not waiting for it.
 */
import type { ObjectInfo, ObjectStore, ReadBack } from "../../destinations/object_store.ts";
import type { Ask } from "../../threads/thread_rpc.ts";

/** One call of an `ObjectStore`, as it travels. */
export type StoreCall =
  | { call: "get"; name: string; maxBytes: number }
  | { call: "getRange"; name: string; offset: number; lengthBytes: number }
  | { call: "readBack"; name: string; maxBytes: number }
  | { call: "stat"; name: string }
  | { call: "list"; folder: string }
  | { call: "leftovers"; folder: string }
  | { call: "remove"; name: string }
  | { call: "put"; name: string; parts: Uint8Array[]; mustBeNew: boolean };

/** What a thread asks its owner for: a call at one of the destinations. */
export interface StoreRequest {
  destination: string;
  call: StoreCall;
}

export function askedObjectStore(ask: Ask, destination: string, display: string): ObjectStore {
  const at = <R>(call: StoreCall): Promise<R> =>
    ask<R>("store", { destination, call } satisfies StoreRequest);
  return {
    display,
    put: (name, parts, { mustBeNew = false } = {}) =>
      at<void>({ call: "put", name, parts: [...parts], mustBeNew }),
    get: (name, maxBytes) => at<Uint8Array>({ call: "get", name, maxBytes }),
    getRange: (name, offset, lengthBytes) =>
      at<Uint8Array>({ call: "getRange", name, offset, lengthBytes }),
    readBack: (name, maxBytes) => at<ReadBack>({ call: "readBack", name, maxBytes }),
    stat: (name) => at<ObjectInfo | undefined>({ call: "stat", name }),
    list: (folder) => at<ObjectInfo[]>({ call: "list", folder }),
    leftovers: (folder) => at<ObjectInfo[]>({ call: "leftovers", folder }),
    remove: (name) => at<void>({ call: "remove", name }),
    close() {},
  };
}

/** The other end: carries a call out. */
export function carryOut(store: ObjectStore, call: StoreCall): Promise<unknown> {
  switch (call.call) {
    case "get":
      return store.get(call.name, call.maxBytes);
    case "getRange":
      return store.getRange(call.name, call.offset, call.lengthBytes);
    case "readBack":
      return store.readBack(call.name, call.maxBytes);
    case "stat":
      return store.stat(call.name);
    case "list":
      return store.list(call.folder);
    case "leftovers":
      return store.leftovers(call.folder);
    case "remove":
      return store.remove(call.name);
    case "put":
      return store.put(call.name, call.parts, { mustBeNew: call.mustBeNew });
  }
}
