/**
 * What the lists of several destinations say about the same copies, side by side. Rule: lists are merged while they are
 * read, and one that cannot be read is named and leaves the others as they are.
 */
import { asBackupError } from "../../../../protocol/base/errors.ts";
import type { FileRow } from "../../../../protocol/mesh/place_methods.ts";
import type { Posix } from "../../../platform/posix.ts";
import { utf8OfLatin1 } from "../../../source/entry_table.ts";
import { compareWalkOrder } from "../../../source/walk_order.ts";
import type { ManifestEntry } from "../manifest_line.ts";
import { fullPath } from "./folders_pass.ts";
import {
  checkedLines,
  openStoredManifest,
  type StoredLists,
  type StoredManifest,
} from "./stored_lists.ts";

export interface CompareRequest {
  copies: string[];
  offset: number;
  limit: number;
}

export interface ComparedPage {
  rows: FileRow[];
  total: number;
  problems: string[];
}

interface Column {
  manifest: StoredManifest;
  lines: ReturnType<typeof checkedLines>;
  current: { path: string; entry: ManifestEntry } | undefined;
}

export function compareLists(
  posix: Posix,
  sources: readonly (StoredLists | undefined)[],
  { copies, offset, limit }: CompareRequest,
  tick: () => void,
): ComparedPage {
  const page: ComparedPage = { rows: [], total: 0, problems: [] };
  for (const name of copies) {
    const columns = sources.map((lists) => openColumn(lists, name));
    try {
      for (;;) {
        const first = columns.reduce<string | undefined>(
          (least, column) =>
            column?.current !== undefined &&
              (least === undefined || compareWalkOrder(column.current.path, least) < 0)
              ? column.current.path
              : least,
          undefined,
        );
        if (first === undefined) break;
        const entries = columns.map((column) =>
          column?.current?.path === first ? column.current.entry : undefined
        );
        for (const column of columns) if (column?.current?.path === first) advance(column);
        addRow(name, first, entries);
      }
    } finally {
      for (const column of columns) column?.manifest.close();
    }
  }
  return page;

  function addRow(name: string, path: string, entries: (ManifestEntry | undefined)[]): void {
    const file = entries.find((e) => e?.type === "file" && e.goneAtMs === undefined);
    if (file === undefined) return;
    if (page.total++ < offset || page.rows.length >= limit) return;
    page.rows.push({
      path: utf8OfLatin1(fullPath(name, path)),
      sizeBytes: file.sizeBytes ?? 0,
      marks: entries.map(markOf).join(""),
    });
  }

  function openColumn(lists: StoredLists | undefined, name: string): Column | undefined {
    const binding = lists?.marker.bindings.find((b) => b.name === name);
    if (lists === undefined || binding === undefined) return undefined;
    try {
      const manifest = openStoredManifest(posix, lists, binding);
      const column: Column = { manifest, lines: checkedLines(manifest), current: undefined };
      advance(column);
      return column;
    } catch (thrown) {
      note(thrown);
      return undefined;
    }
  }

  function advance(column: Column): void {
    tick();
    try {
      const next = column.lines.next();
      column.current = next.done ? undefined : next.value;
    } catch (thrown) {
      column.current = undefined;
      note(thrown);
    }
  }

  function note(thrown: unknown): void {
    const error = asBackupError(thrown);
    if (error.code === "internal" || error.code === "cancelled") throw thrown;
    page.problems.push(error.message);
  }
}

function markOf(entry: ManifestEntry | undefined): string {
  if (entry === undefined || entry.goneAtMs !== undefined) return "-";
  if (entry.recordedOnly === true) return "r";
  return entry.verifiedAtMs === undefined && entry.hardLinkTo === undefined ? "c" : "v";
}
