/**
 * Several replicas read as one store. Rule: one that does not answer soon is passed over for the next, and asked last from then on, so
 * that a disk that hangs holds up nobody who only reads.
 */
import type { Clock } from "../../../protocol/base/clock.ts";
import type { ObjectStore } from "../../destinations/object_store.ts";

/** A disk that spins up takes longer; nothing is lost when it is passed over. */
export const PATIENCE_MS = 1000;

/** For reading; everything else goes to the first. */
export function hedgedStore(stores: readonly ObjectStore[], clock: Clock): ObjectStore {
  let order = [...stores];
  const first = order[0]!;
  if (stores.length === 1) return first;

  async function ask<T>(call: (store: ObjectStore) => Promise<T>): Promise<T> {
    const over = new AbortController();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const asked = [...order];
    let failure: { thrown: unknown } | undefined;
    let open = 0;
    let next = 0;
    const start = (): void => {
      const store = asked[next++];
      if (store === undefined) return;
      open++;
      call(store).then((value) => {
        // Who was passed over comes last, until all others were.
        order = [store, ...order.filter((other) => other !== store)];
        resolve(value);
        over.abort();
      }, (thrown) => {
        failure ??= { thrown };
        open--;
        start();
        if (open === 0) {
          reject(failure.thrown);
          over.abort();
        }
      });
      clock.sleep(PATIENCE_MS, over.signal).then(start, () => {});
    };
    start();
    return await promise;
  }

  return {
    ...delegate(first),
    get: (name, maxBytes) => ask((store) => store.get(name, maxBytes)),
    getRange: (name, offset, lengthBytes) =>
      ask((store) => store.getRange(name, offset, lengthBytes)),
    stat: (name) => ask((store) => store.stat(name)),
  };
}

function delegate(store: ObjectStore): ObjectStore {
  return {
    display: store.display,
    put: (name, parts, options) => store.put(name, parts, options),
    get: (name, maxBytes) => store.get(name, maxBytes),
    getRange: (name, offset, lengthBytes) => store.getRange(name, offset, lengthBytes),
    readBack: (name, maxBytes, room) => store.readBack(name, maxBytes, room),
    stat: (name) => store.stat(name),
    list: (folder) => store.list(folder),
    leftovers: (folder) => store.leftovers(folder),
    remove: (name) => store.remove(name),
    close: () => {},
  };
}
