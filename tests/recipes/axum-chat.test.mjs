// The chat of examples/axum-chat, in Chromium.

import path from 'node:path';
import { withChat } from './chat.mjs';
import { testChat } from './chat-scenarios.mjs';
import { root } from './package.mjs';
import { serve, settings } from './programs.mjs';

const program = path.join(root, 'target/debug/axum-chat');

const start = (fixture) =>
  serve(
    fixture,
    program,
    (port) => [`127.0.0.1:${port}`],
    () => ({ env: settings(fixture) }),
  );

testChat(withChat('axum-chat', start));
