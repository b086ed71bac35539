/** Where sources are for one agent. Rule: a path is used as it is here, and bound at a destination by what all agents call it. */
import { hostname } from "node:os";
import type { SourceSpec } from "../../protocol/mesh/job.ts";
import type { WantedBinding } from "../destinations/local_destination.ts";
import { placeOf, type Roots } from "./roots.ts";

export class SourcePlaces {
  readonly #hostId: string;
  readonly #roots: Roots;

  constructor(hostId: string, roots: Roots) {
    this.#hostId = hostId;
    this.#roots = roots;
  }

  /** The source with its path on this machine. @throws {BackupError} `rejected` when it is none that is here */
  here(source: SourceSpec): SourceSpec {
    return { ...source, path: placeOf(source, this.#hostId, this.#roots) };
  }

  /** Undefined when it is another agent's to touch. */
  hereIfAny(source: SourceSpec): SourceSpec | undefined {
    try {
      return this.here(source);
    } catch {
      return undefined;
    }
  }

  /** What a name at a destination is bound to; every agent of a mesh says the same of a source. */
  binding({ name, hostId = this.#hostId, root, path }: SourceSpec): WantedBinding {
    if (root !== undefined) {
      return {
        name,
        hostId: `root:${root}`,
        hostName: `the root ${root}`,
        sourcePath: `${root}:${path.replace(/^\/+/, "")}`,
      };
    }
    const hostName = hostId === this.#hostId ? hostname() : hostId;
    return { name, hostId, hostName, sourcePath: path };
  }
}
