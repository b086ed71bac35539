/**
 * Directory hashes as ASC MHL 2.0 has them. Rule: `content` is the hash of the sorted hashes of what is in a folder,
 * whatever it is called; `structure` takes the names in as well; of an empty folder both are the hash of nothing.
 */
import { Buffer } from "node:buffer";
import { Xxh64 } from "./xxh64.ts";

export interface DirectoryHashes {
  content: string;
  structure: string;
}

/** One folder that is being gathered. */
export class DirectoryHasher {
  readonly #hash: Xxh64;
  readonly #contents: string[] = [];
  readonly #structures: string[] = [];

  /** `hash` may be shared by all: nothing is left in it between two calls. */
  constructor(hash: Xxh64) {
    this.#hash = hash;
  }

  addFile(name: Uint8Array, xxh64: string): void {
    this.addDirectory(name, { content: xxh64, structure: xxh64 });
  }

  addDirectory(name: Uint8Array, { content, structure }: DirectoryHashes): void {
    this.#contents.push(content);
    this.#hash.reset();
    this.#hash.update(name);
    this.#hash.update(Buffer.from(structure, "hex"));
    this.#structures.push(this.#hash.hex());
  }

  finish(): DirectoryHashes {
    return { content: this.#ofSorted(this.#contents), structure: this.#ofSorted(this.#structures) };
  }

  #ofSorted(hashes: string[]): string {
    this.#hash.reset();
    this.#hash.update(Buffer.from(hashes.sort().join(""), "hex"));
    return this.#hash.hex();
  }
}
