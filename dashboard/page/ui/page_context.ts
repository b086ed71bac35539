/** What every view may use. Rule: given once by main.tsx; views hold no connection of their own. */
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Clock } from "../../../protocol/base/clock.ts";
import type { ApiClient } from "../../api_client.ts";
import type { Action } from "../actions.ts";
import type { Notes } from "./toast.tsx";

export interface PageTools {
  api: ApiClient;
  notes: Notes;
  clock: Pick<Clock, "sleep">;
  /** Shows the action as a command and as a request. */
  showAsCommand(action: Action): void;
  chooseRun(runId: string): void;
}

export const PageContext = createContext<PageTools | null>(null);

export function usePage(): PageTools {
  const tools = useContext(PageContext);
  if (tools === null) throw new TypeError("Views are drawn inside of the page");
  return tools;
}
