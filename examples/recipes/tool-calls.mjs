// The calls of tools are events of their own, so that a page shows what the model does.
import OpenAI from "openai";
import { Client } from "tinistreamer";

const { STREAMER_URL: url, STREAMER_API_KEY: apiKey } = process.env;
const broker = new Client({ url, apiKey });
const [, , key, content = "What is the weather in Paris?"] = process.argv;
const parameters = { type: "object", properties: { city: { type: "string" } } };

async function answer(writer) {
  async function weather(input) {
    await writer.write("tool-call", { name: "weather", input });
    const output = `It rains in ${input.city}`;
    await writer.write("tool-result", { name: "weather", output });
    return output;
  }
  const description = "The weather in a city";
  const tool = { function: weather, description, parameters, parse: JSON.parse };
  const tools = [{ type: "function", function: tool }];
  const messages = [{ role: "user", content }];
  const request = { model: "gpt-5-mini", stream: true, messages, tools };
  const chunks = new OpenAI().chat.completions.runTools(request, { signal: writer.signal });
  for await (const { choices } of chunks) await writer.write("token", choices[0]?.delta.content);
}

await broker.createStream(key);
broker.publish(key, answer).catch(console.error);
// A page does this with `subscribe` and an `access`. See page.html of examples/axum-chat.
for await (const { event, data } of broker.subscribe(key)) console.log(event, data);
