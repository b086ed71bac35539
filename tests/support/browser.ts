/** Debian's Chromium, driven by playwright. Rule: an empty profile of its own, nothing asked of any other host, gone at the end. */
import { type Browser, chromium } from "playwright-core";
import { findProgram } from "./tools.ts";

const ARGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--hide-scrollbars",
  "--force-color-profile=srgb",
  // Whatever is asked for by name is not found: a page can only reach this machine.
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

export async function openBrowser(): Promise<Browser & AsyncDisposable> {
  const executablePath = findProgram("chromium");
  if (executablePath === undefined) throw new Error("chromium is not installed");
  return await chromium.launch({ executablePath, args: ARGS });
}
