// app/answers/route.ts
import { after } from "next/server";
import OpenAI from "openai";
import { Client } from "tinistreamer";

const { STREAMER_URL: url = "", STREAMER_API_KEY: apiKey = "" } = process.env;

export async function POST(request: Request) {
  const messages = [{ role: "user" as const, content: await request.text() }];
  const broker = new Client({ url, apiKey });
  const key = `answer-${crypto.randomUUID()}`;
  const access = await broker.createStream(key, { permissions: ["read", "signal"] });
  const written = broker.publish(key, async (writer) => {
    const question = { model: "gpt-5-mini", stream: true, messages } as const;
    const chunks = await new OpenAI().chat.completions.create(question, { signal: writer.signal });
    for await (const { choices } of chunks) await writer.write("token", choices[0]?.delta.content);
  });
  // Keeps the process alive until the answer is written. A failed answer is logged.
  after(written);
  return Response.json(access);
}
