/** Looks at the lanes of a page at each frame. Rule: it reads what a person sees, and nothing of the page's own data. */
import type { Page } from "playwright-core";

export interface WatchedLane {
  run: string;
  destination: string;
  /** The first word of what the lane says it does. */
  phase: string;
  percent: number;
  /** Files. */
  done: number;
  total: number;
}

/** Runs in the browser, whose types are not these files'. */
const WATCH = `
  globalThis.watchedLanes = [];
  const last = new Map();
  globalThis.spokenSentences = [];
  const number = (text) => Number(text.replaceAll(",", ""));
  const look = () => {
    for (const bar of document.querySelectorAll('.lane [role="progressbar"]')) {
      const text = bar.getAttribute("aria-valuetext");
      const { run, destination } = bar.closest(".lane").dataset;
      if (last.get(run + destination) === text) continue;
      last.set(run + destination, text);
      const [, done, total] = /([\\d,]+) of ([\\d,]+) files/.exec(text);
      globalThis.watchedLanes.push({
        run,
        destination,
        phase: text.split(/[ ,]/)[0],
        percent: Number(bar.getAttribute("aria-valuenow")),
        done: number(done),
        total: number(total),
      });
    }
    const spoken = document.querySelector(".verdict [role=status]").textContent;
    if (globalThis.spokenSentences.at(-1) !== spoken) globalThis.spokenSentences.push(spoken);
    requestAnimationFrame(look);
  };
  look();
`;

/** From now on, also in views that come later, until the page is loaded again. */
export async function startWatch(page: Page): Promise<void> {
  await page.evaluate(`(() => {${WATCH}})()`);
}

export async function readWatch(page: Page): Promise<WatchedLane[]> {
  return await page.evaluate("globalThis.watchedLanes") as WatchedLane[];
}

/** What a screen reader was given to say about the run as a whole. */
export async function readSpoken(page: Page): Promise<string[]> {
  return await page.evaluate("globalThis.spokenSentences") as string[];
}
