/**
 * Which files of a snapshot a drill restores. Rule: chance alone decides, every file's turn comes, and there is room for all that
 * are chosen; at least one is, if any can be.
 */
import { randomFraction } from "../../protocol/base/ids.ts";
import type { BlobReader, ByteString } from "../repository/mod.ts";
import { type Sample, ticketOf } from "./selection.ts";
import { walkSnapshot } from "./walk_snapshot.ts";

const TICKETS = 2 ** 32;

export interface DrawnSample {
  sample: Sample;
  files: number;
  bytes: number;
}

/** @param onFailure hears of trees that cannot be read */
export async function drawSample(
  reader: BlobReader,
  tree: string,
  { fraction, bytesMax, random = randomFraction, onFailure, signal }: {
    /** More than 0, at most 1. */
    fraction: number;
    bytesMax: number;
    random?: () => number;
    onFailure(path: string, error: unknown): void;
    signal: AbortSignal;
  },
): Promise<DrawnSample> {
  const seed = Math.floor(random() * TICKETS);
  const ticketMax = Math.ceil(fraction * TICKETS) - 1;
  const drawn = { files: 0, bytes: 0 };
  const except: ByteString[] = [];
  /** Too large: [path, ticket]. */
  const tooLarge: [ByteString, number][] = [];
  /** The first after those that are chosen, in case there are none. */
  let spare: { ticket: number; bytes: number } | undefined;
  for await (
    const { path, node } of walkSnapshot(reader, tree, {
      onFailure,
      skipsBadNames: true,
      signal,
    })
  ) {
    if (node.type !== "file") continue;
    const ticket = ticketOf(path, seed);
    const bytes = node.sizeBytes ?? 0;
    if (drawn.bytes + bytes > bytesMax) {
      if (ticket <= ticketMax) except.push(path);
      else if (spare === undefined || ticket <= spare.ticket) tooLarge.push([path, ticket]);
    } else if (ticket <= ticketMax) {
      drawn.files++;
      drawn.bytes += bytes;
    } else if (spare === undefined || ticket < spare.ticket) spare = { ticket, bytes };
  }
  if (drawn.files > 0 || spare === undefined) {
    return { ...drawn, sample: { seed, ticketMax, except } };
  }
  const { ticket, bytes } = spare;
  const passed = tooLarge.filter((one) => one[1] <= ticket).map(([path]) => path);
  const sample = { seed, ticketMax: ticket, except: [...except, ...passed] };
  return { files: 1, bytes, sample };
}
