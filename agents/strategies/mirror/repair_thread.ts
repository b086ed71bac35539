/** What a destination's thread can be asked for a repair: as the one that is repaired, or as the other that is read. */
import type { Binding } from "../../destinations/marker.ts";
import type { Posix } from "../../platform/posix.ts";
import type { Methods, ThreadCells } from "../../threads/thread_rpc.ts";
import type { CopyDestination } from "./list_keys.ts";
import { writeChecksums } from "./checksums.ts";
import type { FileVerifier } from "./file_verifier.ts";
import { keptBy } from "./recorded_metadata.ts";
import { type Damage, findDamage, type FindRequest, type Found } from "./repair_find.ts";
import type { ManifestEntry } from "./manifest_line.ts";
import { type FormsRequest, recordForms } from "./repair_forms.ts";
import { locate, type LocateRequest, type LocateResult, RepairSource } from "./repair_source.ts";
import { type Made, type RepairedCopy, RepairWriter } from "./repair_writer.ts";

export interface RepairIdentity {
  destinationId: string;
  bindings: Binding[];
}

/** `uid`: of this process. `destination` is asked at each call, since it is opened later. */
export function repairMethods(
  posix: Posix,
  destination: () => CopyDestination,
  verifier: FileVerifier,
  cells: ThreadCells,
  uid: number,
): Methods {
  const tick = () => {
    Atomics.add(cells.operations, 0, 1);
  };
  const writer = new RepairWriter(posix, destination, verifier, cells);
  const source = new RepairSource(posix, destination, tick);
  return {
    repairIdentity: (): RepairIdentity => destination().marker,
    repairFind: (request: FindRequest): Found => {
      const { fileSystem } = destination();
      return findDamage(posix, destination(), keptBy(posix, fileSystem.type, uid), request, tick);
    },
    repairBegin: (copy: RepairedCopy) => writer.begin(copy),
    repairBeginFile: (request: { damage: Damage; encodes: boolean }): void =>
      writer.beginFile(request.damage, request.encodes),
    repairForms: (request: FormsRequest): void => recordForms(posix, destination(), request, tick),
    repairWriteFile: (bytes: Uint8Array): void => writer.writeFile(bytes),
    repairEndFile: (damage: Damage): Made | false => writer.endFile(damage),
    repairAbortFile: (): void => writer.abortFile(),
    repairDirectory: (damage: Damage): Made => writer.makeDirectory(damage),
    repairOther: (damage: Damage): Made => writer.makeOther(damage),
    repairMetadata: (damage: Damage): void => writer.setMetadata(damage),
    repairEnd: (): void => writer.end(),
    repairChecksums: (): void => writeChecksums(posix, destination(), tick),
    repairLocate: (request: LocateRequest): LocateResult =>
      locate(posix, destination(), request, tick),
    repairOpenSource: (file: { top: string; path: string; sizeBytes: number }): void =>
      source.open(file),
    repairOpenDecoded: (file: { top: string; entry: ManifestEntry }): void =>
      source.openDecoded(file),
    repairReadSource: (request: { offset: number; bytes: number }): Uint8Array =>
      source.read(request),
    repairCloseSource: (): void => source.close(),
  };
}
