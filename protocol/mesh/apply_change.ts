/** What a change does to the picture. Rule: types only are imported, as this is a part of the page too. */
import type { ConsoleChange, ConsoleCollection, ConsoleState } from "./console_state.ts";

/** The state after a change; what has not changed is the same object. */
export function applyChange(state: ConsoleState, change: ConsoleChange): ConsoleState {
  const next: ConsoleState = { ...state, coordinator: change.coordinator ?? state.coordinator };
  const names = new Set([...Object.keys(change.put), ...Object.keys(change.gone)]);
  for (const name of names as Set<ConsoleCollection>) {
    const rows: Record<string, unknown> = { ...state[name], ...change.put[name] };
    for (const id of change.gone[name] ?? []) delete rows[id];
    Object.assign(next, { [name]: rows });
  }
  return next;
}
