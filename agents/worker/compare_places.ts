/**
 * Sources and destinations of a run beside each other, before anything is opened. Rule: a mistake in the command – a place within
 * another, a name that is somebody else's, a folder of another kind – is refused before anything is written anywhere.
 */
import { BackupError } from "../../protocol/base/errors.ts";
import type { DestinationSpec, SourceSpec } from "../../protocol/mesh/job.ts";
import type { PreparedDestination } from "../../protocol/mesh/task.ts";
import { findClashes, type Identity } from "../destinations/identity.ts";
import { bindingConflict, type Inspection } from "../destinations/local_destination.ts";
import { refuseOtherKind } from "../destinations/other_kind.ts";
import type { SourcePlaces } from "./source_places.ts";

/** A destination that was looked at; one of the two is defined. */
export interface Inspected {
  spec: DestinationSpec;
  inspection: Inspection | undefined;
  error: BackupError | undefined;
}

/** A source as far as this agent sees it. */
export interface SeenSource {
  source: SourceSpec;
  isHere: boolean;
  /** Empty when it cannot be opened or is not here. */
  ancestors: Identity[];
}

/** @throws {BackupError} `usage` when one place lies within another */
export function refuseClashes(
  sources: readonly SeenSource[],
  destinations: readonly Inspected[],
): void {
  const places = destinations.flatMap(({ spec, inspection }) =>
    inspection === undefined ? [] : [{
      key: spec.key,
      exists: inspection.exists,
      ancestors: inspection.ancestors,
      copies: new Map(inspection.copies),
    }]
  );
  const clashes = findClashes(
    sources.map(({ source: { name, path }, ancestors }) => ({ name, path, ancestors })),
    places,
  );
  if (clashes.length === 0) return;
  throw new BackupError("usage", clashes.join("; "), {
    hint: "Choose a destination outside the sources, or another name with --as NAME",
  });
}

/** @throws {BackupError} `usage` for a folder that is named as what it is not */
export function refuseOtherKinds(destinations: readonly Inspected[]): void {
  for (const { spec, inspection, error } of destinations) {
    if (error !== undefined || inspection?.otherKind === undefined) continue;
    throw refuseOtherKind(spec.key, spec.path, inspection.otherKind);
  }
}

/** @throws {BackupError} `usage` for a name that belongs to somebody else at a destination */
export function refuseTakenNames(
  sources: readonly SourceSpec[],
  destinations: readonly Inspected[],
  places: SourcePlaces,
): void {
  for (const { spec, inspection, error } of destinations) {
    if (inspection === undefined || error !== undefined) continue;
    for (const source of sources) {
      const isOccupied = inspection.occupied.includes(source.name);
      const wanted = places.binding(source);
      const conflict = bindingConflict(inspection.bindings, wanted, isOccupied, spec.path);
      if (conflict === undefined) continue;
      throw new BackupError("usage", conflict, {
        path: `${spec.path}/${source.name}`,
        hint: "Choose another name with --as NAME",
      });
    }
  }
}

/** Two destinations on one disk are one disk: said, not refused. */
export function warnSharedDisks(
  inspected: readonly Inspected[],
  prepared: readonly PreparedDestination[],
): void {
  const firstOn = new Map<string, string>();
  inspected.forEach(({ spec, inspection }, at) => {
    const device = inspection?.device;
    if (device === undefined || prepared[at]!.error !== undefined) return;
    const first = firstOn.get(device);
    if (first === undefined) firstOn.set(device, spec.key);
    else {
      prepared[at]!.warnings.push(
        `${first} and ${spec.key} are on one file system: one broken disk loses both`,
      );
    }
  });
}
