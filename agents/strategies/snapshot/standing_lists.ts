/**
 * Indexes that stood at a replica before the run. Rule: one that several replicas have is read from a single one of them, so it is
 * asked of each before it is told as verified whether it has them whole too; without one, what it lists cannot be restored there.
 */
import type { ObjectInfo } from "../../destinations/object_store.ts";
import type { StoreCall } from "./asked_object_store.ts";
import type { FedLane, ReplicaFeed } from "./replica_feed.ts";

export interface LaneWithLists extends FedLane {
  store(call: StoreCall): Promise<unknown>;
  /** What is not there, or cannot be read, is not whole. */
  isWhole(name: string): Promise<boolean>;
}

export interface StandingLists {
  /** Names of those that were damaged, and are whole again. */
  mended: string[];
  /** Of those that no replica has whole. */
  broken: string[];
}

const INDEX = /^index\/[0-9a-f]{64}$/;

/** Looks at all that stand there but `seen`, and takes what is damaged from another replica. Nothing else is stored meanwhile. */
export async function mendLists(
  lane: LaneWithLists,
  feed: ReplicaFeed,
  seen: ReadonlySet<string>,
): Promise<StandingLists> {
  const found: StandingLists = { mended: [], broken: [] };
  const listed = await lane.store({ call: "list", folder: "index" }) as ObjectInfo[];
  for (const { name } of listed) {
    if (!INDEX.test(name) || seen.has(name) || await lane.isWhole(name)) continue;
    const isMended = await mend(lane, feed, name);
    (isMended ? found.mended : found.broken).push(name);
  }
  return found;
}

async function mend(lane: LaneWithLists, feed: ReplicaFeed, name: string): Promise<boolean> {
  let right;
  try {
    right = await feed.borrow(name, lane.key);
  } catch {
    return false;
  }
  await lane.put({ name, bytes: right.bytes });
  right.done();
  return await lane.isWhole(name);
}
