/** The page before any script has run. Rule: it says how things are, with no path and no name in it, and works without JavaScript. */
import type { PublicStatus } from "../protocol/mesh/console_state.ts";
import { type Html, html } from "./html.ts";

/** `status` undefined: the coordinator does not answer. */
export function pageShell(status: PublicStatus | undefined): Html {
  const { tone, text } = verdictOf(status);
  return html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>backup-agent</title>
        <link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
        <link rel="stylesheet" href="/assets/page.css">
        <script type="module" src="/assets/page.js"></script>
      </head>
      <body>
        <div id="app">
          <header class="top"><a class="brand" href="/">backup-agent</a></header>
          <main>
            <h1 class="unseen">backup-agent</h1>
            <div class="verdict is-${tone}" role="status">
              <span class="verdict-icon">
                <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
                  <path d="${VERDICT_ICONS[tone]}"></path>
                </svg>
              </span>
              <p class="verdict-text">${text}</p>
            </div>
            <noscript>
              ${status === undefined ? html`` : statusBox(status)}
              <p class="muted">This is the state at the time the page was loaded; load it again for a new one. Everything else
              needs JavaScript.</p>
            </noscript>
          </main>
        </div>
      </body>
    </html>
  `;
}

type Tone = "good" | "working" | "paused" | "bad";

/** The same signs as the page's own. */
const VERDICT_ICONS: Record<Tone, string> = {
  good: "M4.5 10.5l3.5 3.5 7.5-8",
  working: "M10 3.5a6.5 6.5 0 1 1-6.5 6.5",
  paused: "M7 5v10M13 5v10",
  bad: "M10 3.5l7 12.5H3zM10 8.5v3.5M10 14v.2",
};

/** Of the newest run: no name of anything is known here. */
function verdictOf(status: PublicStatus | undefined): { tone: Tone; text: string } {
  if (status === undefined) return { tone: "bad", text: "The coordinator does not answer" };
  const run = status.runs[0];
  if (run === undefined) return { tone: "paused", text: "Nothing has been copied yet" };
  const text = copiesText(run);
  if (run.isPaused) return { tone: "paused", text: `${text}, paused` };
  if (run.state === "completed") return { tone: "good", text };
  const isOver = run.state === "partial" || run.state === "failed" || run.state === "cancelled";
  return isOver
    ? { tone: "bad", text: `${text}, ${run.state}` }
    : { tone: "working", text: `${text}, ${run.percent} %` };
}

function copiesText({ copies: { verified, total } }: PublicStatus["runs"][number]): string {
  return `${verified} of ${total} ${total === 1 ? "copy" : "copies"} verified`;
}

function statusBox({ runs, agents }: PublicStatus): Html {
  const lines = runs.map((run) => {
    const state = run.isPaused ? "paused" : run.state;
    return html`<li><span>${
      copiesText(run)
    }</span><span class="muted">${run.percent} %, ${state}</span></li>`;
  });
  return html`
    <section class="box">
      <h2>Runs</h2>
      <ul class="plain-list">${lines.length > 0
        ? lines
        : [html`<li>Nothing has been copied yet</li>`]}</ul>
      <p class="muted">${agents.alive} of ${agents.total} agents are there.</p>
    </section>
  `;
}

/** Where somebody without a session can enter a code. `isWrong`: the one that was given did not work. */
export function loginPage(isWrong: boolean): Html {
  return html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>Log in · backup-agent</title>
        <link rel="stylesheet" href="/assets/page.css">
      </head>
      <body>
        <main class="login">
    <h1>Log in</h1>
    ${isWrong
      ? html`<p role="alert">That address has been used already, or is too old.</p>`
      : html``}
    <p>Open the address that was printed when the dashboard was started, or enter the code at its end. <code>backup-agent
    login</code> prints a new one.</p>
    <form method="post" action="/login">
    <label>Code <input name="code" autocomplete="off" required></label>
    <button>Log in</button>
    </form>
        </main>
      </body>
    </html>
  `;
}
