/** The names of what we write into a copy's own folder: nothing of the source, and nothing that is in a manifest. */

export const MHL_DIRECTORY = "ascmhl";
export const CHAIN_FILE = "ascmhl_chain.xml";
const GENERATION = /^([0-9]{4,9})_.*_[0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{6}Z\.mhl$/s;
const PREFIX = `${MHL_DIRECTORY}/`;
const NAME_BYTES_MAX = 255;

/** Whether `path`, below the top of a copy, is a manifest or chain of ASC MHL. Counts only where the manifest has no such line. */
export function isMhlPath(path: string): boolean {
  if (!path.startsWith(PREFIX)) return false;
  const name = path.slice(PREFIX.length);
  return name === CHAIN_FILE || (GENERATION.test(name) && !name.includes("/"));
}

/** The number in a generation's file name; undefined when it is none. */
export function generationOf(fileName: string): number | undefined {
  const found = GENERATION.exec(fileName);
  return found === null ? undefined : Number(found[1]);
}

/** `0001_NAME_2026-01-31_120000Z.mhl`; a very long name of a copy is cut. */
export function generationName(generation: number, name: string, atMs: number): string {
  const iso = new Date(atMs).toISOString();
  const start = `${String(generation).padStart(4, "0")}_`;
  const end = `_${iso.slice(0, 10)}_${iso.slice(11, 19).replaceAll(":", "")}Z.mhl`;
  const encoder = new TextEncoder();
  const room = new Uint8Array(NAME_BYTES_MAX - start.length - end.length);
  const { read } = encoder.encodeInto(name, room);
  return start + name.slice(0, read) + end;
}
