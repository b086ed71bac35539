/** Who may import whom. Rule: dependencies point one way, and every line of this table says why. */

export interface Layer {
  /** The folder whose files the line is about. */
  in: string;
  /** All of ours that these files may import; absent: anything but `never`. */
  only?: readonly string[];
  never?: readonly string[];
  because: string;
}

/** A file must satisfy every line whose folder it lies in. */
export const LAYERS: readonly Layer[] = [
  {
    in: "protocol",
    only: ["protocol"],
    because: "the protocol is what two processes agree on, it knows neither of them",
  },
  { in: "protocol/base", only: ["protocol/base"], because: "nothing of ours lies below base" },
  {
    in: "protocol/rpc",
    only: ["protocol/base", "protocol/rpc"],
    because: "JSON-RPC knows nothing of what it carries",
  },
  {
    in: "protocol/a2a",
    only: ["protocol/base", "protocol/rpc", "protocol/a2a"],
    because: "A2A as its specification has it knows nothing of our extension",
  },
  {
    in: "agents",
    only: ["protocol", "agents"],
    because: "agents, coordinator and dashboard meet only through the protocol",
  },
  {
    in: "coordinator",
    only: ["protocol", "coordinator"],
    because: "agents, coordinator and dashboard meet only through the protocol",
  },
  {
    in: "dashboard",
    only: ["protocol", "dashboard"],
    because: "agents, coordinator and dashboard meet only through the protocol",
  },
  {
    in: "dashboard/page",
    only: ["protocol", "dashboard/page", "dashboard/api_client.ts", "dashboard/socket_messages.ts"],
    because: "the page runs in a browser and knows the server by its types",
  },
  {
    in: "agents/platform",
    never: ["agents/strategies", "agents/queue", "agents/repository", "agents/worker"],
    because: "the platform room offers system calls and knows no one who uses them",
  },
  {
    in: "agents/destinations",
    never: ["agents/strategies", "agents/queue", "agents/repository", "agents/worker"],
    because: "a destination stores bytes and does not know who copies them",
  },
  {
    in: "agents/queue",
    never: ["agents/strategies", "agents/worker"],
    because: "a queue orders work and does not know what the work is",
  },
  {
    in: "agents/kernels",
    only: ["protocol/base", "agents/kernels"],
    because: "the kernels are two loops and know nobody who uses them",
  },
  {
    in: "agents/repository",
    only: [
      "protocol",
      "agents/repository",
      "agents/kernels",
      "agents/destinations/object_store.ts",
      "agents/destinations/memory_object_store.ts",
    ],
    because: "a repository sees the store's port, never its kinds, and neither threads nor queues",
  },
  {
    in: "coordinator/scheduler",
    only: ["protocol", "coordinator/scheduler"],
    because: "the scheduler is a pure function of its view",
  },
  {
    in: "scripts",
    only: ["scripts", "tests", "protocol"],
    because: "developer tools use the program as people do: by running it",
  },
];

/** Folders that are about the program but no part of it: nothing else may import them. */
export const OUTSIDE = ["tests", "scripts"] as const;

/** True when repository path `path` is `folder` or lies in it. */
export function liesIn(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/** True for files that run only under `deno test` or `deno bench`; a `_suite` is shared by several tests. */
export function isTestFile(path: string): boolean {
  return liesIn(path, "tests") || /_(test|bench|suite)\.ts$/.test(path);
}

/** Files that may read the clock: the one room that wraps it, and what is no part of the program. */
export function isFreeOfClock(path: string): boolean {
  return liesIn(path, "protocol/base") || liesIn(path, "scripts") || isTestFile(path);
}
