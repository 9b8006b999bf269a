// The backend of a chat, which the tests' servers use.

import { setTimeout as sleep } from 'node:timers/promises';
import { Model } from './model.mjs';
import { ai, Client, server } from './packages.mjs';

/** A chat with its handlers, its model and what it has saved. `options` replace its own. */
export function makeChat({ url, apiKey }, options = {}) {
  const client = new Client({ url, apiKey });
  const model = new Model();
  const chat = { client, model, saved: new Map(), finished: [], errors: [], answers: [] };
  chat.handlers = server.createChatHandlers({
    client,
    authorize: ({ request }) => request.headers.get('x-user') ?? 'somebody',
    answer: async (context) => {
      chat.answers.push(context);
      const { chatId, messages, signal } = context;
      chat.saved.set(chatId, messages);
      return ai
        .streamText({
          model: model.model,
          messages: await ai.convertToModelMessages(messages),
          abortSignal: signal,
          maxRetries: 0,
          onError: () => {},
        })
        .toUIMessageStream();
    },
    onFinish: async (answer) => {
      await sleep(10);
      chat.finished.push(answer);
      chat.saved.set(answer.chatId, answer.messages);
    },
    onError: (error) => void chat.errors.push(error),
    ...options,
  });
  return chat;
}

/** The text of a message. */
export const messageText = (message) =>
  (message?.parts ?? []).map((part) => (part.type === 'text' ? part.text : '')).join('');
