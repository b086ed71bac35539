/**
 * The places copies go to, as people keep them here. Rule: forgetting one touches nothing that is there, and what is said of
 * its room was looked at, with the time it was.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import { BackupError } from "../../protocol/base/errors.ts";
import { newId } from "../../protocol/base/ids.ts";
import type { StoredPlace } from "../../protocol/mesh/console_documents.ts";
import type { PlaceCard } from "../../protocol/mesh/console_state.ts";
import { InspectPlace } from "../../protocol/mesh/place_methods.ts";
import type { AgentReach } from "../mesh/mesh_coordinator.ts";
import type { JobStore } from "../store/job_store.ts";
import { askAgent } from "./asking.ts";
import { chooseAgent } from "./choose_agent.ts";
import { kindOfPlace } from "./job_of_request.ts";
import type { Verifications } from "./verifications.ts";

type Found = Awaited<
  ReturnType<typeof askAgent<typeof InspectPlace.params, typeof InspectPlace.result>>
>;

export interface Places {
  cards(): PlaceCard[];
  add(wanted: {
    path: string;
    label?: string;
    hostId?: string;
    limitBytesPerSecond?: number;
  }): PlaceCard;
  /** Asks an agent that can reach it. */
  test(place: string, writes: boolean): Promise<{ found: Found; agentName: string }>;
  forget(placeId: string): boolean;
  /** A known place by its id, or any absolute path of the coordinator's machine. @throws {BackupError} `not_found` */
  find(place: string): { path: string; hostId: string; label: string };
  /** Looks at the room of all places anew, one after the other; for while somebody looks. Never rejects. */
  look(): Promise<void>;
}

export function createPlaces(deps: {
  store: JobStore;
  clock: Clock;
  hostId: string;
  reach(): AgentReach;
  verifications: Verifications;
}): Places {
  const { store, clock, hostId, verifications } = deps;
  const rooms = new Map<string, Pick<PlaceCard, "freeBytes" | "totalBytes" | "lookedAtMs">>();
  let isLooking = false;

  function cardOf(place: StoredPlace): PlaceCard {
    const room = rooms.get(place.placeId) ??
      { freeBytes: null, totalBytes: null, lookedAtMs: null };
    return { ...place, ...room, ...verifications.of(kindOfPlace(place.path).path) };
  }

  function find(place: string): { path: string; hostId: string; label: string } {
    const known = store.document("place", place) ??
      store.documents("place").find((p) => p.path === place);
    if (known !== undefined) return known;
    if (/^(?:restic:)?\//.test(place)) return { path: place, hostId, label: place };
    throw new BackupError("not_found", `No place ${place} is known`);
  }

  async function test(place: string, writes: boolean) {
    const { path, hostId } = find(place);
    const reach = deps.reach();
    const agent = chooseAgent(reach.views(), { hostId });
    const folder = kindOfPlace(path).path;
    const found = await askAgent({ reach, clock }, agent, InspectPlace, { path: folder, writes });
    const known = store.documents("place").find((p) => p.path === path && p.hostId === hostId);
    if (known !== undefined) {
      const { freeBytes, totalBytes } = found;
      const before = rooms.get(known.placeId);
      const isNews = before?.freeBytes !== freeBytes || before.totalBytes !== totalBytes;
      // As long as it is the same, nobody needs to hear of it.
      if (isNews) {
        rooms.set(known.placeId, { freeBytes, totalBytes, lookedAtMs: Math.round(clock.nowMs()) });
      }
    }
    return { found, agentName: reach.nameOf(agent.agentId) };
  }

  return {
    cards: () => store.documents("place").map(cardOf),
    add({ path: typed, label, hostId: of = hostId, limitBytesPerSecond }) {
      const path = typed.replace(/(?<=.)\/+$/, "");
      const places = store.documents("place");
      const before = places.find((p) => p.path === path && p.hostId === of);
      const name = label ?? before?.label ?? path;
      if (places.some((p) => p.label === name && p !== before)) {
        throw new BackupError("usage", `Another place is named ${name}`, {
          hint: "Give it a name of its own",
        });
      }
      const limit = limitBytesPerSecond ?? before?.limitBytesPerSecond;
      const place: StoredPlace = {
        placeId: before?.placeId ?? newId("place"),
        label: name,
        path,
        hostId: of,
        addedAtMs: before?.addedAtMs ?? Math.round(clock.nowMs()),
        ...(limit === undefined ? {} : { limitBytesPerSecond: limit }),
      };
      store.transact((tx) => tx.putDocument("place", place.placeId, place));
      return cardOf(place);
    },
    test,
    forget(placeId) {
      rooms.delete(placeId);
      return store.transact((tx) => tx.dropDocument("place", placeId));
    },
    find,
    async look() {
      if (isLooking) return;
      isLooking = true;
      try {
        for (const { placeId } of store.documents("place")) {
          // One that is away, or whose machine is, says nothing about the others.
          await test(placeId, false).catch(() => rooms.delete(placeId));
        }
      } catch {
        // The store cannot be read: whoever asks it for more is told.
      } finally {
        isLooking = false;
      }
    },
  };
}
