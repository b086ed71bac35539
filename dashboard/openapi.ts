/** The OpenAPI 3.1 document. Rule: made from the table of operations and their schemas, and from nothing else. */
import { toJsonSchema } from "@valibot/to-json-schema";
import type * as v from "valibot";
import type { AnyOperation } from "./operations/operation.ts";
import { OPERATIONS } from "./operations/table.ts";
import { PROBLEM_MEDIA_TYPE } from "./problem.ts";

type Json = Record<string, unknown>;

/** JSON Schema draft 2020-12, which OpenAPI 3.1 uses. */
function schemaOf(schema: v.GenericSchema, typeMode: "input" | "output"): Json {
  const { $schema: _, ...plain } = toJsonSchema(schema, {
    typeMode,
    target: "draft-2020-12",
    // What JSON Schema cannot say (a check, a transformation) is left out of the document, and checked all the same.
    errorMode: "ignore",
  }) as Json;
  return plain;
}

function parametersOf({ input }: AnyOperation): Json[] {
  return [["path", input.params], ["query", input.query]].flatMap(([where, schema]) => {
    if (schema === undefined) return [];
    const { properties = {}, required = [] } = schemaOf(schema as v.GenericSchema, "input") as {
      properties?: Record<string, Json>;
      required?: string[];
    };
    return Object.entries(properties).map(([name, schema]) => ({
      name,
      in: where,
      required: required.includes(name),
      schema,
    }));
  });
}

function operationOf(operation: AnyOperation): Json {
  const { name, group, summary, input, isOpen, kind } = operation;
  const success = kind === "json"
    ? {
      [operation.status]: {
        description: "Done",
        content: { "application/json": { schema: schemaOf(operation.output, "output") } },
      },
    }
    : {
      200: {
        description: "The file",
        content: { "application/octet-stream": { schema: { type: "string", format: "binary" } } },
      },
    };
  return {
    operationId: name,
    tags: [group],
    summary,
    ...(isOpen === true ? { security: [] } : {}),
    parameters: parametersOf(operation),
    ...(input.body === undefined ? {} : {
      requestBody: {
        required: true,
        content: { "application/json": { schema: schemaOf(input.body, "input") } },
      },
    }),
    responses: {
      ...success,
      default: {
        description: "What is wrong",
        content: { [PROBLEM_MEDIA_TYPE]: { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    },
  };
}

export function openApiDocument(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const operation of OPERATIONS as readonly AnyOperation[]) {
    const path = `/api${operation.path.replaceAll(/:(\w+)/g, "{$1}")}`;
    paths[path] = { ...paths[path], [operation.method]: operationOf(operation) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "backup-agent",
      version,
      description:
        "What the dashboard can see and do. Changes as they happen come by WebSocket at /ws: a snapshot, " +
        "then numbered changes, in the form of the schema of getStatus.",
    },
    security: [{ token: [] }, { session: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "The mesh token" },
        session: {
          type: "apiKey",
          in: "cookie",
          name: "backup-agent-PORT",
          description: "What the one-time address gives a browser",
        },
      },
      schemas: {
        Problem: {
          type: "object",
          description: "RFC 9457",
          required: ["type", "title", "status"],
          properties: {
            type: { type: "string" },
            title: { type: "string" },
            status: { type: "integer" },
            detail: { type: "string" },
            hint: { type: "string" },
            path: { type: "string" },
            errors: {
              type: "array",
              items: {
                type: "object",
                properties: { field: { type: "string" }, detail: { type: "string" } },
              },
            },
          },
        },
      },
    },
  };
}
