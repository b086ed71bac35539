/** A mesh of real processes with its dashboard. Rule: as `mesh_processes.ts` has it; the coordinator serves the page too. */
import { createMesh, FAST, type Mesh, type RoleProcess, until } from "./mesh_processes.ts";
import { parseLines } from "./scene.ts";

export interface DashboardMesh extends AsyncDisposable {
  readonly mesh: Mesh;
  readonly workers: readonly RoleProcess[];
  /** Where the page is. */
  readonly origin: string;
  /** Logs one browser in, once. */
  readonly loginUrl: string;
  /** The API as somebody asks it who knows the token. */
  api(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>;
}

const SAID_WITHIN_MS = 30_000;

export async function startDashboardMesh(
  workers: readonly string[],
  words: readonly string[] = [],
): Promise<DashboardMesh> {
  const mesh = createMesh();
  try {
    const coordinator = await mesh.startRole("coordinator", {
      words: ["--no-scan", "--dashboard-port", "0", ...FAST, ...words],
    });
    const login = await until(
      () => parseLines(coordinator.running.out()).find((line) => "login_url" in line),
      SAID_WITHIN_MS,
      () => `No dashboard: ${coordinator.running.out()}`,
    );
    const started = await Promise.all(workers.map((name) => mesh.startWorker(name)));
    await mesh.untilAlive(workers.length);
    const loginUrl = String(login["login_url"]);
    const { origin } = new URL(loginUrl);
    return {
      mesh,
      workers: started,
      origin,
      loginUrl,
      async api(method, path, body) {
        const response = await fetch(`${origin}/api${path}`, {
          method,
          headers: {
            authorization: `Bearer ${mesh.token}`,
            ...(body === undefined ? {} : { "content-type": "application/json" }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const json = await response.json();
        if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(json)}`);
        return json;
      },
      [Symbol.asyncDispose]: () => mesh[Symbol.asyncDispose](),
    };
  } catch (error) {
    await mesh[Symbol.asyncDispose]();
    throw error;
  }
}
