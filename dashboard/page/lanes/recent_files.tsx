/** The files handled last, with a tick for each destination. */
import { formatBytes } from "../../../protocol/cli/format.ts";
import type { FileMark, RecentFile } from "../../../protocol/mesh/run.ts";
import { Icon, type IconName } from "../ui/icon.tsx";
import { memo } from "../ui/memo.ts";
import { MARK_WORDS } from "../words.ts";

export const RECENT_MAX = 15;
const SIGNS: Record<FileMark, IconName> = { copied: "down", verified: "check", failed: "cross" };

export interface RecentFilesProps {
  files: readonly RecentFile[];
  destinations: readonly string[];
  /** Destinations where all of the run is verified by now, joined by newlines. */
  verified: string;
}

export const RecentFiles = memo(({ files, destinations, verified }: RecentFilesProps) => (
  <section class="box recent">
    <h2>Recent files</h2>
    {files.length === 0
      ? <p class="muted">None yet</p>
      : (
        <div class="scroll" role="region" aria-label="Recent files" tabindex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">File</th>
                <th scope="col" class="number">Size</th>
                {destinations.map((name) => <th key={name} scope="col" class="tick">{name}</th>)}
              </tr>
            </thead>
            <tbody>
              {files.slice(0, RECENT_MAX).map((file) => (
                <RecentRow
                  key={file.path}
                  file={file}
                  destinations={destinations}
                  verified={verified}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
  </section>
));

const RecentRow = memo(
  ({ file, destinations, verified }: Omit<RecentFilesProps, "files"> & { file: RecentFile }) => (
    <tr>
      <td class="path" title={file.path}>
        <bdi>{file.path}</bdi>
      </td>
      <td class="number">{formatBytes(file.sizeBytes)}</td>
      {destinations.map((name) => {
        const mark = markAt(file, name, verified.split("\n").includes(name));
        return (
          <td key={name} class={`tick is-${mark ?? "pending"}`}>
            <Icon name={mark === undefined ? "dash" : SIGNS[mark]} />
            <span class="unseen">{mark === undefined ? "not yet" : MARK_WORDS[mark]}</span>
          </td>
        );
      })}
    </tr>
  ),
);

/** Files are told of as they come by, not each: what is verified as a whole leaves no file at "copied". */
export function markAt(
  { marks }: Pick<RecentFile, "marks">,
  destination: string,
  isVerified: boolean,
): FileMark | undefined {
  const mark = Object.hasOwn(marks, destination) ? marks[destination] : undefined;
  return isVerified && mark !== "failed" ? "verified" : mark;
}
