/**
 * What is to be restored of one copy, before the first byte is written. Rule: the whole list is read and checked first; a
 * list that is damaged or hostile restores nothing.
 */
import type { Posix } from "../../../platform/posix.ts";
import { latin1OfUtf8, utf8OfLatin1 } from "../../../source/entry_table.ts";
import {
  LINE_FILE,
  LINE_FOLDER,
  LINE_IDLE,
  LINE_LINK,
  LINE_OTHER,
  LINE_PARENT,
} from "./line_status.ts";
import { compareWalkOrder } from "../../../source/walk_order.ts";
import type { Selection } from "./selection.ts";
import {
  checkedLines,
  linkedPath,
  type ManifestIdentity,
  openStoredManifest,
  type StoredLists,
} from "./stored_lists.ts";

export interface CopyPlan {
  name: string;
  key: string;
  /** Index of the destination whose list this is. */
  from: number;
  identity: ManifestIdentity;
  /** A byte a line, see `line_status.ts`. */
  status: SharedArrayBuffer;
  files: number;
  bytes: number;
  folders: number;
  links: number;
  others: number;
  /** Lost by the source, and not asked for. */
  gone: number;
  sockets: number;
  /** Of which nothing was recorded that could be restored, named. */
  unrestorable: string[];
}

/** First names of hard-linked files: where the content of the further ones is. */
export interface LinkPlan {
  /** First names that are among the chosen, with their line once it is known. */
  firsts: Map<string, number>;
  /** Instead of a first name that was not chosen: the further name that is restored as a file. */
  stands: Map<string, { path: string; line: number }>;
  /** First names of links and nodes that have several. */
  others: Set<string>;
}

export interface Sample {
  /** Of the files of each copy, more than 0 and at most 1. */
  fraction: number;
}

export interface PlanRequest {
  withGone: boolean;
  /** Instead of everything chosen: this part of the files, at least one, as far as there is room. */
  sample?: Sample;
}

const UNRESTORABLE_MAX = 10_000;

/** @throws {BackupError} when the list cannot be had or trusted; see `checkedLines` */
export function planCopy(
  posix: Posix,
  lists: StoredLists,
  binding: { name: string; key: string },
  from: number,
  selection: Selection,
  request: PlanRequest & { bytesMax: number },
  random: () => number,
  tick: () => void,
): { plan: CopyPlan; links: LinkPlan } {
  const manifest = openStoredManifest(posix, lists, binding);
  const top = latin1OfUtf8(binding.name);
  const plan: CopyPlan = {
    ...{ name: binding.name, key: binding.key, from, identity: manifest.identity },
    ...{ status: new SharedArrayBuffer(0), files: 0, bytes: 0, folders: 0, links: 0, others: 0 },
    ...{ gone: 0, sockets: 0, unrestorable: [] },
  };
  const links: LinkPlan = { firsts: new Map(), stands: new Map(), others: new Set() };
  const { sample } = request;
  let bytes = new Uint8Array(1 << 12);
  let lines = 0;
  /** Of a sample: one candidate for the case that chance takes none, and how many there were. */
  let spare: { line: number; folders: number[]; sizeBytes: number } | undefined;
  let candidates = 0;
  try {
    for (const { line, path, entry, folders, orphan } of checkedLines(manifest)) {
      tick();
      lines = line + 1;
      if (lines > bytes.length) {
        const larger = new Uint8Array(2 * bytes.length);
        larger.set(bytes);
        bytes = larger;
      }
      const full = path === "" ? top : `${top}/${path}`;
      if (!selection.includes(full)) continue;
      if (orphan || (entry.goneAtMs !== undefined && !request.withGone)) {
        plan.gone++;
        continue;
      }
      let status = LINE_IDLE;
      if (entry.type === "directory") status = LINE_FOLDER;
      else if (entry.type === "file") {
        const first = linkedPath(entry);
        if (first === undefined || sample !== undefined) {
          if (entry.sha256 !== undefined) status = LINE_FILE;
        } else if (links.firsts.has(first) || links.stands.has(first)) status = LINE_LINK;
        else if (selection.includes(`${top}/${first}`) && compareWalkOrder(first, path) < 0) {
          links.firsts.set(first, -1);
          status = LINE_LINK;
        } else if (entry.sha256 !== undefined) {
          links.stands.set(first, { path, line });
          status = LINE_FILE;
        }
      } else if (["symlink", "fifo", "character", "block"].includes(entry.type)) {
        status = LINE_OTHER;
        const first = linkedPath(entry);
        if (first !== undefined) links.others.add(first);
      } else if (entry.type === "socket") {
        plan.sockets++;
        continue;
      }
      if (status === LINE_IDLE) {
        if (plan.unrestorable.length < UNRESTORABLE_MAX) plan.unrestorable.push(utf8OfLatin1(full));
        continue;
      }
      if (sample !== undefined) {
        if (status !== LINE_FILE) continue;
        const sizeBytes = entry.sizeBytes ?? 0;
        if (plan.bytes + sizeBytes > request.bytesMax) continue;
        candidates++;
        if (random() >= sample.fraction) {
          if (random() * candidates < 1) {
            spare = { line, folders: folders.map((folder) => folder.line), sizeBytes };
          }
          continue;
        }
      }
      bytes[line] = status;
      if (status === LINE_FILE) {
        plan.files++;
        plan.bytes += entry.sizeBytes ?? 0;
      } else if (status === LINE_FOLDER) plan.folders++;
      else if (status === LINE_LINK) plan.links++;
      else plan.others++;
      for (let k = folders.length - 1; k >= 0 && bytes[folders[k]!.line] === LINE_IDLE; k--) {
        bytes[folders[k]!.line] = LINE_PARENT;
      }
    }
  } finally {
    manifest.close();
  }
  if (sample !== undefined && plan.files === 0 && spare !== undefined) {
    bytes[spare.line] = LINE_FILE;
    for (const folder of spare.folders) bytes[folder] = LINE_PARENT;
    plan.files = 1;
    plan.bytes = spare.sizeBytes;
  }
  plan.status = new SharedArrayBuffer(lines);
  new Uint8Array(plan.status).set(bytes.subarray(0, lines));
  return { plan, links };
}
