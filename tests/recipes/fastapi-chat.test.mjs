// The chat of examples/fastapi-chat, in Chromium.

import path from 'node:path';
import { withChat } from './chat.mjs';
import { testChat } from './chat-scenarios.mjs';
import { root } from './package.mjs';
import { serve, settings } from './programs.mjs';

const python = path.join(root, 'target/venv-clients/bin/python');
const app = ['-m', 'uvicorn', 'app:app', '--host', '127.0.0.1', '--port'];

const start = (fixture) =>
  serve(
    fixture,
    python,
    (port) => [...app, String(port)],
    () => ({
      cwd: path.join(root, 'examples/fastapi-chat'),
      env: { ...settings(fixture), PYTHONDONTWRITEBYTECODE: '1' },
    }),
  );

testChat(withChat('fastapi-chat', start));
