/**
 * Pictures of the page that are the same on every machine. Rule: one font for all, no motion, time stands still, and what is
 * compared is half as large, so that the edges of letters do not matter.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Browser, BrowserContext, Page } from "playwright-core";

const FONT = readFileSync(
  createRequire(import.meta.url).resolve(
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
  ),
).toString("base64");
const STYLE = `
  @font-face {
    font-family: Pinned;
    font-weight: 100 900;
    src: url(data:font/woff2;base64,${FONT}) format("woff2");
  }
  * { font-family: Pinned !important; }
  /* What browsers draw in forms is theirs to change. */
  input[type="range"] { visibility: hidden; }
  select { appearance: none; }
`;
/** A channel that is this far off makes a pixel another one. */
const FAR = 40;

export async function openPinnedContext(
  browser: Browser,
  { colorScheme, width, height }: { colorScheme: "light" | "dark"; width: number; height: number },
): Promise<BrowserContext> {
  const context = await browser.newContext({
    viewport: { width, height },
    deviceScaleFactor: 0.5,
    colorScheme,
    reducedMotion: "reduce",
    locale: "en-GB",
    timezoneId: "UTC",
    // The page itself lets no font in but those of the system.
    bypassCSP: true,
  });
  // A page that is loaded anew begins at its top; the browser would go to where the last one was, or as near as the page
  // is long by then.
  await context.addInitScript("performance.now = () => 1000; history.scrollRestoration = 'manual'");
  return context;
}

export async function pinPage(page: Page): Promise<void> {
  await page.addStyleTag({ content: STYLE });
  await page.evaluate("document.fonts.load('16px Pinned').then(() => document.fonts.ready)");
}

/** What depends on its own width is laid out again, a frame later. */
export async function twoFrames(page: Page): Promise<void> {
  await page.evaluate(
    "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))",
  );
}

/** The share of pixels that differ, 0–1; 1 when one picture is not as large as the other. Worked out by a page's canvas. */
export async function differenceOf(page: Page, one: Uint8Array, two: Uint8Array): Promise<number> {
  const urls = [one, two].map((png) =>
    `data:image/png;base64,${Buffer.from(png).toString("base64")}`
  );
  return await page.evaluate<number>(`(${COMPARE})(${JSON.stringify(urls)}, ${FAR})`);
}

/** Runs in the browser. */
const COMPARE = `async (urls, far) => {
  const [a, b] = await Promise.all(urls.map(async (src) => {
    const image = new Image();
    image.src = src;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    return pen.getImageData(0, 0, image.width, image.height);
  }));
  if (a.width !== b.width || a.height !== b.height) return 1;
  let differing = 0;
  for (let at = 0; at < a.data.length; at += 4) {
    if ([0, 1, 2].some((c) => Math.abs(a.data[at + c] - b.data[at + c]) > far)) differing++;
  }
  return differing / (a.data.length / 4);
}`;
