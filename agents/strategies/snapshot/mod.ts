/** The door to snapshots of this machine's files. Rule: others import this file only. */
export { type AccountNames, readAccountNames } from "./account_names.ts";
export { type ArchiveOptions, archiveSource, type ReadingAgain } from "./archive_source.ts";
export { askedObjectStore, carryOut, type StoreRequest } from "./asked_object_store.ts";
export { type Temporaries, temporariesOf } from "./restore_temporaries.ts";
export { lockContextOfThisProcess } from "./lock_context.ts";
export {
  mayStay,
  openRestoreTarget,
  type Overwrite,
  type Place,
  type TargetOptions,
} from "./posix_target.ts";
export {
  Encoders,
  ENCODERS_BUDGET_BYTES,
  type EncoderThreads,
  type EncoderThreadsOptions,
  startEncoderThreads,
} from "./encoders.ts";
export { splitDevice } from "./node_of_stat.ts";
export { type ArchiveThreadStart, openArchiveThread } from "./archive_thread.ts";
export { RepositoryLane, type RepositoryLaneDeps } from "./repository_lane.ts";
export {
  type NewFiles,
  openRepositoryThread,
  type RepositoryInspection,
  type RepositoryThreadStart,
} from "./repository_thread.ts";
export { NO_JOURNAL, openSnapshotJournal, type SnapshotJournal } from "./snapshot_journal.ts";
export { type LaneWork, SnapshotGroup, type SnapshotGroupDeps } from "./snapshot_group.ts";
export {
  makeFolder,
  openStoreInThread,
  openStoreThread,
  type StoreThreadStart,
} from "./store_thread.ts";
