/**
 * Lines of files that a repair had to store in other bytes than before: encrypted anew, or as another destination has them.
 * Rule: only size and hash of the stored bytes change, of the file and of its further names.
 */
import { BackupError } from "../../../protocol/base/errors.ts";
import type { Posix } from "../../platform/posix.ts";
import { type CopyDestination, keysAsBefore } from "./list_keys.ts";
import { writeWhole } from "./list_writer.ts";
import { openManifest } from "./manifest_file.ts";
import type { ManifestEntry } from "./manifest_line.ts";
import { manifestName } from "./manifest_update.ts";
import { linesOf } from "./version_lists.ts";

export interface NewForm {
  storedSizeBytes: number;
  storedSha256: string;
}

export interface FormsRequest {
  bindingKey: string;
  /** By number of the line, from 0. */
  forms: [number, NewForm][];
}

/** @throws {BackupError} when the list cannot be replaced; the one before then stays */
export function recordForms(
  posix: Posix,
  destination: CopyDestination,
  { bindingKey, forms }: FormsRequest,
  tick: () => void,
): void {
  const name = manifestName(bindingKey);
  const display = `${destination.display}/.backup-agent/manifests/${name}`;
  const { manifests: at } = destination;
  const manifest = openManifest(posix, at, name, display, destination.keys);
  if (manifest === undefined) throw new BackupError("not_found", `${display} is not there`);
  const keys = keysAsBefore(manifest, destination.keys);
  if (keys === undefined) {
    manifest.close();
    throw new BackupError("unsupported", `${display} does not say for whom it is encrypted`, {
      path: display,
      hint: "Run the backup of this source again",
    });
  }
  const byLine = new Map(forms);
  /** New forms by path, with the hash they replace. */
  const firsts = new Map<string, { form: NewForm; before: string | undefined }>();
  writeWhole({ posix, at, name, display, keys }, manifest.header, (add) => {
    let line = 0;
    for (const { text, entry } of linesOf(manifest)) {
      tick();
      const own = byLine.get(line++);
      // A further name becomes one of its first name's file again.
      const form = formOfFirst(entry, firsts) ?? own;
      if (form === undefined) {
        add(text);
        continue;
      }
      firsts.set(keyOf(entry.path, entry.pathBase64), { form, before: entry.storedSha256 });
      add(JSON.stringify({ ...entry, ...form }));
    }
  });
}

function formOfFirst(
  entry: ManifestEntry,
  firsts: ReadonlyMap<string, { form: NewForm; before: string | undefined }>,
): NewForm | undefined {
  if (entry.hardLinkTo === undefined) return undefined;
  const first = firsts.get(keyOf(entry.hardLinkTo, entry.hardLinkToBase64));
  return first !== undefined && first.before === entry.storedSha256 ? first.form : undefined;
}

function keyOf(path: string, base64: string | undefined): string {
  return base64 ?? `/${path}`;
}
