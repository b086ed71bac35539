/**
 * The page in a real browser, over one mesh of real processes from its first run to a restore. Rule: one browser, one mesh;
 * steps follow each other as a person's day would, and each says what was seen.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { BrowserContext, Page, WebSocketRoute } from "playwright-core";
import { openBrowser } from "../support/browser.ts";
import { type DashboardMesh, startDashboardMesh } from "../support/dashboard_mesh.ts";
import { until } from "../support/mesh_processes.ts";
import { needs } from "../support/tools.ts";
import { ariaSketch, expectSketch } from "./aria_sketch.ts";
import { seriousProblems } from "./axe.ts";
import { readSpoken, readWatch, startWatch, type WatchedLane } from "./lane_watch.ts";

const SOURCES = ["Documents", "Photos", "Projects"];
const FILES = 40;
const FILE_BYTES = 80_000;
const SLOW_BYTES_PER_SECOND = 1_400_000;
/** Would run if it were ever read as markup. */
const MARKUP = `<img src=x onerror="globalThis.wasRead=1">.txt`;
const WITHIN_MS = 30_000;
const SIZES = { desk: { width: 1280, height: 900 }, phone: { width: 360, height: 740 } };
/** What makes the page scroll sideways; runs in the browser. */
const TOO_WIDE = `(() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  const over = [...document.querySelectorAll("main *")].filter((one) =>
    one.closest(".scroll") === null && one.getBoundingClientRect().right > wide + 1
  );
  return over.map((one) => one.tagName + "." + one.getAttribute("class"));
})()`;

/** The view that is shown is seen among the views to choose from; runs in the browser. */
const CURRENT_IS_SEEN = `(() => {
  const { left, right } = document.querySelector("nav [aria-current]").getBoundingClientRect();
  return left >= 0 && right <= document.documentElement.clientWidth;
})()`;

/** What of each view has the same form after every run of these steps. */
const VIEW_FORMS: Record<string, string> = {
  overview: ".verdict, .lane, .directories",
  backup: ".view",
  restore: ".view",
  history: ".cards",
  schedules: ".view",
  logs: ".filters",
  settings: ".view .box:not(:last-child)",
};

Deno.test({
  ...needs("the dashboard in a browser, from the first run to a restore", "linux", "chromium"),
  // The driver keeps pipes to the browser's process between steps.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    await using desk = await startDashboardMesh(["worker-1", "worker-2"]);
    await using browser = await openBrowser();
    const { origin, mesh: { folder } } = desk;
    fillSources(folder);
    const context = await browser.newContext({ viewport: SIZES.desk, acceptDownloads: true });
    context.setDefaultTimeout(WITHIN_MS);
    const seen = observe(context, origin);
    const sockets = await controlSockets(context);
    const step = (name: string, fn: () => Promise<void>) =>
      t.step({ name, fn, sanitizeOps: false, sanitizeResources: false });

    await step("without JavaScript the status is there, and no name of anything", async () => {
      const plain = await browser.newContext({ javaScriptEnabled: false });
      const page = await plain.newPage();
      await page.goto(origin);
      assert.equal(await page.locator(".verdict").innerText(), "Nothing has been copied yet");
      assert.match(
        await page.locator("main").innerText(),
        /2 of \d agents are there|3 of 3 agents/,
      );
      await plain.close();
    });

    const page = await context.newPage();
    await step(
      "without a session the page says how things are and how to log in, and no more",
      async () => {
        await page.goto(origin);
        await page.getByRole("heading", { name: "Log in to see more" }).waitFor();
        assert.deepEqual(await seriousProblems(page), []);
      },
    );

    await step(
      "the address that was printed logs in, and a run is started from the page",
      async () => {
        await page.goto(desk.loginUrl);
        await page.getByText("Live", { exact: true }).waitFor();
        await desk.api("POST", "/destinations", { path: `${folder}/fast`, label: "fast" });
        await desk.api("POST", "/destinations", {
          path: `${folder}/slow`,
          label: "slow",
          limitBytesPerSecond: SLOW_BYTES_PER_SECOND,
        });
        for (const name of SOURCES) {
          await desk.api("POST", "/selection", { path: `${folder}/home/${name}` });
        }
        await page.getByRole("link", { name: "Back up", exact: true }).click();
        await page.getByText(`${folder}/home/Photos`).waitFor();
        await startWatch(page);
        await page.getByRole("button", { name: "Start", exact: true }).click();
        await laneOf(page, "slow").waitFor();
      },
    );

    await step("the fast lane turns green while the slow one copies", async () => {
      await page.locator('.lane[data-destination="fast"].is-verified').waitFor();
      assert.match(await laneOf(page, "slow").innerText(), /Copying \d+ %/);
      assert.match(await laneOf(page, "fast").innerText(), /fastest/);
      const bar = page.getByRole("progressbar", { name: "slow" });
      assert.match(
        await bar.getAttribute("aria-valuetext") ?? "",
        /^Copying \d+ %, \d+ of 1\d\d files/,
      );
    });

    await step("axe finds nothing to complain about while it runs, in light and dark", async () => {
      assert.deepEqual(await seriousProblems(page), []);
      await page.emulateMedia({ colorScheme: "dark" });
      assert.deepEqual(await seriousProblems(page), []);
      await page.emulateMedia({ colorScheme: "light" });
    });

    await step("pause and resume are clicked, and the run obeys", async () => {
      await page.getByRole("button", { name: "Pause", exact: true }).click();
      await page.getByText(/Paused at \d+ %/).waitFor();
      assert.equal((await newestRun(desk)).isPaused, true);
      await page.getByRole("button", { name: "Resume", exact: true }).click();
      await page.getByText(/slow.*Copying \d+ %|Copying \d+ %/).first().waitFor();
      assert.equal((await newestRun(desk)).isPaused, false);
    });

    await step("numbers never exceed totals and never go back", async () => {
      checkWatched(await readWatch(page), 5);
    });

    await step("a screen reader hears when a phase or a copy ends, not every number", async () => {
      const spoken = await readSpoken(page);
      assert.ok(spoken.length >= 2 && spoken.length <= 12, spoken.join("\n"));
    });

    await step("after a reload in the middle everything is there again", async () => {
      const before = await percentOf(page, "slow");
      await page.reload();
      await laneOf(page, "slow").waitFor();
      assert.ok(await percentOf(page, "slow") >= before);
      await startWatch(page);
    });

    await step("without a socket the page asks instead, and goes back to the socket", async () => {
      sockets.refuse = true;
      for (const socket of sockets.open) await socket.close();
      await page.getByText("Every few seconds").waitFor();
      assert.ok(await laneOf(page, "slow").isVisible());
      sockets.refuse = false;
      await page.getByText("Live", { exact: true }).waitFor();
    });

    await step("names with markup in them are shown as text", async () => {
      await page.locator(".matrix").scrollIntoViewIfNeeded();
      await page.locator(".matrix .band canvas").first().waitFor();
      await page.locator(".matrix-file bdi").getByText(MARKUP).waitFor();
      assert.equal(await page.evaluate("globalThis.wasRead"), undefined);
    });

    await step("a task in hand is given to the other agent from the page", async () => {
      const row = page.locator(".tasks tbody tr", { has: page.locator(".handoff") }).first();
      const label = await row.locator("th").innerText();
      const to = row.getByLabel(`Agent that is to take ${label}`);
      const from = await row.locator("td").nth(1).innerText();
      await to.selectOption({ index: 1 });
      const other = await to.locator("option").nth(1).innerText();
      assert.ok(other.startsWith("worker-") && other !== from, `${from} → ${other}`);
      await row.getByRole("button", { name: "Show “Hand off” as a command" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByText(`backup-agent handoff task-`).getByText(other).waitFor();
      await dialog.getByText(/curl -X POST .*\/api\/tasks\/task-.*\/handoff/).waitFor();
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
      const taskId = await row.getAttribute("data-task");
      const mine = page.locator(`.tasks tr[data-task="${taskId}"]`);
      await mine.getByRole("button", { name: "Hand off", exact: true }).click();
      await page.getByText(`${label} goes to ${other}`, { exact: false }).waitFor();
      await mine.locator("td").nth(1).getByText(other).waitFor();
    });

    await step(
      "one destination is cancelled with a click, and the other stays verified",
      async () => {
        await page.getByRole("button", { name: "Cancel slow", exact: true }).click();
        await page.locator('.lane[data-destination="slow"].is-cancelled').waitFor();
        assert.ok(await page.locator('.lane[data-destination="fast"].is-verified').isVisible());
        await page.getByRole("button", { name: "Retry failures", exact: true }).waitFor();
        assert.ok(seen.dialogs.some((text) => text.startsWith("Give up slow")));
      },
    );

    await step(
      "what did not get through is tried again; kill -9 of a worker is seen on the map",
      async () => {
        await page.getByRole("button", { name: "Retry failures", exact: true }).click();
        await page.locator(".task-dot.is-running").first().waitFor();
        const victim = await busyWorker(desk);
        await desk.workers.find((worker) => worker.name === victim)!.crash();
        await page.locator(`.node[data-agent="${victim}"][data-state="dead"]`).waitFor();
        await page.locator(`tr[data-agent="${victim}"]`).getByText("Dead").waitFor();
        await page.locator('.lane[data-destination="slow"].is-verified').waitFor();
        await page.locator(".verdict.is-good").waitFor();
        const { exitCode } = await newestRun(desk);
        assert.equal(exitCode, 0);
        checkWatched(await readWatch(page), 10);
      },
    );

    await step("a file is found, looked at and downloaded as it was", async () => {
      await page.getByRole("link", { name: "Restore", exact: true }).click();
      await page.getByRole("button", { name: "Documents", exact: true }).click();
      await page.getByText(MARKUP, { exact: true }).waitFor();
      assert.equal(await page.evaluate("globalThis.wasRead"), undefined);
      const download = page.waitForEvent("download");
      await page.getByRole("link", { name: "Download Documents/file-3.txt" }).click();
      const path = await (await download).path();
      assert.deepEqual(readFileSync(path), readFileSync(`${folder}/home/Documents/file-3.txt`));
      await page.getByLabel("Search by name").fill("file-17");
      await page.getByText("Projects/file-17.txt").waitFor();
    });

    await step("a restore is chosen, started and shown to its end", async () => {
      await page.getByLabel("Choose Projects/file-17.txt").check();
      await page.getByLabel("Restore to").fill(`${folder}/back`);
      mkdirSync(`${folder}/back`);
      await page.getByRole("button", { name: "Restore", exact: true }).click();
      await page.getByText("Restored", { exact: false }).and(page.locator("strong")).waitFor();
      assert.deepEqual(
        readFileSync(`${folder}/back/Projects/file-17.txt`),
        readFileSync(`${folder}/home/Projects/file-17.txt`),
      );
    });

    await step("an action is shown as a command and as a request", async () => {
      await page.getByRole("link", { name: "Overview", exact: true }).click();
      await page.getByRole("button", { name: "Show “Drain” as a command" }).first().click();
      const dialog = page.getByRole("dialog");
      await dialog.getByText("backup-agent drain worker-").waitFor();
      await dialog.getByText(/curl -X POST .*\/api\/agents\/agent-.*\/drain/).waitFor();
      assert.deepEqual(await seriousProblems(page), []);
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
    });

    await step(
      "every view has its form, without a fault for a screen reader, and fits a phone",
      async () => {
        for (const [view, form] of Object.entries(VIEW_FORMS)) {
          await page.goto(`${origin}/#${view}`);
          await page.locator(`.view.is-${view}`).waitFor();
          await page.getByText("Loading…").first().waitFor({ state: "hidden" });
          assert.deepEqual(await seriousProblems(page), [], view);
          expectSketch(`${view}.txt`, await ariaSketch(page, form, [folder, ...SOURCES]));
          await page.setViewportSize(SIZES.phone);
          assert.deepEqual(await page.evaluate(TOO_WIDE), [], view);
          await until(
            async () => await page.evaluate<boolean>(CURRENT_IS_SEEN) || undefined,
            WITHIN_MS,
            () => `${view} is not seen among the views`,
          );
          await page.setViewportSize(SIZES.desk);
        }
      },
    );

    await step("everything can be reached by keyboard, and focus is seen", async () => {
      await page.goto(`${origin}/#settings`);
      await page.reload();
      await page.locator(".view.is-settings").waitFor();
      await page.keyboard.press("Tab");
      assert.equal(
        await page.evaluate("document.activeElement.textContent"),
        "Skip to the content",
      );
      await page.keyboard.press("Tab");
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      await page.locator(".view.is-overview").waitFor();
    });

    await step("a page of another origin gets neither socket nor API", async () => {
      const foreign = Deno.serve(
        { port: 0, hostname: "127.0.0.1", onListen() {} },
        () =>
          new Response("<!doctype html><title>x</title>", {
            headers: { "content-type": "text/html" },
          }),
      );
      const stranger = await context.newPage();
      await stranger.goto(`http://127.0.0.1:${foreign.addr.port}/`);
      const got = await stranger.evaluate(async (target) => {
        const read = await fetch(`${target}/api/status`, { credentials: "include" })
          .then((response) => `status ${response.status}`, () => "refused");
        const wrote = await fetch(`${target}/api/runs`, {
          method: "POST",
          credentials: "include",
          mode: "no-cors",
          body: "{}",
        }).then((response) => response.type, () => "refused");
        const socket = await new Promise((resolve) => {
          const socket = new WebSocket(`${target.replace("http", "ws")}/ws`);
          socket.onmessage = () => resolve("heard something");
          socket.onerror = () => resolve("refused");
          socket.onclose = () => resolve("refused");
        });
        return { read, wrote, socket };
      }, origin);
      assert.equal(got.read, "refused");
      assert.equal(got.socket, "refused");
      // What cannot be read may have been sent: it has changed nothing.
      assert.equal((await runsOf(desk)).length, 2);
      await stranger.close();
      await foreign.shutdown();
    });

    await step("the page has asked its own host only, and nothing went wrong in it", () => {
      assert.deepEqual(seen.foreign, []);
      assert.deepEqual(seen.errors, []);
      return Promise.resolve();
    });
    rmSync(`${folder}/home`, { recursive: true });
  },
});

function fillSources(folder: string): void {
  for (const name of SOURCES) {
    mkdirSync(`${folder}/home/${name}`, { recursive: true });
    for (let file = 0; file < FILES; file++) {
      const bytes = new Uint8Array(FILE_BYTES).fill(file + name.length);
      writeFileSync(`${folder}/home/${name}/file-${file}.txt`, bytes);
    }
  }
  writeFileSync(`${folder}/home/Documents/${MARKUP}`, "text");
}

function laneOf(page: Page, destination: string) {
  return page.locator(`.lane[data-destination="${destination}"]`);
}

async function percentOf(page: Page, destination: string): Promise<number> {
  const bar = page.getByRole("progressbar", { name: destination, exact: true });
  return Number(await bar.getAttribute("aria-valuenow"));
}

function checkWatched(lanes: readonly WatchedLane[], atLeast: number): void {
  assert.ok(lanes.length >= atLeast, `only ${lanes.length} samples`);
  const last = new Map<string, { phase: string; percent: number }>();
  for (const { run, destination, phase, percent, done, total } of lanes) {
    assert.ok(percent >= 0 && percent <= 100, `${destination} ${percent} %`);
    assert.ok(done <= total, `${destination}: ${done} of ${total}`);
    const before = last.get(run + destination);
    if (before?.phase === phase) {
      assert.ok(percent >= before.percent, `${destination} went back in ${phase}`);
    }
    last.set(run + destination, { phase, percent });
  }
}

/** What must not happen at any time, and what was asked. */
function observe(context: BrowserContext, origin: string) {
  const seen = { foreign: [] as string[], errors: [] as string[], dialogs: [] as string[] };
  context.on("request", (request) => {
    const url = new URL(request.url());
    if (
      request.frame().url().startsWith(origin) && url.origin !== origin && url.protocol !== "blob:"
    ) {
      seen.foreign.push(request.url());
    }
  });
  context.on("weberror", (error) => void seen.errors.push(String(error.error())));
  context.on("console", (message) => {
    const isOurs = message.location().url.startsWith(origin);
    // Chromium itself reports answers such as the 401 before logging in.
    if (message.type() === "error" && isOurs && !message.text().startsWith("Failed to load")) {
      seen.errors.push(message.text());
    }
  });
  context.on("dialog", (dialog) => {
    seen.dialogs.push(dialog.message());
    void dialog.accept();
  });
  return seen;
}

/** The page's sockets pass through here, so that they can be cut off. */
async function controlSockets(context: BrowserContext) {
  const control = { refuse: false, open: new Set<WebSocketRoute>() };
  await context.routeWebSocket(/\/ws$/, (socket) => {
    if (control.refuse) return void socket.close();
    socket.connectToServer();
    control.open.add(socket);
  });
  return control;
}

type RunCard = { runId: string; isPaused: boolean; exitCode: number | null; createdAtMs: number };

async function runsOf(desk: DashboardMesh): Promise<RunCard[]> {
  const { state } = await desk.api("GET", "/status") as {
    state: { runs: Record<string, RunCard> };
  };
  return Object.values(state.runs).sort((a, b) => b.createdAtMs - a.createdAtMs);
}

async function newestRun(desk: DashboardMesh): Promise<RunCard> {
  return (await runsOf(desk))[0]!;
}

async function busyWorker(desk: DashboardMesh): Promise<string> {
  return await until(
    async () => {
      const { state } = await desk.api("GET", "/status") as {
        state: { tasks: Record<string, { state: string; agentName: string | null }> };
      };
      return Object.values(state.tasks).find((task) =>
        task.state === "running" && task.agentName?.startsWith("worker-")
      )?.agentName ?? undefined;
    },
    WITHIN_MS,
    () => "No worker has a task",
  );
}
