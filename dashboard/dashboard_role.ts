/** The dashboard as a role: served beside a coordinator, or alone. Rule: it may be missing, and work goes on. */
import { BackupError } from "../protocol/base/errors.ts";
import type { ServedCoordinator } from "../protocol/cli/all_roles.ts";
import type { Command, CommandCall } from "../protocol/cli/command.ts";
import { jsonLine } from "../protocol/cli/error_line.ts";
import {
  type RoleContext,
  type RoleFacts,
  type RoleInstance,
  runRole,
} from "../protocol/cli/role_process.ts";
import { chosenToken, pathOf, peerTls } from "../protocol/cli/serving_settings.ts";
import { defaultStateDir } from "../protocol/cli/surroundings.ts";
import { createMeshFetch } from "../protocol/http/mesh_fetch.ts";
import { existingToken, TOKEN_FILE } from "../protocol/http/mesh_token.ts";
import { agentEndpoint } from "../protocol/mesh/endpoint.ts";
import { createMeshClient } from "../protocol/mesh/mesh_client.ts";
import type { FetchLike, RpcClient } from "../protocol/rpc/client.ts";
import { createDashboard } from "./dashboard_app.ts";
import { loginAddress, makeLoginCode } from "./login_code.ts";

/** Beside its coordinator. `coordinator` is asked once that is served. */
export function dashboardBeside(
  call: CommandCall,
  version: string,
  coordinator: () => ServedCoordinator,
): RoleFacts {
  const port = call.settings.get("dashboardPort");
  return {
    role: "dashboard",
    defaultPort: port.value,
    port: port.value,
    // A port that somebody else has must not keep backups from being made.
    mayBeMissing: port.source === "default",
    start(context) {
      const { origin, fetch } = coordinator();
      return startDashboard(call, context, version, nearClient(origin, fetch, context));
    },
  };
}

/** No socket, but the token all the same: the coordinator's door is the same for everybody. */
function nearClient(origin: string, fetch: FetchLike, { serving }: RoleContext): RpcClient {
  return createMeshClient({
    url: agentEndpoint(origin),
    fetch(request) {
      const known = new Request(request);
      known.headers.set("authorization", `Bearer ${serving.token}`);
      return fetch(known);
    },
  });
}

export function createDashboardRole(version: string): Command {
  return {
    name: "--role dashboard",
    summary: "Serve the web page and HTTP API of a coordinator",
    synopsis: ["--role dashboard [--coordinator URL] [OPTIONS]"],
    about: [
      "It shows a coordinator and asks it for changes; it keeps nothing, and backups go on without it. A coordinator serves one " +
      "itself unless it is started with --no-dashboard. The address it prints logs one browser in, once.",
    ],
    options: [
      "coordinator",
      "port",
      "host",
      "dashboardOrigin",
      "publicUrl",
      "tokenFile",
      "tlsCert",
      "tlsKey",
      "tlsClientCa",
      "tlsCa",
      "insecure",
      "logDir",
      "json",
      "quiet",
      "verbose",
      "stateDir",
    ],
    examples: [{
      says: "for a coordinator on another machine",
      words: "--role dashboard --coordinator https://nas.lan:8800 --token-file mesh-token",
    }],
    exitCodes: [0, 1, 2],
    exitMeanings: { 0: "ended because it was asked to", 1: "failed: it cannot serve" },
    run: (call) => runRole(call, [dashboardAlone(call, version)]),
  };
}

function dashboardAlone(call: CommandCall, version: string): RoleFacts {
  const { settings, surroundings, clock } = call;
  return {
    role: "dashboard",
    defaultPort: settings.get("dashboardPort").value,
    touchesNoFolders: true,
    start(context) {
      const { token } = context.serving;
      const client = createMeshClient({
        url: agentEndpoint(settings.get("coordinator").value),
        fetch: createMeshFetch({ token, clock, ...peerTls(settings, surroundings) }),
      });
      return startDashboard(call, context, version, client);
    },
  };
}

function startDashboard(
  { settings, clock }: CommandCall,
  { serving, origin, log }: RoleContext,
  version: string,
  coordinator: RpcClient,
): RoleInstance {
  const { token, hosts, publicUrl } = serving;
  const at = publicUrl === undefined ? origin : new URL(publicUrl).origin;
  const dashboard = createDashboard({
    coordinator,
    clock,
    log,
    token,
    version,
    origin: at,
    hosts,
    origins: settings.get("dashboardOrigin").value.map(originOf),
  });
  const login = dashboard.mintLogin();
  return {
    fetch: (request, env) => dashboard.fetch(request, env),
    says: `the dashboard is at ${at}; this address logs one browser in: ${login}`,
    facts: { role: "dashboard", url: at },
    told: { login_url: login },
    metrics: () => [{
      name: "dashboard_readers",
      type: "gauge",
      help: "Browsers that follow by socket",
      samples: [{ value: dashboard.feed.readers }],
    }],
    drain: () => Promise.resolve(),
    close() {
      dashboard.close();
      return Promise.resolve();
    },
  };
}

/** `login`: a new address for a browser, made from the token alone. */
export const loginCommand: Command = {
  name: "login",
  summary: "Print an address that logs one browser in at the dashboard",
  synopsis: ["login [--dashboard-port PORT] [OPTIONS]"],
  about: [
    "The address works once, within an hour, at a dashboard of this mesh that was started before. Nothing is asked over the " +
    "network: whoever can read the mesh token can make one.",
  ],
  options: ["dashboardPort", "publicUrl", "tokenFile", "json", "stateDir"],
  examples: [{ says: "on this machine", words: "login" }],
  exitCodes: [0, 1, 2],
  exitMeanings: { 0: "printed", 1: "failed: the token cannot be read" },
  run({ settings, surroundings, terminal, clock }) {
    const stateDir = pathOf("stateDir", settings, surroundings) ?? defaultStateDir(surroundings);
    const token = chosenToken(settings, surroundings) ?? existingToken(`${stateDir}/${TOKEN_FILE}`);
    if (token === undefined) {
      throw new BackupError("config", "There is no mesh token yet", {
        path: `${stateDir}/${TOKEN_FILE}`,
        hint: "Start backup-agent as this user first",
      });
    }
    const publicUrl = settings.get("publicUrl").value;
    const origin = publicUrl === undefined
      ? `http://127.0.0.1:${settings.get("dashboardPort").value}`
      : originOf(publicUrl);
    const url = loginAddress(origin, makeLoginCode(token, clock.nowMs()));
    terminal.out(
      settings.get("json").value ? jsonLine({ message_type: "login", url }) : `${url}\n`,
    );
    return Promise.resolve(0);
  },
};

/** @throws {BackupError} `usage` */
function originOf(text: string): string {
  const origin = URL.parse(text)?.origin;
  if (origin !== undefined && origin !== "null") return origin;
  throw new BackupError("usage", `${text} is no address of a web page`, {
    hint: "Such as https://status.example",
  });
}
