/** The end of a backup. Rule: flush first, then the snapshot file, which makes everything before it count. */
import type { BlobWriter } from "./blob_writer.ts";
import { formatTime, type Instant, localZone, type Zone } from "./go_time.ts";
import type { Repository } from "./repository.ts";
import type { BuilderCounts, SnapshotBuilder } from "./snapshot_builder.ts";
import { encodeSnapshot, type Snapshot, type StoredSnapshot } from "./snapshot_file.ts";

export interface SnapshotFacts {
  /** Of the snapshot: when the backup began, or what the person says. */
  time: Instant;
  startedAt: Instant;
  endedAt: Instant;
  /** Absolute. */
  paths: readonly string[];
  hostname: string;
  username: string;
  uid: number;
  gid: number;
  excludes?: readonly string[];
  tags?: readonly string[];
  parent?: string;
  /** `backup-agent 1.2`. */
  program: string;
  zone?: Zone;
}

/** Ends what was built: root tree, packs, index. The snapshot is returned and not stored yet. */
export async function sealSnapshot(
  builder: SnapshotBuilder,
  writer: BlobWriter,
  facts: SnapshotFacts,
): Promise<Snapshot> {
  const tree = await builder.finish();
  await writer.flush();
  const zone = facts.zone ?? localZone;
  const snapshot: Snapshot = {
    time: formatTime(facts.time, zone),
    tree,
    paths: facts.paths,
    hostname: facts.hostname,
    username: facts.username,
    uid: facts.uid,
    gid: facts.gid,
    program_version: facts.program,
    summary: {
      backup_start: formatTime(facts.startedAt, zone),
      backup_end: formatTime(facts.endedAt, zone),
      ...summaryOf(builder.counts),
      data_blobs: writer.counts.dataBlobs,
      tree_blobs: writer.counts.treeBlobs,
      data_added: writer.counts.addedBytes,
      data_added_packed: writer.counts.addedStoredBytes,
    },
  };
  if (facts.parent !== undefined) snapshot.parent = facts.parent;
  if (facts.excludes !== undefined) snapshot.excludes = facts.excludes;
  if (facts.tags !== undefined) snapshot.tags = facts.tags;
  return snapshot;
}

/** The commit point of a backup. */
export async function storeSnapshot(
  repository: Repository,
  snapshot: Snapshot,
): Promise<StoredSnapshot> {
  return { id: await repository.save("snapshot", encodeSnapshot(snapshot)), ...snapshot };
}

function summaryOf(counts: BuilderCounts) {
  return {
    files_new: counts.filesNew,
    files_changed: counts.filesChanged,
    files_unmodified: counts.filesUnmodified,
    dirs_new: counts.dirsNew,
    dirs_changed: counts.dirsChanged,
    dirs_unmodified: counts.dirsUnmodified,
    total_files_processed: counts.files,
    total_bytes_processed: counts.bytes,
  };
}
