/**
 * Entries that a destination cannot hold: a link on exFAT, a device node where only root may make one. Rule: such an entry
 * is a line in the manifest and nothing else; nothing stands under its name, and a restore makes it from the line.
 */
import type { RecordedOnly } from "../../../protocol/mesh/task.ts";
import { ENOSYS, EOPNOTSUPP, EPERM } from "../../platform/errno.ts";
import { KIND_FIFO, KIND_SYMLINK } from "../../platform/posix.ts";
import type { EntryTable } from "../../source/entry_table.ts";
import { STATUS_RECORDED } from "./entry_status.ts";
import { lineOfRow } from "./manifest_line.ts";

/** The manifest's line of row `i`, of which nothing stands here. */
export function recordedLine(table: EntryTable, i: number, path: string): string {
  return `${lineOfRow(table, i, path, {}).slice(0, -1)},"recordedOnly":true}`;
}

/** How making a FIFO or a device node ends where that is not for us to make; no attempt later changes it. */
export function isRefusedNode(result: number): boolean {
  return result === -EPERM || result === -EOPNOTSUPP || result === -ENOSYS;
}

/** How many entries of a lane are recorded only, by kind; undefined when none is. */
export function countRecorded(table: EntryTable, status: Uint8Array): RecordedOnly | undefined {
  const counts: RecordedOnly = { symlinks: 0, fifos: 0, devices: 0 };
  let isAny = false;
  for (let i = 0; i < table.count; i++) {
    if (status[i] !== STATUS_RECORDED) continue;
    isAny = true;
    const kind = table.columns.kind[i];
    if (kind === KIND_SYMLINK) counts.symlinks++;
    else if (kind === KIND_FIFO) counts.fifos++;
    else counts.devices++;
  }
  return isAny ? counts : undefined;
}

/** One sentence a kind, for people. `fileSystem`: its type. */
export function recordedWarnings(counts: RecordedOnly, fileSystem: string): string[] {
  const cannotStand = `cannot stand on this file system (${fileSystem})`;
  const said = (count: number, one: string, many: string, why: string): string[] => {
    if (count === 0) return [];
    const [what, theyAre, them] = count === 1 ? [one, "it is", "it"] : [many, "they are", "them"];
    return [
      `${count} ${what} ${why}: ${theyAre} recorded in the manifest, and a restore makes ${them}`,
    ];
  };
  return [
    ...said(counts.symlinks, "symbolic link", "symbolic links", cannotStand),
    ...said(counts.fifos, "FIFO", "FIFOs", cannotStand),
    ...said(
      counts.devices,
      "device node",
      "device nodes",
      "could not be made, which takes root and a file system that holds them",
    ),
  ];
}
