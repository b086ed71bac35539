/** The agent card: who an agent is and how to reach it. Rule: it is public, so it holds no secret and no path. */
import * as v from "valibot";
import { JsonObject, protoMessage, someOf } from "./proto_json.ts";

const text = v.string();
const optionalText = v.exactOptional(v.string());
const optionalTexts = v.exactOptional(v.array(v.string()));

export const AgentInterface = protoMessage({
  /** Absolute, and reachable by the reader. */
  url: v.pipe(v.string(), v.minLength(1)),
  /** JSONRPC, GRPC, HTTP+JSON or a URI. */
  protocolBinding: text,
  protocolVersion: text,
  tenant: optionalText,
});
export type AgentInterface = v.InferOutput<typeof AgentInterface>;

export const AgentExtension = protoMessage({
  uri: text,
  description: optionalText,
  required: v.exactOptional(v.boolean()),
  params: v.exactOptional(JsonObject),
});
export type AgentExtension = v.InferOutput<typeof AgentExtension>;

export const AgentCapabilities = protoMessage({
  streaming: v.exactOptional(v.boolean()),
  pushNotifications: v.exactOptional(v.boolean()),
  extendedAgentCard: v.exactOptional(v.boolean()),
  extensions: v.exactOptional(v.array(AgentExtension)),
});

/** Scheme name → scopes; names in one requirement are all needed, requirements in a list are alternatives. */
export const SecurityRequirement = protoMessage({
  schemes: v.record(v.string(), protoMessage({ list: optionalTexts })),
});

/** One member by kind, e.g. `httpAuthSecurityScheme: { scheme: "Bearer" }`. */
export const SecurityScheme = protoMessage({
  apiKeySecurityScheme: v.exactOptional(JsonObject),
  httpAuthSecurityScheme: v.exactOptional(protoMessage({
    scheme: text,
    bearerFormat: optionalText,
    description: optionalText,
  })),
  oauth2SecurityScheme: v.exactOptional(JsonObject),
  openIdConnectSecurityScheme: v.exactOptional(JsonObject),
  mtlsSecurityScheme: v.exactOptional(JsonObject),
});

export const AgentSkill = protoMessage({
  id: text,
  name: text,
  description: text,
  tags: someOf(text),
  examples: optionalTexts,
  inputModes: optionalTexts,
  outputModes: optionalTexts,
  securityRequirements: v.exactOptional(v.array(SecurityRequirement)),
});
export type AgentSkill = v.InferOutput<typeof AgentSkill>;

export const AgentCard = protoMessage({
  name: text,
  description: text,
  /** The agent's own version. */
  version: text,
  /** The first one is preferred. */
  supportedInterfaces: someOf(AgentInterface),
  capabilities: AgentCapabilities,
  /** Media types. */
  defaultInputModes: someOf(text),
  defaultOutputModes: someOf(text),
  skills: someOf(AgentSkill),
  provider: v.exactOptional(protoMessage({ url: text, organization: text })),
  documentationUrl: optionalText,
  iconUrl: optionalText,
  securitySchemes: v.exactOptional(v.record(v.string(), SecurityScheme)),
  securityRequirements: v.exactOptional(v.array(SecurityRequirement)),
  signatures: v.exactOptional(v.array(JsonObject)),
});
export type AgentCard = v.InferOutput<typeof AgentCard>;
