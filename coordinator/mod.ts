/** The coordinator's door: what the executable and other folders may use. */
export { createCoordinator } from "./runs/coordinator.ts";
export type { Coordinator, CoordinatorDependencies, RunOptions } from "./runs/coordinator.ts";
export type { Agent, DestinationEnd } from "./runs/run_context.ts";
export { verdict } from "./runs/verdict.ts";
export { openMemoryStore, openSqliteStore } from "./store/open_store.ts";
export type { JobStore } from "./store/job_store.ts";
export type { StoredEvent, StoredRun, StoredTask } from "./store/records.ts";
export { createMeshCoordinator } from "./mesh/mesh_coordinator.ts";
export type { MeshCoordinator, MeshCoordinatorDeps } from "./mesh/mesh_coordinator.ts";
export { coordinatorRole, createCoordinatorRole } from "./server/coordinator_role.ts";
export type { CoordinatorRoleDeps, OwnAgent } from "./server/coordinator_role.ts";
