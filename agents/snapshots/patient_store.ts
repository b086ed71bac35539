/**
 * A store that lets others have their turn. Rule: a store on a local disk never waits, so that timers and signals of this
 * thread would never be heard; between its calls they are.
 */
import type { Clock } from "../../protocol/base/clock.ts";
import type { ObjectStore } from "../destinations/object_store.ts";

/** Ctrl-C, progress and locks that are to be refreshed may wait so long. */
const TURN_MS = 40;

export function patientStore(store: ObjectStore, clock: Clock): ObjectStore {
  let turnEndsAtMs = clock.monotonicMs() + TURN_MS;
  const turn = async () => {
    if (clock.monotonicMs() < turnEndsAtMs) return;
    await clock.sleep(0);
    turnEndsAtMs = clock.monotonicMs() + TURN_MS;
  };
  const inTurn =
    <A extends unknown[], R>(act: (...args: A) => Promise<R>) => async (...args: A) => {
      await turn();
      return await act(...args);
    };
  return {
    display: store.display,
    put: inTurn((...args) => store.put(...args)),
    get: inTurn((...args) => store.get(...args)),
    getRange: inTurn((...args) => store.getRange(...args)),
    readBack: inTurn((...args) => store.readBack(...args)),
    stat: inTurn((...args) => store.stat(...args)),
    list: inTurn((...args) => store.list(...args)),
    remove: inTurn((...args) => store.remove(...args)),
    close: () => store.close(),
  };
}
