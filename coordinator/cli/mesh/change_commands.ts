/** `pause`, `resume`, `cancel`, `handoff`, `drain`: one question each that changes something. Rule: a refusal is printed with its reason and is exit code 1. */
import { BackupError } from "../../../protocol/base/errors.ts";
import type { Command, CommandCall } from "../../../protocol/cli/command.ts";
import { jsonLine } from "../../../protocol/cli/error_line.ts";
import { visibleText } from "../../../protocol/cli/visible_text.ts";
import { NEXT_RUN_STATES } from "../../../protocol/mesh/job.ts";
import { PauseRun } from "../../../protocol/mesh/console_methods.ts";
import { CancelRun, DrainAgent, HandoffTask, ListAgents } from "../../../protocol/mesh/methods.ts";
import { COORDINATOR_OPTIONS, type CoordinatorLink, linkOf } from "./coordinator_call.ts";
import type { MeshDoor } from "./mesh_door.ts";
import { onlyWord } from "./run.ts";

export function createCancelCommand(door: MeshDoor): Command {
  return {
    name: "cancel",
    summary: "End a run, or one destination of it",
    synopsis: ["cancel ID [--destination DEST] [OPTIONS]"],
    about: ["What is verified stays. A run that has ended already is left as it is."],
    options: ["destination", ...COORDINATOR_OPTIONS],
    examples: [
      { says: "all of it", words: "cancel run-V1StGXR8_Z5jdHi6" },
      { says: "the slow one only", words: "cancel run-V1StGXR8_Z5jdHi6 --destination /mnt/nas" },
    ],
    exitCodes: [0, 1, 2],
    exitMeanings: { 0: "cancelled, or over before" },
    async run(call) {
      const runId = onlyWord(call, "cancel ID", "run");
      const destination = call.settings.get("destination").value;
      const params = destination === undefined ? { runId } : { runId, destination };
      const { state } = await linkOf(call, door).ask(CancelRun, params);
      const isOver = NEXT_RUN_STATES[state].length === 0;
      const text = isOver
        ? state
        : destination === undefined
        ? "being cancelled"
        : `nothing more goes to ${destination}; the run is ${state}`;
      tell(call, { message_type: "cancel", run_id: runId, state }, `${runId}: ${text}`);
      return 0;
    },
  };
}

export function createPauseCommand(door: MeshDoor): Command {
  return {
    name: "pause",
    summary: "Let a run begin nothing new until it is resumed",
    synopsis: ["pause ID [OPTIONS]"],
    about: [
      "Files in hand are copied to their end, no further one is begun, and no agent gets a directory. That lasts over a restart of the " +
      "coordinator.",
    ],
    options: COORDINATOR_OPTIONS,
    examples: [{ says: "while the network is needed", words: "pause run-V1StGXR8_Z5jdHi6" }],
    exitCodes: [0, 1, 2],
    exitMeanings: { 0: "paused", 1: "refused, as the run is over, or failed" },
    run: (call) => changePause(call, door, "pause"),
  };
}

export function createResumeCommand(door: MeshDoor): Command {
  return {
    name: "resume",
    summary: "Go on with a paused run",
    synopsis: ["resume ID [OPTIONS]"],
    about: ["A run that is not paused is left as it is."],
    options: COORDINATOR_OPTIONS,
    examples: [{ says: "go on", words: "resume run-V1StGXR8_Z5jdHi6" }],
    exitCodes: [0, 1, 2],
    exitMeanings: { 0: "it goes on", 1: "refused, as the run is over, or failed" },
    run: (call) => changePause(call, door, "resume"),
  };
}

async function changePause(
  call: CommandCall,
  door: MeshDoor,
  word: "pause" | "resume",
): Promise<number> {
  const runId = onlyWord(call, `${word} ID`, "run");
  const undo = word === "resume";
  const { isPaused } = await linkOf(call, door)
    .ask(PauseRun, undo ? { runId, undo } : { runId });
  const text = isPaused ? "paused" : "goes on";
  tell(call, { message_type: word, run_id: runId, is_paused: isPaused }, `${runId}: ${text}`);
  return 0;
}

export function createHandoffCommand(door: MeshDoor): Command {
  return {
    name: "handoff",
    summary: "Give a task to another agent",
    synopsis: ["handoff TASK AGENT [OPTIONS]"],
    about: [
      "The agent that has the task offers it to AGENT (its id or name), which may refuse. What is already copied is not " +
      "copied again.",
    ],
    options: COORDINATOR_OPTIONS,
    examples: [{ says: "move it", words: "handoff task-V1StGXR8_Z5jdHi6 worker-8802" }],
    exitCodes: [0, 1, 2],
    exitMeanings: { 0: "handed over", 1: "refused, or failed" },
    async run(call) {
      const [taskId, agent, ...more] = call.positionals;
      if (!taskId || !agent || more.length > 0) {
        throw new BackupError("usage", "A task and an agent are needed", {
          hint: "backup-agent handoff TASK AGENT; run ID lists the tasks of a run",
        });
      }
      const answer = await linkOf(call, door)
        .ask(HandoffTask, { task_id: taskId, target_agent: agent });
      return told(call, "handoff", { task_id: taskId, target_agent: agent }, answer, "handed over");
    },
  };
}

export function createDrainCommand(door: MeshDoor): Command {
  return {
    name: "drain",
    summary: "Give an agent nothing more, and what it has to others",
    synopsis: ["drain AGENT [--undo] [OPTIONS]"],
    about: ["AGENT is an id or a name, as agents lists them. --undo gives it work again."],
    options: ["undo", ...COORDINATOR_OPTIONS],
    examples: [{ says: "before a reboot", words: "drain worker-8802" }],
    exitCodes: [0, 1, 2],
    exitMeanings: { 0: "done", 1: "refused, or failed" },
    async run(call) {
      const word = onlyWord(call, "drain AGENT", "agent");
      const link = linkOf(call, door);
      const agentId = await agentIdOf(link, word);
      const undo = call.settings.get("undo").value;
      const answer = await link.ask(DrainAgent, undo ? { agentId, undo } : { agentId });
      const done = undo ? "takes work again" : "takes nothing more";
      return told(call, "drain", { agent_id: agentId }, answer, done);
    },
  };
}

/** @throws {BackupError} `usage` when no agent, or more than one, has that name. */
async function agentIdOf(link: CoordinatorLink, word: string): Promise<string> {
  const { agents } = await link.ask(ListAgents, {});
  const found = agents.filter((a) => a.agentId === word || a.name === word);
  if (found.length === 1) return found[0]!.agentId;
  const [what, hint] = found.length === 0
    ? [`No agent ${word} is known`, "backup-agent agents lists them"]
    : [`${found.length} agents are named ${word}`, "Use the id of the one you mean"];
  throw new BackupError("usage", what, { hint });
}

function told(
  call: CommandCall,
  what: string,
  facts: Record<string, unknown>,
  answer: { accepted: boolean; reason?: string; epoch?: number },
  done: string,
): number {
  const text = answer.accepted ? done : `refused: ${answer.reason ?? "no reason was given"}`;
  const of = String(facts["task_id"] ?? facts["agent_id"]);
  tell(call, { message_type: what, ...facts, ...answer }, `${of}: ${text}`);
  return answer.accepted ? 0 : 1;
}

function tell(
  { terminal, settings }: CommandCall,
  message: Record<string, unknown>,
  text: string,
): void {
  terminal.out(settings.get("json").value ? jsonLine(message) : `${visibleText(text)}\n`);
}
