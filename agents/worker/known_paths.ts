/** What is known of the paths of one run's destinations. Rule: what an earlier home of the run has used must be found again. */
import type { DestinationSpec } from "../../protocol/mesh/job.ts";
import type { PrepareTask } from "../../protocol/mesh/task.ts";
import type { KnownDestinations } from "../destinations/known_destinations.ts";
import type { KnownPlace } from "./unknown_place.ts";

export class KnownPaths implements KnownDestinations {
  readonly #known: KnownDestinations;
  /** By path, whatever else is known of it. */
  readonly #expected: ReadonlyMap<string, string>;
  /** By key, what the coordinator knows of the paths; see `PrepareTask.knownIds`. */
  readonly #told: Readonly<Record<string, string | null>>;

  constructor(
    known: KnownDestinations,
    { destinations, expectedIds = {}, knownIds = {} }: Pick<
      PrepareTask,
      "destinations" | "expectedIds" | "knownIds"
    >,
  ) {
    this.#known = known;
    this.#told = knownIds;
    this.#expected = new Map(
      destinations.flatMap(({ key, path }) =>
        Object.hasOwn(expectedIds, key) ? [[path, expectedIds[key]!] as const] : []
      ),
    );
  }

  idAt(path: string): string | undefined {
    return this.#expected.get(path) ?? this.#known.idAt(path);
  }

  remember(path: string, destinationId: string): void {
    this.#known.remember(path, destinationId);
  }

  /** What anybody knows of a destination's path on this machine. */
  place({ key, path }: DestinationSpec): KnownPlace {
    const told = Object.hasOwn(this.#told, key) ? this.#told[key] : undefined;
    return { here: [this.idAt(path), told ?? undefined], isKnownElsewhere: told === null };
  }
}
