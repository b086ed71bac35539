/** The files that were handled last, over all destinations. Rule: pure; a file is named once, with what each destination did to it. */
import type { RecentFile } from "../../protocol/mesh/run.ts";
import type { ProgressEvent, ProgressModel } from "./model.ts";

/** S1-47. */
export const RECENT_FILES_SHOWN = 15;
const RECENT_FILES_KEPT = 300;

export function withRecentFiles(
  model: ProgressModel,
  { lanes, atMs = 0 }: Extract<ProgressEvent, { kind: "lanes" }>,
): ProgressModel {
  if (lanes.every(({ recentFiles }) => recentFiles === undefined)) return model;
  const byPath = new Map(model.recentFiles.map((file) => [file.path, file]));
  const touched: RecentFile[] = [];
  for (const { destination, recentFiles = [] } of lanes) {
    for (const { path, sizeBytes, mark } of recentFiles) {
      const known = byPath.get(path);
      const file = { path, sizeBytes, atMs, marks: { ...known?.marks, [destination]: mark } };
      byPath.set(path, file);
      touched.push(file);
    }
  }
  const newest = new Map<string, RecentFile>();
  for (const { path } of touched.reverse()) newest.set(path, byPath.get(path)!);
  const rest = model.recentFiles.filter(({ path }) => !newest.has(path));
  return { ...model, recentFiles: [...newest.values(), ...rest].slice(0, RECENT_FILES_KEPT) };
}
