/**
 * All that a destination's thread writes with. Rule: temporary name → whole, with all metadata → flush → rename; the file
 * that stood there before is kept until its successor was read back.
 */
import type { OpenDestination } from "../../destinations/local_destination.ts";
import type { Pacer } from "../../destinations/pacer.ts";
import type { Posix } from "../../platform/posix.ts";
import { Displaced } from "./displaced.ts";
import { KeptFiles } from "./kept_files.ts";
import type { LaneCall } from "./lane_call.ts";
import { LaneFolders } from "./lane_folders.ts";
import { LaneOthers } from "./lane_others.ts";
import { MetadataSetter } from "./metadata_setter.ts";
import { Publisher } from "./publisher.ts";
import { StagedFiles } from "./staged_files.ts";

export class LaneWriter {
  readonly folders: LaneFolders;
  readonly files: StagedFiles;
  readonly publisher: Publisher;
  readonly others: LaneOthers;
  readonly kept: KeptFiles;

  constructor(
    posix: Posix,
    destination: OpenDestination,
    slots: SharedArrayBuffer,
    call: LaneCall,
    pacer: Pacer,
    identity: { uid: number; gid: number },
  ) {
    const metadata = new MetadataSetter(posix, identity);
    const displaced = new Displaced(posix, destination);
    this.folders = new LaneFolders(posix, destination, call, displaced, metadata);
    this.files = new StagedFiles(posix, destination, slots, call, pacer, metadata);
    this.kept = new KeptFiles(posix, destination, call, displaced);
    this.publisher = new Publisher(posix, destination, call, this.kept);
    this.others = new LaneOthers(posix, call, this.kept, metadata);
  }
}
