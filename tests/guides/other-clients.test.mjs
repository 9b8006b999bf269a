// docs/guides/other-clients.md

import assert from 'node:assert/strict';
import { numberOf, range } from '../support/ids.mjs';
import { until } from '../support/processes.mjs';
import { describePage, runs } from './harness.mjs';

const PROGRAM = `// main.mjs
import { WebSocket } from "ws";
import { follow } from "./follow.mjs";
const print = (event) => console.log(JSON.stringify(event));
follow(process.argv[2], print, { WebSocket, minReconnectionDelay: 20, maxReconnectionDelay: 50 });
`;

describePage(
  'guides/other-clients.md',
  runs('js', 'follow.mjs receives each event once, and stops', async (reader, text) => {
    reader.install('reconnecting-websocket', 'ws');
    reader.save(text);
    const { key, ws_url, token } = await reader.broker.stream('chat');
    const program = reader.node(PROGRAM, [`${ws_url}&token=${token}`]);
    for (const n of range(0, 30)) {
      await reader.broker.add(key, [{ event: 'token', data: `${n}` }]);
      if (n % 10 !== 5) continue;
      await reader.printed(program, new RegExp(`"data":"${n}"`));
      reader.proxy.cutAll();
    }
    await reader.broker.end(key);
    const events = () =>
      program.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
    const isOver = () => program.child.exitCode !== null;
    // Without the close it would connect again, and get all events again.
    await until(() => isOver() || events().length > 32, 'the program stops, or starts again');
    assert.ok(isOver(), 'it stops');
    await program.ended();
    assert.deepEqual(
      events().map(({ id }) => numberOf(id)),
      range(0, 32),
    );
  }),
);
