/** Files below index/: packs and their blobs. Rule: a pack is listed whole in one file; unknown fields are nobody's business. */
import * as v from "valibot";
import { IntegrityError } from "../../protocol/base/errors.ts";
import { isId } from "./object_id.ts";
import { Utf8Bytes } from "./utf8_bytes.ts";
import type { BlobType, PackedBlob } from "./pack_header.ts";

/** A new file begins when one has so many blobs, or is so old. */
export const INDEX_BLOBS_MAX = 50_000;

export interface IndexedPack {
  id: string;
  blobs: readonly PackedBlob[];
}

const BEGIN = '{"packs":[';
const U32_MAX = 2 ** 32 - 1;
const HEAD = v.object({
  packs: v.nullish(v.array(v.object({ id: v.string(), blobs: v.nullish(v.array(v.unknown())) }))),
});

/** With the newline that Go writes. */
export function encodeIndex(packs: readonly IndexedPack[]): Uint8Array {
  const encoder = new IndexEncoder();
  for (const pack of packs) encoder.add(pack);
  return encoder.finish();
}

const ENCODED_TOGETHER = 256;
/** Of a blob. */
export const INDEX_JSON_BYTES = 150;

/** Index files, one after the other, in the same memory. What is added is kept as bytes: there may be fifty thousand blobs. */
export class IndexEncoder {
  blobCount = 0;
  readonly #text: Utf8Bytes;

  /** `bytesFirst`: what the first file takes, if that is known. Growing to it leaves three times as much behind. */
  constructor(bytesFirst?: number) {
    this.#text = new Utf8Bytes(bytesFirst);
  }

  add({ id, blobs }: IndexedPack): void {
    const text = this.#text;
    text.add(`${text.length > 0 ? "," : BEGIN}{"id":"${id}","blobs":[`);
    for (let from = 0; from < blobs.length; from += ENCODED_TOGETHER) {
      let json = "";
      const end = Math.min(blobs.length, from + ENCODED_TOGETHER);
      for (let i = from; i < end; i++) {
        const { id, type, offset, lengthBytes, plainBytes } = blobs[i]!;
        const plain = plainBytes > 0 ? `,"uncompressed_length":${plainBytes}` : "";
        json += `${i > 0 ? "," : ""}{"id":"${id}","type":"${type}",` +
          `"offset":${offset},"length":${lengthBytes}${plain}}`;
      }
      text.add(json);
    }
    text.add("]}");
    this.blobCount += blobs.length;
  }

  /** The file, until another pack is added; the next one is empty. */
  finish(): Uint8Array {
    if (this.#text.length === 0) this.#text.add(BEGIN);
    this.#text.add("]}\n");
    this.blobCount = 0;
    return this.#text.take();
  }
}

/** @throws {BackupError} `damaged` */
export function* decodeIndex(json: Uint8Array, path: string): Generator<IndexedPack, void> {
  const damaged = (what: string, cause?: unknown) =>
    new IntegrityError(`${path} is no index: ${what}`, { path, cause });
  let packs: v.InferOutput<typeof HEAD>["packs"];
  try {
    packs = v.parse(HEAD, JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json))).packs;
  } catch (cause) {
    throw damaged("it cannot be read", cause);
  }
  for (const pack of packs ?? []) {
    if (!isId(pack.id)) throw damaged("a pack has no id");
    const blobs = (pack.blobs ?? []).map(readBlob);
    if (!blobs.every((blob) => blob !== undefined)) throw damaged(`a blob of pack ${pack.id}`);
    yield { id: pack.id, blobs };
  }
}

/** By hand: there may be a million, and a schema takes microseconds for each. */
function readBlob(value: unknown): PackedBlob | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { id, type, offset, length, uncompressed_length: plain = 0 } = value as Record<
    string,
    unknown
  >;
  if (typeof id !== "string" || !isId(id)) return undefined;
  if (type !== "data" && type !== "tree") return undefined;
  if (!isU32(offset) || !isU32(length) || !isU32(plain)) return undefined;
  return { type: type as BlobType, id, offset, lengthBytes: length, plainBytes: plain };
}

function isU32(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= U32_MAX;
}
