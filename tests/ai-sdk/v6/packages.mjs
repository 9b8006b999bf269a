// The packages of this version of the AI SDK. `../packages.mjs` chooses one.

export * as ai from 'ai';
export { MockLanguageModelV3 as MockLanguageModel } from 'ai/test';
export { Chat } from '@ai-sdk/react';
export * as page from 'tinistreamer/ai-sdk';
export * as server from 'tinistreamer/ai-sdk/server';
export { Client } from 'tinistreamer';
