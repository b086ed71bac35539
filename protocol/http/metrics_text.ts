/** Metrics in Prometheus' text format. Rule: base units, few labels, and a metric that has no samples is not there. */

export interface Metric {
  /** Without the program's prefix: `load_score`. */
  name: string;
  type: "gauge" | "counter";
  help: string;
  samples: readonly { value: number; labels?: Readonly<Record<string, string>> }[];
}

const PREFIX = "backup_agent_";
export const METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export function metricsText(metrics: readonly Metric[]): string {
  return metrics.filter(({ samples }) => samples.length > 0).map(
    ({ name, type, help, samples }) => {
      const full = PREFIX + name;
      const lines = samples.map(({ value, labels = {} }) =>
        `${full}${labelsText(labels)} ${value}\n`
      );
      return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${lines.join("")}`;
    },
  ).join("");
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}
