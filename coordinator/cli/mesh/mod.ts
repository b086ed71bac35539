/** The commands that talk to a coordinator. */
import type { Command } from "../../../protocol/cli/command.ts";
import { createAgentsCommand } from "./agents.ts";
import { createCardCommand } from "./card.ts";
import {
  createCancelCommand,
  createDrainCommand,
  createHandoffCommand,
  createPauseCommand,
  createResumeCommand,
} from "./change_commands.ts";
import type { MeshDoor } from "./mesh_door.ts";
import { createRunCommand } from "./run.ts";
import { createRunsCommand } from "./runs.ts";
import { createSubmitCommand } from "./submit.ts";

/** In the order of the help. */
export function createMeshCommands(door: MeshDoor): Command[] {
  return [
    createSubmitCommand,
    createRunsCommand,
    createRunCommand,
    createPauseCommand,
    createResumeCommand,
    createCancelCommand,
    createAgentsCommand,
    createHandoffCommand,
    createDrainCommand,
    createCardCommand,
  ].map((create) => create(door));
}
