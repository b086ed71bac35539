/**
 * `deno task test [--all] [FILE or deno test flag …]`: everything from a fresh machine to `N passed, N failed,
 * N skipped`. Rule: under CI=true, or with --all, formatting, lint and types are checked too, and nothing is skipped
 * for want of a tool.
 */
import { fileURLToPath } from "node:url";
import { createStepRunner, type StepResult, type StepRunner } from "./checks/deadline.ts";
import { provideTools } from "./checks/debian_tools.ts";
import {
  GROUPS_ALONE,
  GROUPS_AT_A_TIME,
  inOrder,
  OutputInTurn,
  TEST_GROUPS,
  type TestGroup,
} from "./checks/test_groups.ts";
import { FILES_JUDGED_ALONE, readFailures } from "./checks/test_failures.ts";
import {
  addSummaries,
  formatSummary,
  readSummary,
  type TestSummary,
} from "./checks/test_summary.ts";
import { MISSING_TOOLS_VARIABLE } from "../tests/support/tools.ts";

const DEADLINE_MS = 40 * 60_000;

/**
 * All of them, as the program has: with any less, Deno itself closes /proc, /sys and /dev to us and follows links before
 * it opens. Tests talk to this machine only, by their own doing.
 */
const PERMISSIONS = ["-A"];

const deno = Deno.execPath();
const root = fileURLToPath(new URL("..", import.meta.url));
const inCi = Deno.env.get("CI") === "true";

// `deno test` takes a file of this name for a test: loaded that way it must do nothing, least of all run the tests.
if (import.meta.main) {
  Deno.chdir(root);
  // Rust back traces make every expected error message twenty lines long.
  Deno.env.delete("RUST_BACKTRACE");
  Deno.exit(await test(Deno.args));
}

async function test(args: string[]): Promise<number> {
  const steps = createStepRunner(DEADLINE_MS);
  const failures: string[] = [];
  for (const [signal, exitCode] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    Deno.addSignalListener(signal, () => {
      steps.stop();
      Deno.exit(exitCode);
    });
  }

  const missing = await provideTools();
  if (missing.length > 0) {
    console.log(`Missing programs: ${missing.join(", ")}`);
    if (inCi) failures.push(`missing programs: ${missing.join(", ")}`);
    else console.log("Tests that need them are skipped by name.");
  }

  if (inCi || args.includes("--all")) {
    for (const check of [["fmt", "--check"], ["lint"], ["check"]]) {
      const { success } = await steps.run(deno, check);
      if (!success) failures.push(`deno ${check.join(" ")}`);
    }
  }

  const built = await steps.run(deno, ["task", "--quiet", "build"]);
  if (!built.success) failures.push("deno task build");

  const env = {
    ...(missing.length === 0 ? {} : { [MISSING_TOOLS_VARIABLE]: missing.join(",") }),
    ...(Deno.stdout.isTerminal() && !Deno.noColor ? { FORCE_COLOR: "1" } : {}),
  };
  const summary = await runTests(steps, args.filter((arg) => arg !== "--all"), env, failures);

  if (failures.length > 0) console.log(`\nFailed: ${failures.join("; ")}`);
  console.log(formatSummary(summary ?? { passed: 0, failed: 1, skipped: 0 }));
  return failures.length === 0 ? 0 : 1;
}

/**
 * All groups beside each other, or what was named in one process. Few files that fail beside others are run again when
 * nothing else runs, and that judges them; both are told, with the errors, at the end, where a long log is read first.
 */
async function runTests(
  steps: StepRunner,
  args: string[],
  env: Record<string, string>,
  failures: string[],
): Promise<TestSummary | undefined> {
  const isNamed = args.some((arg) => !arg.startsWith("-"));
  const together = isNamed ? [{ name: "tests", paths: [], ignored: [] }] : TEST_GROUPS;
  const alone = isNamed ? [] : GROUPS_ALONE;
  const groups = [...together, ...alone];
  const output = new OutputInTurn((part) => Deno.stdout.writeSync(part));
  const run = async ({ paths, ignored }: TestGroup, at: number): Promise<StepResult> => {
    const ignore = ignored.length === 0 ? [] : [`--ignore=${ignored.join(",")}`];
    const result = await steps.run(
      deno,
      ["test", ...PERMISSIONS, ...ignore, ...args, ...paths],
      env,
      (part) => output.show(at, part),
    );
    output.end(at);
    return result;
  };
  const results = [
    ...await inOrder(together, GROUPS_AT_A_TIME, run),
    ...await inOrder(alone, 1, (group, at) => run(group, together.length + at)),
  ];
  const summaries: (TestSummary | undefined)[] = [];
  const told: string[] = [];
  for (const [at, { success, output }] of results.entries()) {
    const { name, isJudgedAlone = false } = groups[at]!;
    const summary = readSummary(output);
    summaries.push(summary);
    if (summary === undefined) failures.push(`${name}: deno test did not finish`);
    if (success || summary === undefined) continue;
    const { files, errors } = readFailures(output) ?? { files: [], errors: "see above" };
    const isAgain = isJudgedAlone && files.length > 0 && files.length <= FILES_JUDGED_ALONE;
    if (isAgain) console.log(`\nFailed beside other tests, judged alone: ${files.join(" ")}`);
    const again = isAgain &&
      (await steps.run(deno, ["test", ...PERMISSIONS, ...args, ...files], env)).success;
    if (again) summaries[at] = { ...summary, passed: summary.passed + summary.failed, failed: 0 };
    else failures.push(name);
    told.push(`Failed in ${name}${again ? " beside other tests, passed alone" : ""}:\n${errors}`);
  }
  for (const text of told) console.log(`\n${text}`);
  const summary = addSummaries(summaries);
  if (summary?.passed === 0) failures.push("no test ran");
  return summary;
}
