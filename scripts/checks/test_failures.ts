/**
 * What failed in a run of `deno test`, told so that it can be read at the end and run again by itself. Rule: nothing that
 * failed is left out; when it is not clear which files they are, there are none to run again.
 */
import { plainText } from "./test_summary.ts";

export interface TestFailures {
  /** The files they are in, each once, as `deno test` names them: `./tests/one_test.ts`. */
  files: string[];
  /** Every error with its trace, as `deno test` tells them after the last test. */
  errors: string;
}

/** A run that fails in more files than this has not failed for want of a processor. */
export const FILES_JUDGED_ALONE = 5;

/** Undefined when the run has no list of failures: it passed, or it did not finish. */
export function readFailures(output: string): TestFailures | undefined {
  const text = plainText(output);
  const list = text.lastIndexOf("\n FAILURES \n");
  const errors = text.lastIndexOf("\n ERRORS \n", list);
  if (list < 0 || errors < 0) return undefined;
  const files = new Set<string>();
  for (const line of text.slice(list).split("\n").slice(2)) {
    if (/^FAILED \| /.test(line)) break;
    const file = /=> (\.\/\S+?):\d+:\d+$/.exec(line) ?? /^(\.\/\S+) \(uncaught error\)$/.exec(line);
    if (file !== null) files.add(file[1]!);
  }
  return { files: [...files], errors: text.slice(errors, list).trim() };
}
