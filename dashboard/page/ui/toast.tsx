/** What came of an action, said for a moment. Rule: spoken politely, problems as alerts, and it stays until it was read. */
import { useEffect, useState } from "preact/hooks";
import { Icon } from "./icon.tsx";

interface Note {
  id: number;
  text: string;
  isProblem: boolean;
}

type Listener = (note: Note) => void;

export interface Notes {
  say(text: string): void;
  complain(text: string): void;
  listen(listener: Listener): () => void;
}

export function createNotes(): Notes {
  const listeners = new Set<Listener>();
  let id = 0;
  const tell = (text: string, isProblem: boolean): void => {
    id++;
    for (const listener of listeners) listener({ id, text, isProblem });
  };
  return {
    say: (text) => tell(text, false),
    complain: (text) => tell(text, true),
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

const SHOWN_MAX = 3;

export function NoteList({ notes }: { notes: Notes }) {
  const [shown, setShown] = useState<Note[]>([]);
  useEffect(() => notes.listen((note) => setShown((all) => [...all, note].slice(-SHOWN_MAX))), []);
  const drop = (id: number): void => setShown((all) => all.filter((note) => note.id !== id));
  return (
    <div class="notes" role="log" aria-label="Messages" aria-live="polite">
      {shown.map((note) => (
        <div
          key={note.id}
          class={`note ${note.isProblem ? "is-problem" : ""}`}
          onAnimationEnd={(event) => {
            if (event.animationName === "note-out") drop(note.id);
          }}
        >
          <Icon name={note.isProblem ? "warn" : "check"} />
          <span>{note.text}</span>
          <button type="button" class="quiet" aria-label="Close" onClick={() => drop(note.id)}>
            <Icon name="cross" />
          </button>
        </div>
      ))}
    </div>
  );
}
