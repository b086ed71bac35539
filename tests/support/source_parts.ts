/** Parts of a real source, however small it is. */
import type { PartSpec } from "../../protocol/mesh/task.ts";
import { openPosix } from "../../agents/platform/open_posix.ts";
import { EntryTable } from "../../agents/source/entry_table.ts";
import { walk } from "../../agents/source/walk.ts";
import type { Codec } from "../../agents/strategies/mirror/codec/codec.ts";
import { partsOf } from "../../agents/strategies/mirror/source_parts.ts";

const OPTIONS = { excludes: [], ignoreFiles: false, excludeCaches: false, oneFileSystem: false };

/** In as many parts as there can be, up to `partsMax`. */
export function partsOfSource(path: string, partsMax: number, codec?: Codec): PartSpec[] {
  const { table } = walk(openPosix(), path, "copy", OPTIONS, () => {});
  const share = table.freeze();
  return partsOf(EntryTable.fromShare(share), codec, { partsMax, weightMin: 1 })
    .map(({ part }) => part);
}
