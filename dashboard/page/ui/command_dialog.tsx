/** An action as it is typed in a terminal. Rule: text to select and copy; nothing is sent from here. */
import { useEffect, useRef, useState } from "preact/hooks";
import { type Action, commandOf, curlOf, requestOf } from "../actions.ts";

export function CommandDialog({ action, onClose }: { action: Action; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [curl, setCurl] = useState("");
  useEffect(() => {
    dialog.current?.showModal();
    void requestOf(action, location.origin).then((request) => setCurl(curlOf(request)));
  }, [action]);
  return (
    <dialog ref={dialog} class="command-dialog" aria-labelledby="command-title" onClose={onClose}>
      <h2 id="command-title">{action.title}</h2>
      {action.words !== undefined && (
        <CopyBlock title="In a terminal" text={commandOf(action.words)} />
      )}
      <CopyBlock title="Over HTTP" text={curl} />
      <form method="dialog">
        <button type="submit">Close</button>
      </form>
    </dialog>
  );
}

function CopyBlock({ title, text }: { title: string; text: string }) {
  const [isCopied, setCopied] = useState(false);
  return (
    <section>
      <h3>{title}</h3>
      <pre tabindex={0}>{text}</pre>
      <button
        type="button"
        onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true))}
      >
        {isCopied ? "Copied" : "Copy"}
      </button>
    </section>
  );
}
