// A chat's backend with Hono. The model goes on when the page leaves, and ends at a stop.
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import OpenAI from "openai";
import { Client } from "tinistreamer";

const { STREAMER_URL: url, STREAMER_API_KEY: apiKey, PORT = "3000" } = process.env;
const broker = new Client({ url, apiKey });
const permissions = ["read", "signal"];

async function* answer(content, signal) {
  const messages = [{ role: "user", content }];
  const request = { model: "gpt-5-mini", stream: true, messages };
  const chunks = await new OpenAI().chat.completions.create(request, { signal });
  for await (const { choices } of chunks) if (choices[0]) yield choices[0].delta.content ?? "";
}

const app = new Hono().post("/answers", async (context) => {
  const { question } = await context.req.json();
  const key = `answer-${crypto.randomUUID()}`;
  const access = await broker.createStream(key, { permissions });
  const write = (writer) => writer.pipeFrom(answer(question, writer.signal), "token");
  broker.publish(key, write).catch(console.error);
  return context.json({ key, ...access });
});
app.get("/answers/:key", async (context) => {
  const key = context.req.param("key");
  return context.json({ key, ...(await broker.issueToken(key, { permissions })) });
});
serve({ fetch: app.fetch, port: Number(PORT), hostname: "127.0.0.1" });
