/**
 * `deno task bench mirror|codec|mesh|snapshot|dashboard`: measures the program against the tools people use today. Rule: it leaves nothing behind,
 * also when it is interrupted, and its exit code says only whether it could measure, never whether we won.
 */
import { parseArgs } from "node:util";
import { codecBench } from "../tests/bench/codec_bench.ts";
import {
  DASHBOARD_PARTS,
  DASHBOARD_SIZES,
  dashboardBench,
  type DashboardPartName,
} from "../tests/bench/dashboard_bench.ts";
import { MESH_PARTS, MESH_SIZES, meshBench, type MeshPartName } from "../tests/bench/mesh_bench.ts";
import {
  mirrorBench,
  type MirrorBenchOptions,
  type PartName,
  PARTS,
  SIZES,
} from "../tests/bench/mirror_bench.ts";
import { createProcesses, StoppedError } from "../tests/bench/processes.ts";
import { renderSnapshotTable, snapshotBench } from "../tests/bench/snapshot_bench.ts";
import { SNAPSHOT_SIZES } from "../tests/bench/snapshot_sources.ts";
import { providePackage } from "./checks/debian_tools.ts";
import { renderFacts, renderPart } from "../tests/bench/render_report.ts";

const USAGE = `Usage: deno task bench mirror [OPTIONS]     (Linux, as root)
       deno task bench codec [--quick] [--rounds N] [--dir DIR] [--from DIR] [--json FILE]
       deno task bench snapshot [--quick] [--rounds N] [--dir DIR] [--from DIR] [--json FILE]
       deno task bench mesh [--quick] [--rounds N] [--only PART] [--json FILE]
       deno task bench dashboard [--quick] [--only PART] [--json FILE]

  --quick          A small version, within a minute; its numbers are no evidence
  --size SIZE      ${Object.keys(SIZES).join(", ")} [default full]
  --only PART      Only this part; repeatable: ${PARTS.join(", ")}
                   (mesh: ${MESH_PARTS.join(", ")};
                   dashboard: ${DASHBOARD_PARTS.join(", ")})
  --rounds N       How often each contender runs
  --drop WHAT      Forgotten before the others' check: pages (as ours does), all [default pages]
  --dir DIR        Folder for the file system's image [default: the temporary folder]
  --from DIR       Where real small files are taken from; repeatable [default /usr/share, /usr/lib]
  --json FILE      Also write everything that was measured as JSON
`;

const FROM_DEFAULT = ["/usr/share", "/usr/lib"];
const CODEC_BYTES = { full: 2 ** 30, quick: 64 << 20 };
const CODEC_ROUNDS = { full: 3, quick: 1 };
const MESH_ROUNDS = { full: 3, quick: 1 };
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_STOPPED = 130;

// `deno bench` takes a file of this name for a benchmark: loaded that way it must do nothing.
if (import.meta.main) Deno.exit(await main(Deno.args));

async function main(words: string[]): Promise<number> {
  let options: Options;
  try {
    options = readOptions(words);
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${USAGE}`);
    return EXIT_USAGE;
  }

  const processes = createProcesses(environment());
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, processes.stop);
  }
  try {
    const shown: Pick<MirrorBenchOptions, "say" | "onStart" | "onPart"> = {
      say: (line) => console.error(line),
      onStart: (facts) => console.log(`${renderFacts(facts)}\n`),
      onPart: (part) => console.log(renderPart(part)),
    };
    const result = options.bench === "codec"
      ? await codecBench(processes, { ...options, ...options.codec, ...shown })
      : options.bench === "snapshot"
      ? await snapshotTable(processes, { ...options, ...options.snapshot, ...shown })
      : options.bench === "mesh"
      ? await meshBench(processes, { ...options.mesh, ...shown })
      : options.bench === "dashboard"
      ? await dashboardBench(processes, { ...options.dashboard, ...shown })
      : await mirrorBench(processes, { ...options, ...shown });
    if (options.json !== undefined) {
      Deno.writeTextFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
    }
    return 0;
  } catch (error) {
    if (error instanceof StoppedError) return EXIT_STOPPED;
    console.error(`The bench failed: ${messageOf(error)}`);
    return EXIT_FAILED;
  }
}

async function snapshotTable(...args: Parameters<typeof snapshotBench>) {
  if (!await providePackage("borgbackup", "borg")) {
    console.error("borg is missing and takes no part");
  }
  const result = await snapshotBench(...args);
  console.log(renderSnapshotTable(result.rows));
  return result;
}

function readOptions(words: string[]) {
  const { values, positionals } = parseArgs({
    args: words,
    allowPositionals: true,
    options: {
      quick: { type: "boolean" },
      size: { type: "string" },
      only: { type: "string", multiple: true },
      rounds: { type: "string" },
      drop: { type: "string" },
      dir: { type: "string" },
      from: { type: "string", multiple: true },
      json: { type: "string" },
    },
  });
  if (positionals.length !== 1) {
    throw new Error("Name the bench: mirror, codec, mesh, snapshot or dashboard");
  }
  const bench = oneOf(
    "bench",
    positionals.join(" "),
    ["mirror", "codec", "mesh", "snapshot", "dashboard"] as const,
  );
  const size = SIZES[oneOf("size", values.size ?? (values.quick ? "quick" : "full"), sizeNames())];
  const rounds = Number(values.rounds ?? size.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error("--rounds must be 1 or more");
  const codecSize = values.quick ? "quick" : "full";
  const isMesh = bench === "mesh";
  const isDashboard = bench === "dashboard";
  return {
    bench,
    codec: {
      sizeBytes: CODEC_BYTES[codecSize],
      rounds: values.rounds === undefined ? CODEC_ROUNDS[codecSize] : rounds,
    },
    snapshot: {
      size: SNAPSHOT_SIZES[codecSize],
      rounds: values.rounds === undefined ? SNAPSHOT_SIZES[codecSize].rounds : rounds,
    },
    mesh: {
      size: MESH_SIZES[codecSize],
      rounds: values.rounds === undefined ? MESH_ROUNDS[codecSize] : rounds,
      parts: (isMesh ? values.only ?? MESH_PARTS : MESH_PARTS).map((part): MeshPartName =>
        oneOf("part", part, MESH_PARTS)
      ),
    },
    dashboard: {
      size: DASHBOARD_SIZES[codecSize],
      parts: (isDashboard ? values.only ?? DASHBOARD_PARTS : DASHBOARD_PARTS).map((
        part,
      ): DashboardPartName => oneOf("part", part, DASHBOARD_PARTS)),
    },
    size: { ...size, rounds },
    parts: (isMesh || isDashboard ? PARTS : values.only ?? PARTS).map((part): PartName =>
      oneOf("part", part, PARTS)
    ),
    forgetBeforeCheck: oneOf("cache", values.drop ?? "pages", ["pages", "all"] as const),
    folder: values.dir ?? Deno.env.get("TMPDIR") ?? "/tmp",
    from: values.from ?? FROM_DEFAULT,
    json: values.json,
  };
}

type Options = ReturnType<typeof readOptions>;

function sizeNames(): (keyof typeof SIZES)[] {
  return Object.keys(SIZES) as (keyof typeof SIZES)[];
}

function oneOf<T extends string>(what: string, value: string, known: readonly T[]): T {
  const found = known.find((one) => one === value);
  if (found === undefined) throw new Error(`Unknown ${what}: ${value}; known: ${known.join(", ")}`);
  return found;
}

/** Neither the person's settings for our program nor their colours and languages change what is measured. */
function environment(): Record<string, string> {
  const kept = ["PATH", "HOME", "TMPDIR", "DENO_DIR", "XDG_CACHE_HOME"];
  const entries = kept.map((name) => [name, Deno.env.get(name)] as const);
  const set = entries.filter((entry): entry is [string, string] => entry[1] !== undefined);
  return {
    ...Object.fromEntries(set),
    LC_ALL: "C",
    DENO_NO_UPDATE_CHECK: "1",
    // A folder without a configuration file.
    XDG_CONFIG_HOME: "/nonexistent",
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
