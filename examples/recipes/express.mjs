// A chat's backend with Express. The model goes on when the page leaves, and ends at a stop.
import { randomUUID } from "node:crypto";
import express from "express";
import OpenAI from "openai";
import { Client } from "tinistreamer";

const { STREAMER_URL: url, STREAMER_API_KEY: apiKey, PORT = "3000" } = process.env;
const broker = new Client({ url, apiKey });
const permissions = ["read", "signal"];

async function answer(content, writer) {
  const messages = [{ role: "user", content }];
  const request = { model: "gpt-5-mini", stream: true, messages };
  const chunks = await new OpenAI().chat.completions.create(request, { signal: writer.signal });
  for await (const { choices } of chunks)
    if (choices[0]?.delta.content) await writer.write("token", choices[0].delta.content);
}

const app = express().use(express.json());
app.post("/answers", async ({ body }, response) => {
  const key = `answer-${randomUUID()}`;
  const { sse_url, token } = await broker.createStream(key, { permissions });
  broker.publish(key, (writer) => answer(body.question, writer)).catch(console.error);
  response.json({ key, sse_url, token });
});
app.get("/answers/:key", async ({ params: { key } }, response) => {
  response.json({ key, ...(await broker.issueToken(key, { permissions })) });
});
app.listen(Number(PORT), "127.0.0.1");
