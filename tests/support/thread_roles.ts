/** All that a thread can be, in the thread of a test. */
import { role as archive } from "../../agents/roles/archive.ts";
import { role as encoder } from "../../agents/roles/encoder.ts";
import { role as lane } from "../../agents/roles/lane.ts";
import { role as packs } from "../../agents/roles/packs.ts";
import { role as place } from "../../agents/roles/place.ts";
import { role as reader } from "../../agents/roles/reader.ts";
import { role as repository } from "../../agents/roles/repository.ts";
import { role as repositoryLoad } from "../../agents/roles/repository_load.ts";
import { role as repositoryRestore } from "../../agents/roles/repository_restore.ts";
import { role as restore } from "../../agents/roles/restore.ts";
import { role as store } from "../../agents/roles/store.ts";
import type { Role } from "../../agents/roles/role.ts";

export const THREAD_ROLES: Readonly<Record<string, Role>> = {
  reader,
  lane,
  encoder,
  restore,
  place,
  repository,
  store,
  archive,
  packs,
  repositoryLoad,
  repositoryRestore,
};
