/** The schema's history. Rule: entry N brings version N to N + 1; an entry that was released never changes. */
import jobs from "./sql/001_jobs.sql" with { type: "text" };
import mesh from "./sql/002_mesh.sql" with { type: "text" };
import documents from "./sql/003_documents.sql" with { type: "text" };
import destinationIds from "./sql/004_destination_ids.sql" with { type: "text" };
import knownDestinations from "./sql/005_known_destinations.sql" with { type: "text" };

export const MIGRATIONS: readonly string[] = [
  jobs,
  mesh,
  documents,
  destinationIds,
  knownDestinations,
];
