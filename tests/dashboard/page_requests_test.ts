/** What the page asks of a coordinator that is played by hand. Rule: looked at where it arrives, behind the real API. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { ListRunFiles, ListSelection, StartRun } from "../../protocol/mesh/console_methods.ts";
import { openBrowser } from "../support/browser.ts";
import { showConsole } from "../support/shown_console.ts";
import { needs } from "../support/tools.ts";
import { seriousProblems } from "./axe.ts";
import { SCENE_MS, SCENES, sceneSelection } from "./scenes.ts";

const WITHIN_MS = 20_000;
const FILES = 250_000;

Deno.test({
  ...needs(
    "a repository's password goes along by its name, and files beyond 100,000 are one click away",
    "linux",
    "chromium",
  ),
  // The driver keeps pipes to the browser's process.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    const started: unknown[] = [];
    const offsets: number[] = [];
    await using shown = showConsole(SCENES.repository, SCENE_MS, {
      [ListSelection.name]: () => sceneSelection(),
      [StartRun.name]: (params) => {
        started.push(params);
        return { runId: "run-1" };
      },
      [ListRunFiles.name]: ({ offset, limit }: { offset: number; limit: number }) => {
        offsets.push(offset);
        const rows = Array.from(
          { length: Math.max(0, Math.min(limit, FILES - offset)) },
          (_, at) => ({
            ...{ path: `file ${offset + at}`, sizeBytes: 1, marks: "vvvv" },
          }),
        );
        const destinations = ["SSD", "USB disk", "NAS", "Cellar"];
        return { destinations, rows, total: FILES, unlisted: 0, isLive: false, notes: [] };
      },
    });
    await using browser = await openBrowser();
    const context = await browser.newContext();
    context.setDefaultTimeout(WITHIN_MS);
    const page = await context.newPage();
    await page.goto(shown.loginUrl());
    await page.goto(`${shown.origin}/#backup`);
    await startToRepository(page);
    const [{ job }] = started as [{ job: Record<string, unknown> }];
    assert.deepEqual(job["keys"], { repositoryPassword: "vault" });
    assert.deepEqual(job["destinations"], [
      { path: "/mnt/ssd", key: "SSD" },
      { path: "restic:/mnt/nas/vault", key: "Vault" },
    ]);

    shown.show(SCENES.end);
    const matrix = page.locator(".matrix");
    await matrix.scrollIntoViewIfNeeded();
    await matrix.getByText("of 250,000 files read so far").waitFor();
    await matrix.getByText("file 0,").waitFor();
    assert.deepEqual(await seriousProblems(page), []);
    await matrix.getByRole("button", { name: "Next" }).click();
    await matrix.getByText("file 100000,").waitFor();
    // From there on nothing of the first stretch is asked for, and the last one is shorter.
    offsets.length = 0;
    await matrix.getByLabel("Files that are shown").selectOption("200,001–250,000");
    await matrix.getByText("Files 200,001–250,000 of 250,000").waitFor();
    await matrix.getByText("file 200000,").waitFor();
    assert.ok(offsets.filter((offset) => offset < 100_000).length === 0, offsets.join());
    assert.ok(await matrix.getByRole("button", { name: "Next" }).isDisabled());
  },
});

Deno.test({
  ...needs("a lane says which agent it waits for until that is heard", "linux", "chromium"),
  sanitizeOps: false,
  sanitizeResources: false,
  async fn() {
    await using shown = showConsole(SCENES.silent, SCENE_MS, {});
    await using browser = await openBrowser();
    const context = await browser.newContext({ viewport: { width: 400, height: 900 } });
    context.setDefaultTimeout(WITHIN_MS);
    const page = await context.newPage();
    await page.goto(shown.loginUrl());
    const silent = page.getByText("Waiting for agent cellar, silent for 12 s");
    await page.locator('.lane[data-destination="NAS"]').filter({ has: silent }).waitFor();
    assert.equal(await silent.count(), 1, "nobody waits at the others");
    assert.deepEqual(await seriousProblems(page), []);
    const spills = "document.documentElement.scrollWidth - innerWidth";
    assert.ok(await page.evaluate<number>(spills) <= 0, "it is no wider than a phone");
    shown.show(SCENES.race);
    await silent.waitFor({ state: "detached" });
    await page.getByText("Photos/2026/IMG_4021.jpg").first().waitFor();
  },
});

async function startToRepository(page: Page): Promise<void> {
  const start = page.getByRole("button", { name: "Start", exact: true });
  await page.getByText("/home/ada/Photos").waitFor();
  assert.ok(await start.isDisabled());
  await page.getByLabel("Name of the repository's password").fill("vault");
  await page.getByRole("button", { name: "Show “Start” as a command" }).click();
  await page.getByRole("dialog").getByText("--password-name vault").waitFor();
  await page.keyboard.press("Escape");
  await start.click();
  await page.getByText("The run was started").waitFor();
}
