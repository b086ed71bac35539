/** The door to repositories in restic's format. Rule: others import this file only. */
export { BlobEncoder, type BlobEncoderOptions } from "./blob_encoder.ts";
export { BlobIndex, NO_ROW, type SharedIndex } from "./blob_index.ts";
export { BlobReader, type BlobReaderOptions, WINDOWS_FOR_TREES } from "./blob_reader.ts";
export type { BlobSource, WantedBlobs, WantedTree } from "./blob_source.ts";
export { BlobWriter, type BlobWriterOptions, type PackSink, sinkOf } from "./blob_writer.ts";
export {
  type CheckCounts,
  type CheckOptions,
  checkRepository,
  type PackReaders,
  type PackToRead,
  parseReadDataSubset,
  type Problem,
  type ReadData,
  readPack,
} from "./check.ts";
export {
  CHUNK_MAX_BYTES,
  CHUNK_MIN_BYTES,
  Chunker,
  CutSelector,
  cutsOf,
  findFitRuns,
  type FitRun,
} from "./chunker.ts";
export { type Compression, COMPRESSION_LEVELS } from "./compression.ts";
export { findParent } from "./find_parent.ts";
export {
  applyPolicy,
  type Bucket,
  type ForgetDecision,
  type GroupBy,
  groupSnapshots,
  isEmptyPolicy,
  type KeepDuration,
  type KeepPolicy,
  parseKeepDuration,
  type SnapshotGroup,
} from "./forget.ts";
export { bytesOf, type ByteString, byteStringOf, showBytes, utf8ByteString } from "./go_json.ts";
export { fromGoMode, toGoMode } from "./go_mode.ts";
export {
  compareTimes,
  formatFraction,
  formatTime,
  type Instant,
  instantOfMs,
  localZone,
  msOf,
  parseTime,
  type Zone,
} from "./go_time.ts";
export { calibrate, type KdfParameters } from "./kdf.ts";
export { addKey, type ListedKey, listKeys, removeKey } from "./keys.ts";
export { IndexColumns } from "./index_columns.ts";
export type { KeyOwner } from "./key_file.ts";
export { type FileType, idOfObject, objectName } from "./layout.ts";
export { decodeIndex, encodeIndex, INDEX_BLOBS_MAX, type IndexedPack } from "./index_file.ts";
export { removeLeftoversOfDead, writerOf } from "./leftovers.ts";
export { INDEX_BYTES_A_BLOB, keptRoom, type LoadedIndex, loadIndex } from "./load_index.ts";
export { describeLock } from "./lock_file.ts";
export type { IsAlive, LockFile, LockOwner, ProcessIdentity } from "./lock_file.ts";
export { idOf, shortId } from "./object_id.ts";
export {
  addReplicas,
  addReplicaWithKey,
  areReplicas,
  type Credentials,
  finishRepository,
  holdsReplica,
  initRepositories,
  isRepository,
  type NewRepository,
  openRepository,
} from "./open_repository.ts";
export {
  type FinishedPack,
  type LooseBlobs,
  newPackRoom,
  PACK_TARGET_BYTES,
} from "./pack_builder.ts";
export { pruneRepository, type PruneRun } from "./prune.ts";
export type { MaxUnused, PruneCounts, PruneOptions, PrunePlan } from "./prune_plan.ts";
export { type RepairCounts, type RepairOptions, repairReplica } from "./repair.ts";
export { replaceIndex } from "./replace_index.ts";
export { repairConfig, restoreIndex, restoreKey } from "./repair_with_key.ts";
export { type ReplicateCounts, replicateSnapshots } from "./replicate.ts";
export type { BlobType, PackedBlob } from "./pack_header.ts";
export { type OpenedKey, Repository } from "./repository.ts";
export type { RepositoryConfig, RepositoryVersion } from "./repository_config.ts";
export {
  type LockContext,
  type LockOptions,
  lockRepository,
  readLocks,
  RepositoryLock,
  unlockRepository,
} from "./repository_lock.ts";
export { DEPTH_MAX } from "./restore_plan.ts";
export {
  type RestoreCounts,
  type RestoreOptions,
  restoreTree,
  type TargetFile,
  type TargetFolder,
} from "./restorer.ts";
export { type KeyMaterial, SealingKey } from "./sealing_key.ts";
export { sealSnapshot, type SnapshotFacts, storeSnapshot } from "./save_snapshot.ts";
export {
  type BuilderCounts,
  type BuilderOptions,
  type FileContent,
  type FileNode,
  type PromisedFile,
  type ReadContent,
  SnapshotBuilder,
} from "./snapshot_builder.ts";
export {
  decodeSnapshot,
  encodeSnapshot,
  loadSnapshot,
  loadSnapshots,
  type Snapshot,
  type StoredSnapshot,
  timeOf,
} from "./snapshot_file.ts";
export {
  decodeTree,
  nameProblem,
  type NodeType,
  type NodeXattr,
  type TreeNode,
  type U64,
} from "./tree.ts";
export { markUsed, throwProblem } from "./used_blobs.ts";
export { PACK_MAX_BYTES } from "./verify_pack.ts";
