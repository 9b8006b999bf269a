// The same answer on a second device, in a second tab, and after a reload.
//   node second-device.mjs KEY "A question"   asks, and prints the answer
//   node second-device.mjs KEY                prints the same answer, from its beginning
//   node second-device.mjs KEY "" ID          goes on after the event with this id
import OpenAI from "openai";
import { Client } from "tinistreamer";

const { STREAMER_URL: url, STREAMER_API_KEY: apiKey } = process.env;
const broker = new Client({ url, apiKey });
const [, , key, content, after] = process.argv;

async function answer(writer) {
  const messages = [{ role: "user", content }];
  const request = { model: "gpt-5-mini", stream: true, messages };
  const chunks = await new OpenAI().chat.completions.create(request, { signal: writer.signal });
  for await (const { choices } of chunks) await writer.write("token", choices[0]?.delta.content);
}

if (content) {
  await broker.createStream(key);
  broker.publish(key, answer).catch(console.error);
}
// A page does this with `subscribe` and an `access`. See page.html of examples/axum-chat.
const events = broker.subscribe(key, { after });
for await (const { event, data } of events) if (event === "token") process.stdout.write(data);
console.error(`${events.status}, the last event is ${events.lastId}`);
