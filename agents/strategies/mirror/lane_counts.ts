/**
 * What one task has done at one destination, in numbers. Rule: what people are shown never goes back; what the report says
 * is what was published and read back.
 */
import { type LaneCounters, ZERO_COUNTERS } from "../../../protocol/mesh/progress.ts";
import type { LaneReport } from "../../../protocol/mesh/task.ts";
import type { DiffResult } from "./diff.ts";
import { verificationKind } from "./file_verifier.ts";
import type { Verified } from "./lane_verifier.ts";

export class LaneCounts {
  readonly #counters: Omit<LaneCounters, "filesFailed">;
  /** What was shown last, of what a failure takes back. */
  #shownBytes = 0;
  #shownVerifyBytes = 0;
  #filesCopied = 0;
  #bytesCopied = 0;
  #fromDisk = 0;
  #fromCache = 0;

  /** What the scan counted. */
  constructor(filesTotal: number, bytesTotal: number) {
    const { filesFailed: _, ...zero } = ZERO_COUNTERS;
    this.#counters = { ...zero, filesTotal, bytesTotal };
  }

  /** Unchanged files are done. */
  compared({ filesUnchanged, bytesUnchanged }: DiffResult): void {
    this.#counters.filesDone = this.#counters.filesUnchanged = filesUnchanged;
    this.#counters.bytesDone = this.#counters.bytesUnchanged = bytesUnchanged;
  }

  /** Files that an interrupted run had published. */
  adopted({ filesAdopted, bytesAdopted }: DiffResult): void {
    this.#counters.filesDone += filesAdopted;
    this.#counters.bytesDone += bytesAdopted;
  }

  /** Of a file that is not complete yet. */
  wrote(bytes: number): void {
    this.#counters.bytesDone += bytes;
  }

  /** The file failed. */
  tookBack(bytes: number): void {
    this.#counters.bytesDone -= bytes;
  }

  staged(): void {
    this.#counters.filesDone++;
  }

  /** What was staged did not get its name. */
  unstaged(): void {
    this.#counters.filesDone--;
  }

  published(sizeBytes: number): void {
    this.#filesCopied++;
    this.#bytesCopied += sizeBytes;
  }

  /** A further name of a file. */
  linked(): void {
    this.#counters.filesDone++;
    this.#filesCopied++;
  }

  /** It was called copied, and is so still; its bytes will not be counted twice. */
  copiesAgain(sizeBytes: number): void {
    this.#counters.filesDone--;
    this.#counters.bytesDone -= sizeBytes;
  }

  willVerify(files: number, bytes: number): void {
    this.#counters.verifyFilesTotal = files;
    this.#counters.verifyBytesTotal = bytes;
  }

  willVerifyOneMore(): void {
    this.#counters.verifyFilesTotal++;
  }

  verified({ files, bytes, fromDisk, fromCache }: Verified): void {
    this.#counters.verifyFilesDone += files;
    this.#counters.verifyBytesDone += bytes;
    this.#fromDisk += fromDisk;
    this.#fromCache += fromCache;
  }

  get filesCopied(): number {
    return this.#filesCopied;
  }

  get filesVerified(): number {
    return this.#counters.verifyFilesDone;
  }

  /** For people; `verifyBytesInHand`: of files that are being read back. */
  shown(verifyBytesInHand: number): Omit<LaneCounters, "filesFailed"> {
    const c = this.#counters;
    this.#shownBytes = Math.min(c.bytesTotal, Math.max(this.#shownBytes, c.bytesDone));
    this.#shownVerifyBytes = Math.min(
      c.verifyBytesTotal,
      Math.max(this.#shownVerifyBytes, c.verifyBytesDone + verifyBytesInHand),
    );
    return { ...c, bytesDone: this.#shownBytes, verifyBytesDone: this.#shownVerifyBytes };
  }

  sums(): Pick<
    LaneReport,
    | "filesTotal"
    | "filesCopied"
    | "bytesCopied"
    | "filesUnchanged"
    | "filesVerified"
    | "bytesVerified"
    | "verification"
  > {
    const c = this.#counters;
    return {
      filesTotal: c.filesTotal,
      filesCopied: this.#filesCopied,
      bytesCopied: this.#bytesCopied,
      filesUnchanged: c.filesUnchanged,
      filesVerified: c.verifyFilesDone,
      bytesVerified: c.verifyBytesDone,
      verification: verificationKind(this.#fromDisk, this.#fromCache),
    };
  }
}
