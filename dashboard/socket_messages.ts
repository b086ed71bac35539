/** What is said over `/ws`. Rule: schemas, so that the page and every other reader know what they get by type. */
import * as v from "valibot";
import { ConsoleEvent } from "../protocol/mesh/console_state.ts";

/**
 * To a reader: a snapshot, then changes, each with a `seq` one above that of the message before it. A reader that finds a
 * gap asks to be resynchronised; one that reads too slowly is given a snapshot by itself. `away`: the coordinator does not
 * answer; a snapshot follows when it does again.
 */
export const SocketMessage = v.variant("kind", [
  ...ConsoleEvent.options,
  v.object({ kind: v.literal("away"), seq: v.number(), atMs: v.number(), reason: v.string() }),
]);
export type SocketMessage = v.InferOutput<typeof SocketMessage>;

/** From a reader. */
export const ReaderMessage = v.object({ kind: v.literal("resync") });
export type ReaderMessage = v.InferOutput<typeof ReaderMessage>;
