/**
 * Which list a task compares with and which it writes: the manifest of its source, or the list of its part. Rule: until
 * the lists of parts have been put together, each of them is the truth about its stretch, and the manifest about the rest.
 */
import { Buffer } from "node:buffer";
import { FLAG_ABOVE, latin1OfUtf8 } from "../../source/entry_table.ts";
import { isBefore, isBehind, type Stretch } from "../../source/stretch.ts";
import type { DirectoryHandle, Posix } from "../../platform/posix.ts";
import type { LaneTask, LaneTaskShare } from "./lane_task.ts";
import { type CopyDestination, listName } from "./list_keys.ts";
import { type ManifestLine, openManifest, type PartHeader } from "./manifest_file.ts";
import { entryPathLatin1, lineOfRow } from "./manifest_line.ts";
import type { SourcePart } from "./source_parts.ts";

export type OpenedList = NonNullable<ReturnType<typeof openManifest>>;

export function manifestName(bindingKey: string): string {
  return `${bindingKey}.jsonl`;
}

export function partListName(bindingKey: string, partKey: string): string {
  return manifestName(`${bindingKey}.${partKey}`);
}

/** The list that a task writes. */
export function taskListName({ bindingKey, part }: LaneTaskShare): string {
  return part === undefined ? manifestName(bindingKey) : partListName(bindingKey, part.key);
}

/** Names that begin with the key and a dot: of lists of parts, or of their stages. */
export function partNames(posix: Posix, at: DirectoryHandle, key: string): string[] {
  const names = posix.list(at);
  const pattern = new RegExp(`^${key}\\.p[0-9]{1,6}(\\.jsonl(\\.age)?)?$`);
  return typeof names === "number" ? [] : names.filter((name) => pattern.test(name)).sort();
}

/** The lists of parts that wait to be put together, each once, whether encrypted or not. */
export function partListNames(posix: Posix, manifests: DirectoryHandle, key: string): string[] {
  const names = partNames(posix, manifests, key).map(listName);
  return [...new Set(names.filter((name) => name.endsWith(".jsonl")))].sort();
}

export function listDisplay({ display }: { display: string }, name: string): string {
  return `${display}/.backup-agent/manifests/${name}`;
}

export function openList(
  posix: Posix,
  destination: CopyDestination,
  name: string,
): OpenedList | undefined {
  const { manifests, keys } = destination;
  return openManifest(posix, manifests, name, listDisplay(destination, name), keys);
}

/** What is recorded of a task's source or part: by an earlier attempt at this very part, or else by the manifest. */
export function openTaskList(
  posix: Posix,
  destination: CopyDestination,
  share: LaneTaskShare,
): OpenedList | undefined {
  const { bindingKey, part } = share;
  if (part === undefined) return openList(posix, destination, manifestName(bindingKey));
  const own = openList(posix, destination, partListName(bindingKey, part.key));
  if (own !== undefined) return own;
  const whole = openList(posix, destination, manifestName(bindingKey));
  return whole === undefined ? undefined : { ...whole, lines: linesWithin(whole.lines, part) };
}

/** The lines of a stretch. The list is read to its end, since only there it is known to be whole. */
export function* linesWithin(
  lines: Iterator<ManifestLine>,
  stretch: Stretch,
): Generator<ManifestLine> {
  let isOver = false;
  for (let next = lines.next(); !next.done; next = lines.next()) {
    if (isOver) continue;
    const path = linePathLatin1(next.value);
    if (isBefore(stretch, path)) continue;
    if (isBehind(stretch, path)) isOver = true;
    else yield next.value;
  }
}

/** The path of a line, one byte a character, in most cases without parsing it. */
export function linePathLatin1(line: ManifestLine): string {
  const { text } = line;
  if (text.startsWith(PATH_START)) {
    const end = text.indexOf(PATH_END, PATH_START.length);
    const path = end < 0 ? undefined : text.slice(PATH_START.length, end);
    if (path !== undefined && !/["\\]/.test(path)) return latin1OfUtf8(path);
  }
  return entryPathLatin1(line.entry);
}

const PATH_START = '{"path":"';
const PATH_END = '","type":"';

export function partHeaderOf(task: LaneTask, part: SourcePart): PartHeader {
  const above: string[] = [];
  const { flags } = task.table.columns;
  for (let i = 0; i < task.table.count; i++) {
    // They come first, each in the one before.
    if ((flags[i]! & FLAG_ABOVE) === 0) break;
    above.push(lineOfRow(task.table, i, task.path(i), {}));
  }
  const base64 = (path: string) => Buffer.from(path, "latin1").toString("base64");
  return {
    key: part.key,
    ...(part.from !== undefined && { from: base64(part.from) }),
    ...(part.to !== undefined && { to: base64(part.to) }),
    above,
  };
}

export function stretchOf({ from, to }: PartHeader): Stretch {
  const latin1 = (text: string) => Buffer.from(text, "base64").toString("latin1");
  return {
    ...(from !== undefined && { from: latin1(from) }),
    ...(to !== undefined && { to: latin1(to) }),
  };
}
