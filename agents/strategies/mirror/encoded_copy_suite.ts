/** What the tests of encoded copies share: copies as they are once stock rules of their names are undone. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { join } from "node:path";
import { type EntryState, treeState } from "../../../tests/support/tree_state.ts";
import type { Tree } from "../../../tests/support/small_tree_checks.ts";
import { generateIdentity } from "./codec/age_keys.ts";
import { type Codec, CODECS, createDecoder } from "./codec/codec.ts";
import { transformed } from "./codec/codec_suite.ts";
import type { ManifestEntry } from "./manifest_line.ts";

export const me = generateIdentity();

export function encodingOf(codec: Codec): { codec: Codec; recipients: string[] } {
  return { codec, recipients: codec === "zst" ? [] : [me.recipient.text] };
}

/** Reads a stored file back to its content. */
export function contentOf(path: string, codec: Codec, sizeBytes?: number): string {
  const size = sizeBytes === undefined ? { maxBytes: 1 << 30 } : { sizeBytes };
  const decoder = createDecoder({ codec, identities: [me], ...size });
  return new TextDecoder().decode(transformed(decoder, fs.readFileSync(path)));
}

/** The lines of the one manifest that the copy has, encrypted to `me` or not. */
export function manifestOf(destination: string): ManifestEntry[] {
  const folder = join(destination, ".backup-agent/manifests");
  const [name, ...more] = fs.readdirSync(folder).filter((one) => /\.jsonl(\.age)?$/.test(one));
  assert.deepEqual(more, [], "there is one list");
  return linesOf(join(folder, name!));
}

function linesOf(list: string): ManifestEntry[] {
  const text = list.endsWith(".age") ? contentOf(list, "age") : fs.readFileSync(list, "utf8");
  return text.trim().split("\n").slice(1, -1).map((line) => JSON.parse(line) as ManifestEntry);
}

/**
 * Each earlier version as its list says it is, by dated folder and the path of the source. Fails when a line's file is not
 * as recorded, and when a file is there that no line has.
 */
export function recordedVersions(destination: string): Map<string, Tree> {
  const root = join(destination, ".backup-agent/versions/s1");
  const found = new Map<string, Tree>();
  const names = fs.existsSync(root) ? fs.readdirSync(root).sort() : [];
  for (const folder of names.filter((name) => !name.includes("."))) {
    found.set(folder, recordedTree(linesOf(join(root, `${folder}.jsonl`)), join(root, folder)));
  }
  return found;
}

/**
 * The copy as its manifest says it is, by the paths of the source. Fails when a line's file is not as recorded, and when
 * a file is there that no line has.
 */
export function recordedCopy(destination: string): Tree {
  return recordedTree(manifestOf(destination), join(destination, "copy"));
}

function recordedTree(lines: readonly ManifestEntry[], root: string): Tree {
  const stands = treeState(root);
  const found = new Map<string, EntryState>();
  for (const entry of lines) {
    const folder = entry.path.includes("/")
      ? entry.path.slice(0, entry.path.lastIndexOf("/") + 1)
      : "";
    const path = entry.storedAs === undefined ? entry.path : `${folder}${entry.storedAs}`;
    const state = stands.get(path);
    assert.ok(state !== undefined, `${path} is recorded and does not stand`);
    stands.delete(path);
    if (entry.codec === undefined) found.set(entry.path, state);
    else {
      const size = fs.statSync(join(root, path)).size;
      assert.equal(size, entry.storedSizeBytes, path);
      const text = contentOf(join(root, path), entry.codec as Codec, entry.sizeBytes);
      found.set(entry.path, { ...state, text });
    }
  }
  // A folder that gave way to a file stays for what it holds.
  const left = [...stands].flatMap(([path, { kind }]) => kind === "directory" ? [] : [path]);
  assert.deepEqual(left, [], "these stand and are not recorded");
  return found;
}

/** The copy by the names of its files alone, whatever its manifest says; of two forms of one file, all states. */
export function formsAt(destination: string): Map<string, EntryState[]> {
  return formsBelow(join(destination, "copy"));
}

/** The same of any folder of files under the names that our copies have. */
export function formsBelow(root: string): Map<string, EntryState[]> {
  const found = new Map<string, EntryState[]>();
  if (!fs.existsSync(root)) return found;
  for (const [path, state] of treeState(root)) {
    const codec = [...CODECS].reverse().find((one) => path.endsWith(`.${one}`));
    const isForm = codec !== undefined && state.kind === "file";
    const own = isForm ? path.slice(0, -codec.length - 1) : path;
    const as = isForm ? { ...state, text: contentOf(join(root, path), codec) } : state;
    found.set(own, [...found.get(own) ?? [], as]);
  }
  return found;
}
