/** The page before any script has run. Rule: it says how things are, with no path and no name in it, and works without JavaScript. */
import type { PublicStatus } from "../protocol/mesh/console_state.ts";
import { type Html, html } from "./html.ts";

/** `status` undefined: the coordinator does not answer. */
export function pageShell(status: PublicStatus | undefined): Html {
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
          <main>
    <h1>backup-agent</h1>
    ${status === undefined
      ? html`<p role="status">The coordinator does not answer.</p>`
      : statusText(status)}
    <noscript><p>This is the state at the time the page was loaded; load it again for a new one. Everything else needs
    JavaScript.</p></noscript>
          </main>
        </div>
      </body>
    </html>
  `;
}

function statusText({ runs, agents }: PublicStatus): Html {
  const lines = runs.map((run) => {
    const copies = `${run.copies.verified} of ${run.copies.total} copies verified`;
    const state = run.isPaused ? "paused" : run.state;
    return html`<li>${copies}, ${String(run.percent)} %, ${state}</li>`;
  });
  return html`
    <div role="status">
      <ul>${lines.length > 0 ? lines : [html`<li>Nothing has been copied yet</li>`]}</ul>
      <p>${String(agents.alive)} of ${String(agents.total)} agents are there.</p>
    </div>
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
