/** All that a thread can be, in the thread of a test. */
import { role as archive } from "../../agents/threads/roles/archive.ts";
import { role as encoder } from "../../agents/threads/roles/encoder.ts";
import { role as lane } from "../../agents/threads/roles/lane.ts";
import { role as place } from "../../agents/threads/roles/place.ts";
import { role as reader } from "../../agents/threads/roles/reader.ts";
import { role as repository } from "../../agents/threads/roles/repository.ts";
import { role as repositoryRestore } from "../../agents/threads/roles/repository_restore.ts";
import { role as restore } from "../../agents/threads/roles/restore.ts";
import { role as store } from "../../agents/threads/roles/store.ts";
import type { Role } from "../../agents/threads/role.ts";

export const THREAD_ROLES: Readonly<Record<string, Role>> = {
  reader,
  lane,
  encoder,
  restore,
  place,
  repository,
  store,
  archive,
  repositoryRestore,
};
