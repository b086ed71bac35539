/**
 * An opened repository: its files other than packs, sealed and opened. Rule: every file's name is checked against its
 * bytes before anything in it is believed, and a failure names the file.
 */
import { BackupError, IntegrityError } from "../../protocol/base/errors.ts";
import type { ObjectStore } from "../destinations/object_store.ts";
import type { Kernels, TakeRoom } from "../kernels/mod.ts";
import { COMPRESSION_LEVELS } from "./compression.ts";
import { type FileType, folderOf, idOfObject, objectName, REPAIR_HINT } from "./layout.ts";
import { idOf, shortId } from "./object_id.ts";
import type { RepositoryConfig } from "./repository_config.ts";
import { type KeyMaterial, SealingKey } from "./sealing_key.ts";

/** Files below index/, snapshots/, locks/. */
export type UnpackedType = Exclude<FileType, "key" | "pack">;

export interface StoredFile {
  id: string;
  sizeBytes: number;
}

/** Stored bytes of a file that is no pack. */
export const UNPACKED_MAX_BYTES = 256 << 20;
const PLAIN_MAX_BYTES = 512 << 20;
const VERSION_BYTE = 2;
const BRACE = 0x7b;
const BRACKET = 0x5b;

export interface OpenedKey {
  /** Of the key file that the password opened. */
  keyId: string;
  master: KeyMaterial;
}

export class Repository {
  readonly store: ObjectStore;
  readonly config: RepositoryConfig;
  readonly kernels: Kernels;
  readonly keyId: string;
  readonly master: KeyMaterial;
  readonly key: SealingKey;

  constructor(
    store: ObjectStore,
    kernels: Kernels,
    config: RepositoryConfig,
    { keyId, master }: OpenedKey,
  ) {
    this.store = store;
    this.config = config;
    this.kernels = kernels;
    this.keyId = keyId;
    this.master = master;
    this.key = new SealingKey(kernels, master);
  }

  /** As people see a file of it. */
  pathOf(type: FileType, id: string): string {
    return `${this.store.display}/${objectName(type, id)}`;
  }

  /** Every file of a type, in the order of ids. */
  async list(type: FileType): Promise<StoredFile[]> {
    const found: StoredFile[] = [];
    for (const { name, sizeBytes } of await this.store.list(folderOf(type))) {
      const id = idOfObject(type, name);
      if (id !== undefined) found.push({ id, sizeBytes });
    }
    return found.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** The plain JSON, in `room` where it is unpacked. @throws {BackupError} `damaged`, `not_found` */
  async load(type: UnpackedType, id: string, room?: TakeRoom): Promise<Uint8Array> {
    const path = this.pathOf(type, id);
    const stored = await this.store.get(objectName(type, id), UNPACKED_MAX_BYTES);
    if (idOf(stored) !== id) {
      throw new IntegrityError(`${path} is damaged: its SHA-256 is not its name`, {
        path,
        hint: REPAIR_HINT,
      });
    }
    const plain = this.key.open(stored);
    if (plain === undefined) {
      throw new IntegrityError(`${path} was not written with this repository's key`, { path });
    }
    if (plain[0] === BRACE || plain[0] === BRACKET) return plain;
    const json = plain[0] === VERSION_BYTE
      ? this.kernels.decompress(plain.subarray(1), PLAIN_MAX_BYTES, room)
      : undefined;
    if (json === undefined) {
      throw new IntegrityError(`${path} holds nothing that can be read`, { path });
    }
    return json;
  }

  /** Stores JSON as a new file, durable when this returns; its id. */
  async save(type: UnpackedType, json: Uint8Array): Promise<string> {
    const { id, bytes } = this.sealFile(json);
    await this.store.put(objectName(type, id), [bytes]);
    return id;
  }

  /** What `save` would store, for whoever stores it in several places. */
  sealFile(json: Uint8Array): { id: string; bytes: Uint8Array } {
    let plain = json;
    if (this.config.version > 1) {
      const packed = this.kernels.compress(json, COMPRESSION_LEVELS.auto);
      plain = new Uint8Array(packed.length + 1);
      plain[0] = VERSION_BYTE;
      plain.set(packed, 1);
    }
    const bytes = this.key.seal(plain);
    return { id: idOf(bytes), bytes };
  }

  remove(type: FileType, id: string): Promise<void> {
    return this.store.remove(objectName(type, id));
  }

  /** The one file whose id begins with `prefix`. @throws {BackupError} `not_found`, `usage` when there are several */
  async find(type: FileType, prefix: string): Promise<string> {
    const ids = (await this.list(type)).map(({ id }) => id).filter((id) => id.startsWith(prefix));
    if (ids.length === 1 && prefix !== "") return ids[0]!;
    if (ids.length === 0) {
      const lists = { snapshot: "snapshots", key: "key list" }[type as string];
      throw new BackupError(
        "not_found",
        `No ${type} ${prefix} in ${this.store.display}`,
        lists === undefined ? {} : { hint: `${lists} restic:PATH shows their ids` },
      );
    }
    const few = ids.slice(0, 4).map(shortId).join(", ");
    throw new BackupError("usage", `${type} ${prefix} is not the only one of its kind: ${few}`, {
      hint: "Give more digits",
    });
  }
}
