import { convertToModelMessages, streamText } from "ai";
import { after } from "next/server";
import { createChatHandlers } from "tinistreamer/ai-sdk/server";
import { model, saveChat, userOf } from "@/lib/app";

export const { GET, POST } = createChatHandlers({
  url: process.env.STREAMER_URL,
  apiKey: process.env.STREAMER_API_KEY,
  waitUntil: after,
  authorize: ({ request, chatId }) => userOf(request, chatId),
  answer: async ({ chatId, messages, signal: abortSignal }) => {
    await saveChat(chatId, messages);
    const prompt = await convertToModelMessages(messages);
    const result = streamText({ model, messages: prompt, abortSignal });
    return result.toUIMessageStream();
  },
  onFinish: ({ chatId, messages }) => saveChat(chatId, messages),
});
