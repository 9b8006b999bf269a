// A page stops the model.
import OpenAI from "openai";
import { Client } from "tinistreamer";
import { subscribe } from "tinistreamer/subscribe";

const { STREAMER_URL: url, STREAMER_API_KEY: apiKey } = process.env;
const [, , key, content = "Write a long story"] = process.argv;

// The backend. `writer.signal` is aborted at a stop, which ends the request to the model.
const broker = new Client({ url, apiKey });
const permissions = ["read", "signal"];
const access = await broker.createStream(key, { permissions, subject: "ann" });
const written = broker.publish(key, async (writer) => {
  const messages = [{ role: "user", content }];
  const request = { model: "gpt-5-mini", stream: true, messages };
  const chunks = await new OpenAI().chat.completions.create(request, { signal: writer.signal });
  for await (const { choices } of chunks) await writer.write("token", choices[0]?.delta.content);
});

// The page. In place of a button, this asks for a stop after a few words.
let text = "";
const events = subscribe({ access });
for await (const { event, data } of events) {
  if (event === "token") text += data;
  if (text.length > 100) await events.requestStop();
}
console.log(text, events.status, events.reason); // "cancelled", { reason: "stop", by: "ann" }
await written;
