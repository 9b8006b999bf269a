// Prints the OpenAPI document without `oneOf`, for the generator of types. With a union as
// `IssueToken`, the compiler would refuse objects that callers build member by member. The broker
// reports a missing or an additional member.

import { readFileSync } from "node:fs";

const document = JSON.parse(
  readFileSync(new URL("../../../spec/openapi.json", import.meta.url), "utf8"),
);
for (const schema of Object.values(document.components.schemas)) delete schema.oneOf;
process.stdout.write(JSON.stringify(document));
