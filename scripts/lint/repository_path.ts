/** Repository-relative paths for lint rules. Rule: one separator, no leading slash. */
import { fileURLToPath } from "node:url";

export const REPOSITORY_ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** `agents/queue/x.ts` for that file of this repository; undefined for files outside it. */
export function repositoryPath(filename: string): string | undefined {
  const path = filename.replaceAll("\\", "/");
  const root = REPOSITORY_ROOT.replaceAll("\\", "/");
  return path.startsWith(root) ? path.slice(root.length) : undefined;
}
