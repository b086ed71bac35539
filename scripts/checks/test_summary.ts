/** Counts the results of `deno test`. Rule: they are read from its own last summary line, which also counts broken files. */

export interface TestSummary {
  passed: number;
  failed: number;
  skipped: number;
}

// deno-lint-ignore no-control-regex
const COLOURS = /\x1b\[[0-9;]*m/g;
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed(?: \([^)]*\))?(.*)$/gm;

/** What a program wrote, without its colours. */
export const plainText = (output: string): string => output.replace(COLOURS, "");

/** The counts in the output of a test run; undefined when it ended before its summary. Steps are not counted. */
export function readSummary(output: string): TestSummary | undefined {
  const last = [...plainText(output).matchAll(SUMMARY)].at(-1);
  if (last === undefined) return undefined;
  const skipped = /\| (\d+) ignored/.exec(last[3]!);
  return {
    passed: Number(last[1]),
    failed: Number(last[2]),
    skipped: skipped === null ? 0 : Number(skipped[1]),
  };
}

/** All of them together; undefined when one of them did not finish. */
export function addSummaries(summaries: (TestSummary | undefined)[]): TestSummary | undefined {
  const sum: TestSummary = { passed: 0, failed: 0, skipped: 0 };
  for (const one of summaries) {
    if (one === undefined) return undefined;
    sum.passed += one.passed;
    sum.failed += one.failed;
    sum.skipped += one.skipped;
  }
  return sum;
}

export function formatSummary({ passed, failed, skipped }: TestSummary): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
