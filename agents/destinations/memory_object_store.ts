/** Objects in memory, for tests and dry runs. Rule: it passes the suite that every store passes. */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import {
  isTemporary,
  nameParts,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
} from "./object_store.ts";

export class MemoryObjectStore implements ObjectStore {
  readonly display: string;
  /** What is stored, open to tests that damage it. */
  readonly objects = new Map<string, Uint8Array>();

  constructor(display = "memory:") {
    this.display = display;
  }

  close(): void {}

  // deno-lint-ignore require-await -- the port is for slow places too
  async put(name: string, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<void> {
    nameParts(name);
    if (options.mustBeNew === true && this.objects.has(name)) {
      throw new BackupError("rejected", `${this.display}/${name} exists already`);
    }
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.objects.set(name, bytes);
  }

  // deno-lint-ignore require-await -- as above
  async get(name: string, maxBytes: number): Promise<Uint8Array> {
    const bytes = this.#require(name);
    if (bytes.length > maxBytes) {
      throw new IntegrityError(
        `${this.display}/${name} has ${bytes.length} bytes, it cannot have more than ${maxBytes}`,
        { path: `${this.display}/${name}` },
      );
    }
    return bytes.slice();
  }

  // deno-lint-ignore require-await -- as above
  async getRange(name: string, offset: number, lengthBytes: number): Promise<Uint8Array> {
    const bytes = this.#require(name);
    if (offset + lengthBytes > bytes.length) {
      throw new IntegrityError(
        `${this.display}/${name} is cut off: it ends at byte ${bytes.length}, ` +
          `byte ${offset + lengthBytes} must be there`,
        { path: `${this.display}/${name}` },
      );
    }
    return bytes.slice(offset, offset + lengthBytes);
  }

  async readBack(name: string, maxBytes: number) {
    return { bytes: await this.get(name, maxBytes), fromDisk: false };
  }

  // deno-lint-ignore require-await -- as above
  async stat(name: string): Promise<ObjectInfo | undefined> {
    nameParts(name);
    const bytes = this.objects.get(name);
    return bytes === undefined ? undefined : { name, sizeBytes: bytes.length };
  }

  // deno-lint-ignore require-await -- as above
  async list(folder: string): Promise<ObjectInfo[]> {
    return this.#below(folder).filter(({ name }) => !isTemporary(name));
  }

  // deno-lint-ignore require-await -- as above
  async leftovers(folder: string): Promise<ObjectInfo[]> {
    return this.#below(folder).filter(({ name }) => isTemporary(name));
  }

  // deno-lint-ignore require-await -- as above
  async remove(name: string): Promise<void> {
    nameParts(name);
    this.objects.delete(name);
  }

  #below(folder: string): ObjectInfo[] {
    const isIn = (name: string) =>
      folder === "" ? !name.includes("/") : name.startsWith(`${folder}/`);
    return [...this.objects].filter(([name]) => isIn(name))
      .map(([name, bytes]) => ({ name, sizeBytes: bytes.length }));
  }

  #require(name: string): Uint8Array {
    nameParts(name);
    const bytes = this.objects.get(name);
    if (bytes === undefined) {
      const path = `${this.display}/${name}`;
      throw new BackupError("not_found", `Cannot open ${path}: it does not exist`, { path });
    }
    return bytes;
  }
}
