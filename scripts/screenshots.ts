/**
 * `deno task screenshots`: the README's pictures, from a real run of real processes in Debian's Chromium. Rule: nothing in them
 * is made up; what is shown is what the page showed.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { openBrowser } from "../tests/support/browser.ts";
import { type DashboardMesh, startDashboardMesh } from "../tests/support/dashboard_mesh.ts";
import { pause, until } from "../tests/support/mesh_processes.ts";

const FOLDER = "dashboard/pictures";
const VIEW = { width: 1180, height: 830 };
/** What people keep: name of the directory, files in it, bytes a file, and how they are called. */
const SOURCES = [
  { name: "Photos", files: 260, bytes: 180_000, file: (n: number) => `2026/IMG_${4000 + n}.jpg` },
  { name: "Documents", files: 300, bytes: 60_000, file: (n: number) => `letters/letter-${n}.odt` },
  { name: "Projects", files: 240, bytes: 90_000, file: (n: number) => `engine/src/part_${n}.ts` },
  { name: "Music", files: 60, bytes: 500_000, file: (n: number) => `Live/Track ${n}.flac` },
] as const;
const DESTINATIONS = [
  { label: "SSD", bytesPerSecond: 40_000_000 },
  { label: "USB disk", bytesPerSecond: 4_500_000 },
  { label: "NAS", bytesPerSecond: 1_800_000 },
] as const;
const LOOK_AT_RACE_MS = 18_000;
const WITHIN_MS = 60_000;

if (import.meta.main) {
  mkdirSync(FOLDER, { recursive: true });
  await using desk = await startDashboardMesh(["attic", "cellar", "study"], ["--name", "hallway"]);
  await using browser = await openBrowser();
  const context = await browser.newContext({ viewport: VIEW, deviceScaleFactor: 1.5 });
  const page = await context.newPage();
  await page.goto(desk.loginUrl);
  await startRun(desk);
  await page.locator('.lane[data-destination="SSD"].is-verified').waitFor({ timeout: WITHIN_MS });
  await pause(LOOK_AT_RACE_MS);
  await picture(page, "lanes.png");
  await page.emulateMedia({ colorScheme: "dark" });
  await picture(page, "lanes-dark.png");
  await page.emulateMedia({ colorScheme: "light" });

  await page.setViewportSize({ ...VIEW, height: 1_800 });
  await desk.workers.find(({ name }) => name === "study")!.crash();
  await page.locator('.node[data-agent="study"][data-state="dead"]').waitFor();
  await until(
    async () => (await ownersOf(desk)).every((name) => name !== "study") || undefined,
    WITHIN_MS,
    () => "What the dead agent had was never given to others",
  );
  // The dots are on their way for a moment.
  await pause(1_500);
  await picture(page.locator(".mesh"), "mesh.png");
}

async function startRun(desk: DashboardMesh): Promise<void> {
  const { folder } = desk.mesh;
  for (const { name, files, bytes, file } of SOURCES) {
    for (let n = 0; n < files; n++) {
      const path = `${folder}/home/${name}/${file(n)}`;
      mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      writeFileSync(path, new Uint8Array(bytes).fill(n));
    }
  }
  await desk.api("POST", "/runs", {
    job: {
      sources: SOURCES.map(({ name }) => ({ path: `${folder}/home/${name}` })),
      destinations: DESTINATIONS.map(({ label, bytesPerSecond }) => ({
        path: `${folder}/${label}`,
        key: label,
        limitBytesPerSecond: bytesPerSecond,
      })),
    },
  });
}

/** Of what goes on. */
async function ownersOf(desk: DashboardMesh): Promise<(string | null)[]> {
  const { tasks } = await desk.api("GET", "/tasks?limit=100") as {
    tasks: { state: string; agentName: string | null }[];
  };
  return tasks.filter(({ state }) => state === "running").map(({ agentName }) => agentName);
}

async function picture(what: Pick<Page, "screenshot">, name: string): Promise<void> {
  await what.screenshot({ path: `${FOLDER}/${name}` });
  console.log(`${FOLDER}/${name}`);
}
