/**
 * How many files a copy had when the first of those that are gone now went missing: what the guard of `--delete` measures by.
 * Rule: it is written down before a manifest is replaced and forgotten when a deletion went through, so that a deletion that
 * was refused or cut off does not become harmless by what was copied since.
 */
import type { OpenDestination } from "../../destinations/local_destination.ts";
import { cName, type Posix } from "../../platform/posix.ts";
import { readSmallFile, replaceSmallFile } from "../../platform/small_file.ts";
import type { ManifestLine, openManifest } from "./manifest_file.ts";

const MEASURE_BYTES_MAX = 1024;

/** Of the last deletion, when it is not through yet. What cannot be read is no measure. */
export function pendingMeasure(
  posix: Posix,
  { manifests, display }: OpenDestination,
  bindingKey: string,
): number | undefined {
  const name = measureName(bindingKey);
  try {
    const bytes = readSmallFile(posix, manifests, name, display, MEASURE_BYTES_MAX);
    if (bytes === undefined) return undefined;
    const { files } = JSON.parse(new TextDecoder().decode(bytes)) as { files?: unknown };
    return Number.isSafeInteger(files) && (files as number) >= 0 ? files as number : undefined;
  } catch {
    return undefined;
  }
}

/** @throws {BackupError} when it cannot be written */
export function writeMeasure(
  posix: Posix,
  { manifests, display }: OpenDestination,
  bindingKey: string,
  files: number,
): void {
  const name = measureName(bindingKey);
  const bytes = new TextEncoder().encode(`${JSON.stringify({ files })}\n`);
  const shown = `${display}/.backup-agent/manifests/${name}`;
  replaceSmallFile(posix, manifests, name, bytes, shown);
}

export function forgetMeasure(
  posix: Posix,
  { manifests }: OpenDestination,
  bindingKey: string,
): void {
  posix.unlink(manifests, cName(measureName(bindingKey)));
}

/** The lines of a manifest, with their files counted on the way. */
export function countedLines(
  manifest: ReturnType<typeof openManifest>,
): { lines: Iterator<ManifestLine>; files(): number } | undefined {
  if (manifest === undefined) return undefined;
  let files = 0;
  const { lines } = manifest;
  return {
    lines: {
      next: () => {
        const next = lines.next();
        // Quotes inside names are escaped, so this cannot be part of one.
        if (!next.done && next.value.text.includes('","type":"file"')) files++;
        return next;
      },
    },
    files: () => files,
  };
}

/** Beside the manifest. */
function measureName(bindingKey: string): string {
  return `${bindingKey}.measure`;
}
