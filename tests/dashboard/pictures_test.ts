/**
 * How the page looks in its main states, in light and dark, compared with committed pictures (UPDATE_PICTURES=1 writes them
 * anew: look at them then). Rule: the states are made by hand and nothing moves, so that only the page can make a difference.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { BrowserContext, Page, Request } from "playwright-core";
import {
  GetSettings,
  ListProfiles,
  ListRunFiles,
  ListSelection,
} from "../../protocol/mesh/console_methods.ts";
import type { ConsoleState } from "../../protocol/mesh/console_state.ts";
import { openBrowser } from "../support/browser.ts";
import { differenceOf, openPinnedContext, pinPage, twoFrames } from "../support/pinned_page.ts";
import { type Answers, showConsole, type ShownConsole } from "../support/shown_console.ts";
import { needs } from "../support/tools.ts";
import { SCENE_MS, sceneFiles, SCENES, sceneSelection } from "./scenes.ts";

const FOLDER = new URL("./pictures/", import.meta.url);
const UPDATE = Deno.env.get("UPDATE_PICTURES") === "1";
/** Edges of letters and boxes; a bar or a box of another colour is more. */
const SHARE_MAX = 0.004;
const WITHIN_MS = 20_000;
const DESK = { width: 1280, height: 1000 };
const PHONE = { width: 400, height: 1000 };

interface Shot {
  name: string;
  scene: ConsoleState;
  view: string;
  size: { width: number; height: number };
  schemes: readonly ("light" | "dark")[];
  /** Begins with this part of the view. */
  at?: string;
}

const BOTH = ["light", "dark"] as const;
const SHOTS: readonly Shot[] = [
  { name: "empty", scene: SCENES.empty, view: "overview", size: DESK, schemes: ["light"] },
  { name: "race", scene: SCENES.race, view: "overview", size: DESK, schemes: BOTH },
  { name: "race-phone", scene: SCENES.race, view: "overview", size: PHONE, schemes: ["dark"] },
  {
    ...{ name: "mesh", scene: SCENES.race, view: "overview", size: DESK, schemes: BOTH },
    at: ".mesh",
  },
  {
    ...{ name: "mesh-of-50", scene: SCENES.many, view: "overview", size: DESK },
    ...{ schemes: ["light"] as const, at: ".mesh" },
  },
  { name: "backup", scene: SCENES.repository, view: "backup", size: DESK, schemes: ["light"] },
  { name: "end", scene: SCENES.end, view: "overview", size: DESK, schemes: BOTH },
];

const ANSWERS: Answers = {
  [ListRunFiles.name]: ({ offset, limit }: { offset: number; limit: number }) =>
    sceneFiles(offset, limit),
  [ListSelection.name]: () => sceneSelection(),
  [ListProfiles.name]: () => ({ profiles: [] }),
  [GetSettings.name]: () => ({ settings: { options: {}, discoverFrom: null } }),
};

Deno.test({
  ...needs("the page looks as it did in its main states, in light and dark", "linux", "chromium"),
  // The driver keeps pipes to the browser's process between steps.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    await using browser = await openBrowser();
    await using shown = showConsole(SCENES.empty, SCENE_MS, ANSWERS);
    const scale = await (await browser.newContext()).newPage();
    const wrong: string[] = [];
    const seen = new Map<string, Uint8Array>();
    for (const scheme of BOTH) {
      for (const size of [DESK, PHONE]) {
        const wanted = SHOTS.filter((one) => one.size === size && one.schemes.includes(scheme));
        if (wanted.length === 0) continue;
        const context = await openPinnedContext(browser, { colorScheme: scheme, ...size });
        const page = await logIn(context, shown);
        for (const shot of wanted) {
          const name = `${shot.name}-${scheme}`;
          const png = await take(page, shown, shot);
          seen.set(name, png);
          if (UPDATE) {
            mkdirSync(FOLDER, { recursive: true });
            writeFileSync(new URL(`${name}.png`, FOLDER), png);
            continue;
          }
          const before = readFileSync(new URL(`${name}.png`, FOLDER));
          const share = await differenceOf(scale, before, png);
          if (share <= SHARE_MAX) continue;
          const kept = await Deno.makeTempFile({ prefix: `${name}-`, suffix: ".png" });
          writeFileSync(kept, png);
          wrong.push(`${name}: ${(share * 100).toFixed(2)} % of it differs; it looks like ${kept}`);
        }
        await context.close();
      }
    }
    assert.deepEqual(wrong, [], "UPDATE_PICTURES=1 writes the pictures anew");

    // What is compared would notice: one lane that ends otherwise is more than the tolerance.
    const context = await openPinnedContext(browser, { colorScheme: "light", ...DESK });
    const page = await logIn(context, shown);
    const race = SHOTS.find(({ name }) => name === "race")!;
    const other = await take(page, shown, { ...race, scene: SCENES.otherEnd });
    const share = await differenceOf(scale, seen.get("race-light")!, other);
    assert.ok(share > SHARE_MAX * 2, `only ${share}`);
    assert.equal(await differenceOf(scale, other, other), 0);
  },
});

/** A page, and what it has asked for and not got yet. */
interface OpenPage {
  page: Page;
  asked: Set<Request>;
}

async function logIn(context: BrowserContext, shown: ShownConsole): Promise<OpenPage> {
  context.setDefaultTimeout(WITHIN_MS);
  const page = await context.newPage();
  const asked = new Set<Request>();
  page.on("request", (request) => asked.add(request));
  page.on("requestfinished", (request) => asked.delete(request));
  page.on("requestfailed", (request) => asked.delete(request));
  // Of what the page before has asked for, nobody may be told the end.
  page.on("framenavigated", () => asked.clear());
  await page.goto(shown.loginUrl());
  await isLive(page);
  return { page, asked };
}

async function isLive(page: Page): Promise<void> {
  await page.getByText("Live", { exact: true }).waitFor();
}

async function take(open: OpenPage, shown: ShownConsole, shot: Shot): Promise<Uint8Array> {
  const { page } = open;
  const { scene, view, at } = shot;
  shown.show(scene);
  await page.goto(`${shown.origin}/#${view}`);
  await page.reload();
  await isLive(page);
  await page.locator(`.view.is-${view}`).waitFor();
  await pinPage(page);
  if (at !== undefined) await scrollTo(page, at);
  await page.getByText("Loading…").first().waitFor({ state: "hidden" });
  await settled(open);
  if (at !== undefined) {
    // What has come since may have moved it.
    await scrollTo(page, at);
    await settled(open);
  }
  return await page.screenshot({ animations: "disabled" });
}

async function scrollTo(page: Page, selector: string): Promise<void> {
  const part = JSON.stringify(selector);
  await page.evaluate(
    `document.querySelector(${part}).scrollIntoView({ block: "start", behavior: "instant" })`,
  );
}

/** What is asked for and drawn by and by has come: nothing is asked any more, and two looks in a row are the same. */
async function settled({ page, asked }: OpenPage): Promise<void> {
  let before = "";
  for (let look = 0; look < 50; look++) {
    await twoFrames(page);
    const now = (await page.screenshot({ animations: "disabled" })).toString("base64");
    if (now === before && asked.size === 0) return;
    before = now;
  }
  const open = [...asked].map((request) => request.url()).join(", ");
  throw new Error(`The page does not come to rest${open === "" ? "" : `, it waits for ${open}`}`);
}
