/** The door to repositories in restic's format. Rule: others import this file only. */
export { calibrate, type KdfParameters } from "./kdf.ts";
export { addKey, type ListedKey, listKeys, removeKey } from "./keys.ts";
export type { KeyOwner } from "./key_file.ts";
export {
  addReplicas,
  areReplicas,
  type Credentials,
  initRepositories,
  isRepository,
  type NewRepository,
  openRepository,
} from "./open_repository.ts";
export { type FileType, objectName } from "./layout.ts";
export { Repository } from "./repository.ts";
export type { RepositoryConfig } from "./repository_config.ts";
