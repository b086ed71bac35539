import assert from "node:assert/strict";
import { metricsText } from "./metrics_text.ts";

Deno.test("metrics are text that Prometheus reads, whatever is in a label", () => {
  assert.equal(
    metricsText([
      { name: "load_score", type: "gauge", help: "0 idle, 1 busy", samples: [{ value: 0.5 }] },
      { name: "none", type: "gauge", help: "Not there", samples: [] },
      {
        name: "bytes_total",
        type: "counter",
        help: "Bytes written",
        samples: [{ value: 7, labels: { destination: 'a"b\\c\nd', agent: "x" } }],
      },
    ]),
    "# HELP backup_agent_load_score 0 idle, 1 busy\n# TYPE backup_agent_load_score gauge\n" +
      "backup_agent_load_score 0.5\n" +
      "# HELP backup_agent_bytes_total Bytes written\n# TYPE backup_agent_bytes_total counter\n" +
      'backup_agent_bytes_total{destination="a\\"b\\\\c\\nd",agent="x"} 7\n',
  );
});
