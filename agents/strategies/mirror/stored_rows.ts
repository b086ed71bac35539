/**
 * How the files of one task are stored at one destination: names, sizes and hashes by row. Rule: all threads of the
 * destination see the same, and only a task with a codec pays for it.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { KIND_FILE } from "../../platform/posix.ts";
import { type EntryTable, NONE, utf8OfLatin1 } from "../../source/entry_table.ts";
import { type Codec, createEncoder, encrypts } from "./codec/codec.ts";
import { parseRecipient, type Recipient } from "./codec/age_keys.ts";
import { storedName } from "./codec/stored_name.ts";
import { EncodedFile } from "./encoded_file.ts";
import type { ManifestEntry } from "./manifest_line.ts";
import type { StoredForm } from "./stored_fields.ts";
import { nameOf, storedContent, storedPathLatin1 } from "./stored_form.ts";

/** How a task's files are to be stored, when not as they are. */
export interface EncodingShare {
  codec: Codec;
  /** Public keys, `age1…`. */
  recipients: string[];
  /** What is encrypted for other recipients is stored again. */
  reencrypts?: boolean;
  /** `STORED_ROW_BYTES` an entry: what became of each file. */
  rows: SharedArrayBuffer;
}

const SIZE_BYTES = 8;
const HASH_BYTES = 32;
const RECIPIENTS_ID_CHARACTERS = 16;
export const STORED_ROW_BYTES = SIZE_BYTES + HASH_BYTES;

export class StoredRows {
  readonly codec: Codec;
  readonly #table: EntryTable;
  readonly #recipients: Recipient[];
  readonly #recipientsId: string | undefined;
  readonly #reencrypts: boolean;
  /** 0 where nothing is known: no stored file is empty. */
  readonly #sizes: Float64Array;
  readonly #hashes: Buffer;
  #taken: ReadonlySet<string> | undefined;

  constructor(table: EntryTable, share: EncodingShare) {
    this.#table = table;
    this.codec = share.codec;
    this.#recipients = share.recipients.map(parseRecipient);
    this.#recipientsId = encrypts(share.codec) ? recipientsId(share.recipients) : undefined;
    this.#reencrypts = share.reencrypts === true;
    const count = share.rows.byteLength / STORED_ROW_BYTES;
    this.#sizes = new Float64Array(share.rows, 0, count);
    this.#hashes = Buffer.from(share.rows, count * SIZE_BYTES);
  }

  /** Public keys; none where nothing is encrypted. */
  get recipients(): string[] {
    return this.#recipients.map((recipient) => recipient.text);
  }

  has(row: number): boolean {
    return this.#table.columns.kind[row] === KIND_FILE;
  }

  beginFile(): EncodedFile {
    return new EncodedFile(createEncoder({ codec: this.codec, recipients: this.#recipients }));
  }

  /** One byte a character. */
  name(row: number): string {
    const parent = this.#table.columns.parent[row]!;
    const taken = this.#taken ??= takenNames(this.#table, this.codec);
    return storedName(
      this.#table.nameLatin1(row),
      this.codec,
      (name) => taken.size > 0 && taken.has(takenKey(parent, name)),
    );
  }

  set(row: number, sizeBytes: number, sha256: string): void {
    this.#sizes[row] = sizeBytes;
    this.#hashes.write(sha256, row * HASH_BYTES, HASH_BYTES, "hex");
  }

  setFrom(row: number, entry: ManifestEntry): void {
    const { sizeBytes, sha256 } = storedContent(entry);
    if (sha256 !== undefined) this.set(row, sizeBytes, sha256);
  }

  sizeBytes(row: number): number {
    return this.#sizes[row]!;
  }

  sha256(row: number): string {
    return this.#hashes.toString("hex", row * HASH_BYTES, (row + 1) * HASH_BYTES);
  }

  /** For the manifest. A further name that is no file of its own has the stored bytes of its first name. */
  form(row: number): StoredForm {
    const first = this.#table.columns.linkTo[row]!;
    const from = this.#sizes[row] === 0 && first !== NONE ? first : row;
    return {
      codec: this.codec,
      name: this.name(row),
      sizeBytes: this.#sizes[from]!,
      sha256: this.sha256(from),
      recipientsId: this.#recipientsId,
    };
  }

  /** The file that `entry` records would be stored now as it is. */
  isStoredSo(row: number, entry: ManifestEntry): boolean {
    return entry.codec === this.codec && nameOf(storedPathLatin1(entry)) === this.name(row) &&
      (!this.#reencrypts || entry.storedFor === this.#recipientsId);
  }

  /** What it records is encrypted for the recipients of now. */
  isForSame(entry: ManifestEntry): boolean {
    return entry.storedFor === this.#recipientsId;
  }
}

/** The same for the same keys in any order: 16 hex digits, which tell nothing that the keys do not. */
export function recipientsId(recipients: readonly string[]): string {
  const text = [...new Set(recipients)].sort().join("\n");
  return createHash("sha256").update(text).digest("hex").slice(0, RECIPIENTS_ID_CHARACTERS);
}

/**
 * Names of folders, links and nodes that end as stored files do. In small letters, since there are destinations that do
 * not tell them apart.
 */
function takenNames(table: EntryTable, codec: Codec): Set<string> {
  const found = new Set<string>();
  const ending = `.${codec}`;
  const { kind, parent, nameLength } = table.columns;
  for (let i = 1; i < table.count; i++) {
    if (kind[i] === KIND_FILE || nameLength[i]! <= ending.length) continue;
    const name = table.nameLatin1(i);
    if (name.toLowerCase().endsWith(ending)) found.add(takenKey(parent[i]!, name));
  }
  return found;
}

function takenKey(parent: number, name: string): string {
  return `${parent}/${utf8OfLatin1(name).toLowerCase()}`;
}
