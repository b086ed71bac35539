/** The folders a worker may touch, from its options. */
import { BackupError } from "../base/errors.ts";
import { settingPath, type Settings } from "./settings.ts";
import type { Surroundings } from "./surroundings.ts";

/** All that an agent may touch. */
export interface Roots {
  /** Where sources may lie; empty: anywhere. */
  sources: readonly string[];
  /** Where destinations may lie; empty: anywhere. */
  destinations: readonly string[];
  /** Source roots by their labels. */
  labels: ReadonlyMap<string, string>;
}

const LABELLED = /^([A-Za-z0-9][\w.-]{0,99})=(.+)$/s;

/** @throws {BackupError} `usage` for a label that is given twice. */
export function readRoots(settings: Settings, at: Surroundings): Roots {
  const labels = new Map<string, string>();
  const root = settings.get("root");
  const sources = root.value.map((text) => {
    const [, label, folder] = LABELLED.exec(text) ?? [];
    const path = settingPath(folder ?? text, root, at);
    if (label !== undefined) {
      if (labels.has(label)) {
        throw new BackupError("usage", `The root ${label} is given twice`, {
          hint: "Give each root a label of its own",
        });
      }
      labels.set(label, path);
    }
    return path;
  });
  const dest = settings.get("destRoot");
  const destinations = dest.value.map((text) => settingPath(text, dest, at));
  return { sources, destinations, labels };
}
