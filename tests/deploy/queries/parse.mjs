// Reads a JSON list of [language, query] from standard input; writes for each the nodes of its tree
// as [name, text], those of an error under the name "⚠".
import { parser as logql } from "@grafana/lezer-logql";
import { parser as traceql } from "@grafana/lezer-traceql";
import { readFileSync } from "node:fs";

const parsers = { loki: logql, tempo: traceql };
const trees = JSON.parse(readFileSync(0, "utf8")).map(([language, query]) => {
  const nodes = [];
  parsers[language].parse(query).iterate({
    enter: (node) => {
      const name = node.type.isError ? "⚠" : node.name;
      nodes.push([name, query.slice(node.from, node.to)]);
    },
  });
  return nodes;
});
process.stdout.write(JSON.stringify(trees));
