/** `card URL`: what an agent says about itself to everybody. */
import { AgentFacts } from "../../../protocol/mesh/agent_facts.ts";
import type { Command } from "../../../protocol/cli/command.ts";
import { jsonLine } from "../../../protocol/cli/error_line.ts";
import { watchInterrupts } from "../../../protocol/cli/interrupt.ts";
import { peerTls } from "../../../protocol/cli/serving_settings.ts";
import { visibleText } from "../../../protocol/cli/visible_text.ts";
import { EXTENSION_URI } from "../../../protocol/mesh/task_mapping.ts";
import * as v from "valibot";
import { agentEndpoint } from "../../../protocol/mesh/endpoint.ts";
import { TLS_OPTIONS } from "./coordinator_call.ts";
import type { MeshDoor } from "./mesh_door.ts";
import { onlyWord } from "./run.ts";

export function createCardCommand(door: MeshDoor): Command {
  return {
    name: "card",
    summary: "Show the card of an agent",
    synopsis: ["card URL [OPTIONS]"],
    about: [
      "URL is the agent's address, with or without the path of its card. Cards are public; no token is sent.",
    ],
    options: ["json", ...TLS_OPTIONS],
    examples: [{ says: "the first worker of this machine", words: "card http://127.0.0.1:8801" }],
    exitCodes: [0, 1, 2, 130],
    exitMeanings: { 0: "shown" },
    async run(call) {
      const { terminal, settings, surroundings } = call;
      const { origin } = new URL(agentEndpoint(onlyWord(call, "card URL", "address")));
      const tls = peerTls(settings, surroundings);
      const interrupts = watchInterrupts(call.signals, () => {});
      try {
        const card = await door.fetchCard(`${origin}/agent-card`, tls, interrupts.signal);
        if (settings.get("json").value) {
          terminal.out(jsonLine({ message_type: "card", ...card }));
          return 0;
        }
        const params = card.capabilities.extensions?.find((e) => e.uri === EXTENSION_URI)?.params;
        const facts = v.safeParse(AgentFacts, params);
        const rows = [
          ["name", card.name],
          ["version", card.version],
          [
            "address",
            card.supportedInterfaces.map((i) => `${i.url} (${i.protocolBinding})`).join(", "),
          ],
          ["skills", card.skills.map((skill) => skill.id).join(", ")],
          ...(facts.success
            ? [
              ["agent", facts.output.agentId],
              ["host", facts.output.hostId],
              ["state", facts.output.state],
              ["load", facts.output.load.score.toFixed(2)],
              ["slots", String(facts.output.limits.slots)],
              ["roots", facts.output.roots.join(", ") || "-"],
            ]
            : []),
        ];
        terminal.out(rows.map(([k, text]) => `${k!.padEnd(9)}${visibleText(text!)}\n`).join(""));
        return 0;
      } finally {
        interrupts.close();
      }
    },
  };
}
