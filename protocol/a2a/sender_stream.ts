/** What the sender of a message sees of its task. Rule: it ends where the agent waits for the sender. */
import type { EventStream } from "../rpc/method.ts";
import type { Message } from "./message.ts";
import type { StreamEvent } from "./stream_event.ts";
import { isSettled, isTerminal } from "./task_state.ts";
import type { Turn } from "./turns.ts";

/** What a message led to: a message in return, or a task and its events from the snapshot on. */
export type Accepted = { message: Message } | AcceptedTask;

export interface AcceptedTask {
  taskId: string;
  events: EventStream<StreamEvent>;
  /** Absent for a resend, which only joins the task. */
  turn?: Turn;
  /** Whether the task had ended, or waited for its caller, before its events were asked for. */
  isSettled: boolean;
}

/** The events of an accepted task; where the executor refused the message, its error in place of the FAILED state. */
export function asSender({ events, turn }: AcceptedTask): EventStream<StreamEvent> {
  return {
    async next() {
      const step = await events.next();
      if (turn?.refusal === undefined || step.done || !("statusUpdate" in step.value)) return step;
      if (!isTerminal(step.value.statusUpdate.status.state)) return step;
      await events.return();
      throw turn.refusal;
    },
    return: () => events.return(),
  };
}

/** Reads on until the task has ended or waits for its caller. */
export async function untilSettled(events: EventStream<StreamEvent>): Promise<void> {
  for (let step = await events.next(); !step.done; step = await events.next()) {
    if (!("statusUpdate" in step.value)) continue;
    if (isSettled(step.value.statusUpdate.status.state)) return;
  }
}

/** A stream of a sent message also ends when the task waits for input. */
export function untilInput(events: EventStream<StreamEvent>): EventStream<StreamEvent> {
  let isOver = false;
  return {
    async next() {
      if (isOver) return await events.return();
      const step = await events.next();
      if (!step.done && "statusUpdate" in step.value) {
        isOver = step.value.statusUpdate.status.state === "TASK_STATE_INPUT_REQUIRED";
      }
      return step;
    },
    return: () => events.return(),
  };
}

export function onlyEvent(event: StreamEvent): EventStream<StreamEvent> {
  let isOver = false;
  return {
    next() {
      if (isOver) return this.return();
      isOver = true;
      return Promise.resolve({ done: false, value: event });
    },
    return() {
      isOver = true;
      return Promise.resolve({ done: true, value: undefined });
    },
  };
}
