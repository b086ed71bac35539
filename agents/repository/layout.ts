/** Where things stand in a repository. Rule: restic's default layout; what is not named by 64 hex digits is nobody's. */
import { isId } from "./object_id.ts";

/** Files named by their hash. */
export type FileType = "key" | "lock" | "snapshot" | "index" | "pack";

export const CONFIG_NAME = "config";

/** What a person can do about a file of a repository that is damaged. */
export const REPAIR_HINT =
  "Where a replica has it, repair restic:PATH --from restic:OTHER puts it right";

const FOLDERS: Readonly<Record<FileType, string>> = {
  key: "keys",
  lock: "locks",
  snapshot: "snapshots",
  index: "index",
  pack: "data",
};

export function folderOf(type: FileType): string {
  return FOLDERS[type];
}

export function objectName(type: FileType, id: string): string {
  return type === "pack" ? `data/${id.slice(0, 2)}/${id}` : `${FOLDERS[type]}/${id}`;
}

/** The id of a listed object; undefined when it is not one of ours, or stands where it does not belong. */
export function idOfObject(type: FileType, name: string): string | undefined {
  const id = name.slice(name.lastIndexOf("/") + 1);
  return isId(id) && name === objectName(type, id) ? id : undefined;
}
