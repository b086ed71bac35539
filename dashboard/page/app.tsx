/** The page as a whole: where one is, how things are, and the view. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Action } from "./actions.ts";
import type { Connection } from "./feed/feed_client.ts";
import { VerdictLine } from "./lanes/verdict.tsx";
import { type PageModel, shownRun, VIEWS } from "./page_model.ts";
import { CommandDialog } from "./ui/command_dialog.tsx";
import { PageContext, type PageTools } from "./ui/page_context.ts";
import { NoteList } from "./ui/toast.tsx";
import { BackupView } from "./views/backup.tsx";
import { HistoryView } from "./views/history.tsx";
import { LogsView } from "./views/logs.tsx";
import { Overview } from "./views/overview.tsx";
import { RestoreView } from "./views/restore.tsx";
import { SchedulesView } from "./views/schedules.tsx";
import { SettingsView } from "./views/settings.tsx";

const CONNECTION_WORDS: Record<Connection, string> = {
  connecting: "Connecting",
  live: "Live",
  polling: "Every few seconds",
  offline: "No connection",
  locked: "Not logged in",
};

export function App(
  { model, tools }: { model: PageModel; tools: Omit<PageTools, "showAsCommand"> },
) {
  const [shownAction, showAsCommand] = useState<Action>();
  const { connection, feed: { state }, view, nowMs } = model;
  const run = state === null ? undefined : shownRun(state, model.chosen);
  const nav = useSeenCurrent(view);
  return (
    <PageContext.Provider value={{ ...tools, showAsCommand }}>
      <a class="skip" href="#main">Skip to the content</a>
      <header class="top">
        <a class="brand" href="#overview">backup-agent</a>
        <nav aria-label="Views" ref={nav}>
          {VIEWS.map(([name, title]) => (
            <a key={name} href={`#${name}`} aria-current={name === view ? "page" : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <span class={`connection is-${connection}`}>{CONNECTION_WORDS[connection]}</span>
      </header>
      <main id="main" tabindex={-1}>
        <h1 class="unseen">{VIEWS.find(([name]) => name === view)?.[1]}</h1>
        <VerdictLine
          verdict={run?.live?.verdict ?? state?.coordinator.verdict ?? null}
          otherwise={sayWithoutVerdict(model)}
          nowMs={nowMs}
        />
        {state === null ? <Waiting model={model} /> : (
          <div class={`view is-${view}`} key={view}>
            {view === "overview" && (
              <Overview
                state={state}
                calm={model.calm ?? state}
                run={run}
                rates={model.rates}
                nowMs={nowMs}
              />
            )}
            {view === "backup" && <BackupView state={state} />}
            {view === "restore" && <RestoreView state={state} />}
            {view === "history" && <HistoryView state={state} nowMs={nowMs} />}
            {view === "schedules" && <SchedulesView state={state} nowMs={nowMs} />}
            {view === "logs" && <LogsView />}
            {view === "settings" && <SettingsView state={state} nowMs={nowMs} />}
          </div>
        )}
      </main>
      <NoteList notes={tools.notes} />
      {shownAction !== undefined && (
        <CommandDialog
          action={shownAction}
          onClose={() => showAsCommand(undefined)}
        />
      )}
    </PageContext.Provider>
  );
}

/** Where not all views fit beside each other, the one that is shown is among those that are seen. */
function useSeenCurrent(view: string) {
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    const show = (): void => {
      const bar = nav.current;
      const link = bar?.querySelector<HTMLElement>("[aria-current]");
      if (!bar || !link) return;
      const over = link.getBoundingClientRect().left - bar.getBoundingClientRect().left;
      bar.scrollLeft += over - (bar.clientWidth - link.offsetWidth) / 2;
    };
    show();
    addEventListener("resize", show);
    return () => removeEventListener("resize", show);
  }, [view]);
  return nav;
}

function sayWithoutVerdict({ connection, feed, status }: PageModel): string {
  if (feed.state !== null) return "Nothing has been copied yet";
  if (feed.awayReason !== null) return feed.awayReason;
  if (connection === "offline") return "The dashboard cannot be reached";
  const newest = status?.runs[0];
  if (newest === undefined) return status === null ? "Connecting" : "Nothing has been copied yet";
  const { verified, total } = newest.copies;
  return `${verified} of ${total} copies verified, ${newest.percent} %`;
}

function Waiting({ model: { connection, status } }: { model: PageModel }) {
  if (connection !== "locked") return null;
  return (
    <section class="box welcome">
      <h2>Log in to see more</h2>
      {status !== null && (
        <p>{`${status.agents.alive} of ${status.agents.total} agents are there.`}</p>
      )}
      <p>Open the address that was printed when the dashboard was started.</p>
      <p>
        <a class="button is-primary" href="/login">Enter a code</a>
      </p>
    </section>
  );
}
