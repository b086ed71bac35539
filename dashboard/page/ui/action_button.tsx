/** A button that sends one request, with the request itself one click further. Rule: it says what came of it. */
import { useState } from "preact/hooks";
import { type Action, answerOf, refusalIn } from "../actions.ts";
import { Icon, type IconName } from "./icon.tsx";
import { usePage } from "./page_context.ts";

export interface ActionButtonProps {
  action: Action;
  icon?: IconName;
  kind?: "primary" | "danger" | "plain";
  /** Told when it worked. */
  done?: string;
  /** Asked first, for what cannot be taken back. */
  question?: string;
  disabled?: boolean;
  onDone?: (answer: unknown) => void;
}

export function ActionButton(props: ActionButtonProps) {
  const { action, icon, kind = "plain", done, question, disabled = false, onDone } = props;
  const { api, notes, showAsCommand } = usePage();
  const [isBusy, setBusy] = useState(false);

  async function send(): Promise<void> {
    if (question !== undefined && !confirm(question)) return;
    setBusy(true);
    const outcome = await answerOf(action.send(api));
    setBusy(false);
    const problem = outcome.ok ? refusalIn(outcome.value) : outcome.message;
    if (!outcome.ok || problem !== undefined) return notes.complain(`${action.title}: ${problem}`);
    if (done !== undefined) notes.say(done);
    onDone?.(outcome.value);
  }

  return (
    <span class={`action is-${kind}`}>
      <button type="button" disabled={disabled || isBusy} onClick={() => void send()}>
        {icon !== undefined && <Icon name={icon} />}
        {action.title}
      </button>
      <button
        type="button"
        class="as-command"
        disabled={disabled}
        aria-label={`Show “${action.title}” as a command`}
        title="Show as command"
        onClick={() => showAsCommand(action)}
      >
        <Icon name="code" />
      </button>
    </span>
  );
}
