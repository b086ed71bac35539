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
}

export const RecentFiles = memo(({ files, destinations }: RecentFilesProps) => (
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
                <RecentRow key={file.path} file={file} destinations={destinations} />
              ))}
            </tbody>
          </table>
        </div>
      )}
  </section>
));

const RecentRow = memo(
  ({ file, destinations }: { file: RecentFile; destinations: readonly string[] }) => (
    <tr>
      <td class="path" title={file.path}>
        <bdi>{file.path}</bdi>
      </td>
      <td class="number">{formatBytes(file.sizeBytes)}</td>
      {destinations.map((name) => {
        const mark = Object.hasOwn(file.marks, name) ? file.marks[name] : undefined;
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
