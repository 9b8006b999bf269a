// Saves an answer once: also when no page follows it, and what it has when it breaks off.
// A second run with the same key saves what a run that was killed has left.
import { link, rm, writeFile } from "node:fs/promises";
import OpenAI from "openai";
import { Client } from "tinistreamer";

const { STREAMER_URL: url, STREAMER_API_KEY: apiKey } = process.env;
const broker = new Client({ url, apiKey });
const [, , key, content] = process.argv;

async function answer(writer) {
  const request = { model: "gpt-5-mini", messages: [{ role: "user", content }], stream: true };
  const chunks = await new OpenAI().chat.completions.create(request, { signal: writer.signal });
  for await (const { choices } of chunks) await writer.write("token", choices[0]?.delta.content);
}

const { created } = await broker.createStream(key, { if_exists: "attach", if_finished: "attach" });
if (created) broker.publish(key, answer).catch(console.error);

let text = "";
const events = broker.subscribe(key);
for await (const { event, data } of events) if (event === "token") text += data;
const part = `${key}.${process.pid}.part`;
await writeFile(part, JSON.stringify({ text, status: events.status, reason: events.reason }));
// Only one of several runs can make this link. In a database it is a unique key.
await link(part, `${key}.json`).catch((error) => {
  if (error.code !== "EEXIST") throw error;
});
await rm(part);
