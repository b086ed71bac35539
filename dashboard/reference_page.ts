/** The API for people to read. Rule: from the same table as what is served. */
import { openApiDocument } from "./openapi.ts";
import { Html, html } from "./html.ts";
import type { AnyOperation } from "./operations/operation.ts";
import { OPERATIONS } from "./operations/table.ts";

type Document = {
  paths: Record<
    string,
    Record<string, {
      parameters: { name: string; in: string; required: boolean; schema: unknown }[];
      requestBody?: { content: Record<string, { schema: unknown }> };
      responses: Record<string, { content?: Record<string, { schema: unknown }> }>;
    }>
  >;
};

export function referencePage(version: string): Html {
  const { paths } = openApiDocument(version) as Document;
  const groups = Map.groupBy(OPERATIONS as readonly AnyOperation[], (o) => o.group);
  return html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>backup-agent API</title>
        <link rel="stylesheet" href="/assets/reference.css">
      </head>
      <body>
        <main>
    <h1>backup-agent API ${version}</h1>
    <p>Everything below <code>/api</code>, as <a href="/api/openapi.json">OpenAPI 3.1</a> too. Send <code>Authorization: Bearer
    TOKEN</code> with the mesh token, or use the session of your browser. Errors are <code>application/problem+json</code>.</p>
    <p>Changes come by WebSocket at <code>/ws</code>: <code>{"kind":"snapshot","seq":1,"state":…}</code>, then
    <code>{"kind":"change","seq":2,"change":{"put":…,"gone":…}}</code>, each <code>seq</code> one more than the one before. Send
    <code>{"kind":"resync"}</code> to be given a snapshot again.</p>
    <nav aria-label="Groups"><ul>${[...groups.keys()].map((group) =>
      html`<li><a href="#${anchor(group)}">${group}</a></li>`
    )}</ul></nav>
    ${[...groups].map(([group, operations]) =>
      html`<section aria-labelledby="${anchor(group)}"><h2 id="${anchor(group)}">${group}</h2>${
        operations.map((operation) => entry(operation, paths))
      }</section>`
    )}
        </main>
      </body>
    </html>
  `;
}

function entry(operation: AnyOperation, paths: Document["paths"]): Html {
  const { name, method, path, summary, isOpen } = operation;
  const documented = paths[`/api${path.replaceAll(/:(\w+)/g, "{$1}")}`]![method]!;
  const body = documented.requestBody?.content["application/json"]?.schema;
  const answer = Object.values(documented.responses)[0]?.content?.["application/json"]?.schema;
  return html`<article id="${name}">
<h3><code>${method.toUpperCase()} /api${path}</code></h3>
<p>${summary}.${isOpen === true ? " Open to everybody." : ""}</p>
${
    documented.parameters.length === 0 ? html`` : html`
      <table>
        <thead>
          <tr>
            <th>Name</th>
            <th>In</th>
            <th>Needed</th>
          </tr>
        </thead>
        <tbody>${documented.parameters.map((p) =>
          html`
            <tr>
              <td><code>${p.name}</code></td>
              <td>${p.in}</td>
              <td>${p.required ? "yes" : "no"}</td>
            </tr>
          `
        )}</tbody>
      </table>
    `
  }
${curl(operation)}
${body === undefined ? html`` : schemaDetails("Body", body)}
${answer === undefined ? html`` : schemaDetails("Answer", answer)}
</article>`;
}

function curl({ method, path, input }: AnyOperation): Html {
  const verb = method === "get" ? "" : ` -X ${method.toUpperCase()}`;
  const body = input.body === undefined ? "" : " -H 'Content-Type: application/json' -d '{}'";
  return html`<pre><code>curl${verb} -H "Authorization: Bearer $TOKEN"${body} http://127.0.0.1:8888/api${path}</code></pre>`;
}

function schemaDetails(what: string, schema: unknown): Html {
  return html`
    <details>
      <summary>${what}</summary>
      <pre><code>${JSON.stringify(schema, null, 2)}</code></pre>
    </details>
  `;
}

function anchor(group: string): string {
  return group.toLowerCase().replaceAll(" ", "-");
}
