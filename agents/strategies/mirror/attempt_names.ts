/** Names of stages: run and attempt. Rule: only attempts of one run can be told which came later. Pure. */

export function stageNameOf(runId: string, epoch: number): string {
  return `${runId}-${epoch}`;
}

/** Run and attempt that a stage's name says; undefined for what is no attempt's. */
export function attemptOf(stageName: string): { runId: string; epoch: number } | undefined {
  const found = /^(.+)-([0-9]{1,15})$/.exec(stageName);
  return found === null ? undefined : { runId: found[1]!, epoch: Number(found[2]) };
}

/** A later attempt of the same run than the one whose stage is `own`. */
export function isLater(stageName: string, own: string): boolean {
  const [theirs, ours] = [attemptOf(stageName), attemptOf(own)];
  return theirs !== undefined && ours !== undefined && theirs.runId === ours.runId &&
    theirs.epoch > ours.epoch;
}

/** An earlier attempt of the same run. */
export function isEarlier(stageName: string, own: string): boolean {
  return isLater(own, stageName);
}
