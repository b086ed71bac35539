/** A store that fails. Rule: as a crash does: from one change on nothing reaches it any more. */
import type {
  ObjectInfo,
  ObjectStore,
  PutOptions,
  ReadBack,
} from "../../agents/destinations/object_store.ts";
import { BackupError } from "../../protocol/base/errors.ts";

export class FaultyObjectStore implements ObjectStore {
  readonly display: string;
  readonly #inner: ObjectStore;
  /** Changes that still reach the store. */
  changesLeft = Infinity;
  changes: string[] = [];

  constructor(inner: ObjectStore) {
    this.#inner = inner;
    this.display = inner.display;
  }

  put(name: string, parts: readonly Uint8Array[], options?: PutOptions): Promise<void> {
    return this.#change(`put ${name}`, () => this.#inner.put(name, parts, options));
  }

  remove(name: string): Promise<void> {
    return this.#change(`remove ${name}`, () => this.#inner.remove(name));
  }

  get(name: string, maxBytes: number): Promise<Uint8Array> {
    return this.#inner.get(name, maxBytes);
  }

  getRange(name: string, offset: number, lengthBytes: number): Promise<Uint8Array> {
    return this.#inner.getRange(name, offset, lengthBytes);
  }

  readBack(name: string, maxBytes: number): Promise<ReadBack> {
    return this.#inner.readBack(name, maxBytes);
  }

  stat(name: string): Promise<ObjectInfo | undefined> {
    return this.#inner.stat(name);
  }

  list(folder: string): Promise<ObjectInfo[]> {
    return this.#inner.list(folder);
  }

  leftovers(folder: string): Promise<ObjectInfo[]> {
    return this.#inner.leftovers(folder);
  }

  close(): void {
    this.#inner.close();
  }

  async #change(what: string, make: () => Promise<void>): Promise<void> {
    if (this.changesLeft <= 0) throw new BackupError("destination_lost", `Gone before ${what}`);
    this.changesLeft--;
    this.changes.push(what);
    await make();
  }
}
