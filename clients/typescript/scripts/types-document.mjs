// Prints the OpenAPI document without `oneOf`, for the generator of types. A union in the place of
// `IssueToken` would refuse objects that callers build member by member. The broker says which
// member is missing, or is one too many.

import { readFileSync } from "node:fs";

const document = JSON.parse(
  readFileSync(new URL("../../../spec/openapi.json", import.meta.url), "utf8"),
);
for (const schema of Object.values(document.components.schemas)) delete schema.oneOf;
process.stdout.write(JSON.stringify(document));
