/** One pack against its name, its header, the index, and every blob in it. Rule: each wrong byte is found and named. */
import { IntegrityError } from "../../protocol/base/errors.ts";
import type { TakeRoom } from "../kernels/mod.ts";
import { openBlob } from "./blob_reader.ts";
import { idOf } from "./object_id.ts";
import { decodeHeader, headerLength, type PackedBlob } from "./pack_header.ts";
import type { SealingKey } from "./sealing_key.ts";

/** Nobody makes larger packs; the format allows 4 GiB. */
export const PACK_MAX_BYTES = 1 << 30;

/** The blobs that a pack's own header lists; undefined when it has none that can be read. */
export function readHeader(key: SealingKey, pack: Uint8Array): PackedBlob[] | undefined {
  if (pack.length < 4) return undefined;
  const length = headerLength(pack.subarray(-4), pack.length);
  if (length === undefined) return undefined;
  const plain = key.open(pack.subarray(pack.length - 4 - length, -4));
  return plain === undefined ? undefined : decodeHeader(plain);
}

/**
 * What is wrong with a pack, a sentence each; `indexed` is what the index says, in the order of offsets. Blobs are opened in
 * `room`, one after the other.
 */
export function verifyPack(
  key: SealingKey,
  { id, bytes: pack }: { id: string; bytes: Uint8Array },
  indexed: readonly PackedBlob[],
  room?: TakeRoom,
): string[] {
  const problems: string[] = [];
  if (idOf(pack) !== id) problems.push("its SHA-256 is not its name");
  const header = readHeader(key, pack);
  if (header === undefined) problems.push("its header cannot be read");
  else {
    const differs = header.length !== indexed.length ||
      header.some((blob, i) => !isSame(blob, indexed[i]!));
    if (differs) problems.push("its header and the index do not agree");
  }
  for (const blob of indexed) {
    const { offset, lengthBytes } = blob;
    if (offset + lengthBytes > pack.length) {
      problems.push(`blob ${blob.id} lies beyond its end`);
      continue;
    }
    try {
      openBlob(key, pack.subarray(offset, offset + lengthBytes), blob, room);
    } catch (error) {
      if (!(error instanceof IntegrityError)) throw error;
      problems.push(error.message);
    }
  }
  return problems;
}

function isSame(a: PackedBlob, b: PackedBlob): boolean {
  return a.id === b.id && a.type === b.type && a.offset === b.offset &&
    a.lengthBytes === b.lengthBytes && a.plainBytes === b.plainBytes;
}
