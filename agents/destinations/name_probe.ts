/**
 * Names that a file system refuses or silently changes (`a:b`, `end.`, `con`, bytes that are not UTF-8). Rule: a name with
 * something peculiar is trusted only when a file with the same peculiarity was made and is listed as it was given.
 */
import { EDQUOT, EIO, ENOSPC, EROFS } from "../platform/errno.ts";
import { cNameOfLatin1, type DirectoryHandle, type Posix } from "../platform/posix.ts";
import { latin1OfUtf8, utf8OfLatin1 } from "../source/entry_table.ts";
import { inProbeFolder } from "./probe_folder.ts";

/** What some file system takes exception to. */
export interface Peculiarity {
  /** As it goes on after "the name …". */
  why: string;
  /** A name with this and nothing else peculiar, one byte a character. */
  sample: string;
}

// deno-lint-ignore no-control-regex -- they are what is looked for
const MAYBE_PECULIAR = /[\x00-\x1f\x7f"*:<>?\\|\x80-\xff]|[. ]$|^(?:con|prn|aux|nul|com|lpt)/i;
// deno-lint-ignore no-control-regex -- they are what is looked for
const FORBIDDEN = /[\x01-\x1f\x7f"*:<>?\\|]/g;
const RESERVED = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$/i;

/** Everything peculiar about a name (one byte a character); none for most names. Pure. */
export function peculiaritiesOf(latin1: string): Peculiarity[] {
  if (!MAYBE_PECULIAR.test(latin1)) return [];
  const found: Peculiarity[] = [];
  for (const character of new Set(latin1.match(FORBIDDEN) ?? [])) {
    const code = character.charCodeAt(0);
    const why = code < 32 || code === 127
      ? `holds the control character 0x${code.toString(16).padStart(2, "0")}`
      : `holds ${character}`;
    found.push({ why, sample: `a${character}b` });
  }
  if (latin1.endsWith(".")) found.push({ why: "ends in a dot", sample: "a." });
  if (latin1.endsWith(" ")) found.push({ why: "ends in a space", sample: "a " });
  const reserved = RESERVED.exec(latin1);
  if (reserved !== null) {
    const stem = reserved[1]!.toLowerCase();
    const sample = reserved[2] === undefined ? stem : `${stem}.a`;
    found.push({ why: `is ${stem.toUpperCase()}, which is reserved`, sample });
  }
  const text = utf8OfLatin1(latin1);
  if (text !== latin1 && latin1OfUtf8(text) !== latin1) {
    found.push({ why: "is not UTF-8", sample: "a\xff" });
  } else if (/[\u{10000}-\u{10ffff}]/u.test(text)) {
    found.push({ why: "holds characters beyond U+FFFF", sample: latin1OfUtf8("a\u{1f600}") });
  }
  return found;
}

/** Failures that say nothing about the name. */
const OTHER_REASONS: ReadonlySet<number> = new Set([EIO, ENOSPC, EDQUOT, EROFS]);

/**
 * Why a name (one byte a character) cannot stand here, as it goes on after "the name …"; undefined when it can. Each
 * peculiarity is tried once, when it is first met.
 */
export function createNameProbe(
  posix: Posix,
  stage: DirectoryHandle,
): (latin1: string) => string | undefined {
  const kept = new Map<string, boolean>();
  const isKept = (sample: string): boolean => {
    const known = kept.get(sample);
    if (known !== undefined) return known;
    const found = inProbeFolder(posix, stage, (folder) => keepsName(posix, folder, sample)) ?? true;
    kept.set(sample, found);
    return found;
  };
  return (latin1) => peculiaritiesOf(latin1).find(({ sample }) => !isKept(sample))?.why;
}

function keepsName(posix: Posix, folder: DirectoryHandle, latin1: string): boolean {
  const fd = posix.createFile(folder, cNameOfLatin1(latin1));
  if (fd < 0) return OTHER_REASONS.has(-fd);
  posix.close(fd);
  const names = posix.list(folder);
  return typeof names === "number" || names.includes(latin1);
}
