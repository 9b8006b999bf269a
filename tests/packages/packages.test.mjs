// What users install: the npm packages and the wheels, each in an empty folder.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DEADLINE, makeFolder, removeFolder, start, until } from '../support/processes.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const program = path.resolve(
  process.env.TINISTREAMER_BIN ?? path.join(root, 'target/debug/tinistreamer'),
);
const target = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`;
const packages = makeFolder();
const RUNNERS = ['vitest@3.2.4', 'jest@30.2.0'];

/** Runs a program to its end, and returns what it prints. */
const run = (command, args, folder) =>
  execFileSync(command, args, {
    cwd: folder,
    timeout: DEADLINE,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
  });

/** The packed file whose name fits. */
function packed(pattern) {
  const names = readdirSync(packages).filter((name) => pattern.test(name));
  assert.equal(names.length, 1, `${pattern} among ${readdirSync(packages)}`);
  return path.join(packages, names[0]);
}

before(() => {
  // Without debug information, which a release does not have either.
  const stripped = path.join(packages, 'tinistreamer');
  copyFileSync(program, stripped);
  run('strip', [stripped], packages);
  const script = path.join(root, 'scripts/package-broker');
  run(script, ['--binary', stripped, '--target', target, '--out', packages, '--clients'], root);
});

/** The first block of this language in a section of a README. */
function block(readme, heading, language) {
  const text = readFileSync(path.join(root, readme), 'utf8');
  const section = text.split(`\n## ${heading}\n`)[1].split('\n## ')[0];
  return new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(section)[1];
}

/** Starts a broker with this command, and reads its address and its keys. */
async function startDev(command, args, folder) {
  const child = start(command, args, {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  let ended;
  child.gone.then((how) => (ended = how));
  const found = await until(() => {
    if (ended) throw new Error(`${command} ended: ${JSON.stringify(ended)}\n${out}${err}`);
    const url = / listens on (http:\S+) /.exec(out)?.[1];
    const apiKey = /^export STREAMER_API_KEY=(\S+)$/m.exec(out)?.[1];
    return url && apiKey && { url, apiKey };
  }, 'the broker prints its address and a key');
  return { child, ...found };
}

/** Ends a broker by a signal, as a terminal does. It must not be left behind. */
async function stop({ child, url }) {
  child.kill('SIGTERM');
  await child.gone;
  await assert.rejects(fetch(`${url}/api/health`), 'nothing listens any more');
}

test('npm: one command starts a broker, and the client streams a word', async () => {
  const folder = makeFolder();
  writeFileSync(path.join(folder, 'package.json'), '{"type": "module"}');
  const files = [packed(/^tinistreamer-\d.*\.tgz$/), packed(/^tinistreamer-broker-.*\.tgz$/)];
  run('npm', ['install', '--no-audit', '--no-fund', '--silent', ...files], folder);
  const version = run('npx', ['tinistreamer', '--version'], folder);
  assert.match(version, /^tinistreamer \d/);

  const broker = await startDev('node_modules/.bin/tinistreamer', ['dev'], folder);
  try {
    writeFileSync(
      path.join(folder, 'word.js'),
      `import { Client } from 'tinistreamer';
       import { subscribe } from 'tinistreamer/subscribe';
       const client = new Client({ url: '${broker.url}', apiKey: '${broker.apiKey}' });
       const { sse_url, token } = await client.createStream('hello');
       await client.publish('hello', (writer) => writer.write('token', 'word'));
       for await (const event of subscribe({ url: sse_url, token }))
         if (event.event === 'token') console.log(event.data);`,
    );
    assert.equal(run(process.execPath, ['word.js'], folder), 'word\n');
  } finally {
    await stop(broker);
  }

  // The helpers for an application's own tests, with the test runners that it may use.
  const app = block('clients/typescript/README.md', 'Testing your app', 'js');
  const importLine = /^import \{ test \}.*\n/m;
  writeFileSync(path.join(folder, 'node.mjs'), app);
  writeFileSync(
    path.join(folder, 'vitest.test.mjs'),
    app.replace(importLine, "import { test } from 'vitest';\n"),
  );
  writeFileSync(path.join(folder, 'jest.spec.mjs'), app.replace(importLine, ''));
  run('npm', ['install', '--no-audit', '--no-fund', '--silent', ...RUNNERS], folder);
  run(process.execPath, ['--test', 'node.mjs'], folder);
  run('npx', ['vitest', 'run', 'vitest.test.mjs'], folder);
  const jest = ['--experimental-vm-modules', 'node_modules/jest/bin/jest.js'];
  const matches = ['--testMatch', '**/jest.spec.mjs'];
  run(process.execPath, [...jest, '--silent', ...matches], folder);

  // A platform without a package.
  removeFolder(path.join(folder, 'node_modules/@tinistreamer'));
  const child = start('node_modules/.bin/tinistreamer', ['dev'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let err = '';
  child.stderr.on('data', (chunk) => (err += chunk));
  const ended = await until(() => Promise.race([child.gone, sleep(100)]), 'the command ends');
  assert.deepEqual(ended, { code: 1, signal: null });
  assert.match(err, /@tinistreamer\/broker-linux-\w+ is not installed/);
  removeFolder(folder);
});

test('PyPI: one command starts a broker, and the client streams a word', async () => {
  const folder = makeFolder();
  run('python3', ['-m', 'venv', 'venv'], folder);
  const pip = ['install', '--quiet', '--disable-pip-version-check', '--find-links', packages];
  run('venv/bin/pip', [...pip, 'tinistreamer[broker]'], folder);
  assert.match(run('venv/bin/tinistreamer', ['--version'], folder), /^tinistreamer \d/);

  const broker = await startDev('venv/bin/tinistreamer', ['dev'], folder);
  try {
    writeFileSync(
      path.join(folder, 'word.py'),
      [
        'from tinistreamer import Client, subscribe',
        `with Client("${broker.url}", "${broker.apiKey}") as client:`,
        '    access = client.create_stream("hello")',
        '    with client.publish("hello") as stream:',
        '        stream.write("token", "word")',
        'for event in subscribe(access.sse_url, token=access.token):',
        '    if event.event == "token":',
        '        print(event.data)',
        '',
      ].join('\n'),
    );
    assert.equal(run('venv/bin/python', ['word.py'], folder), 'word\n');
  } finally {
    await stop(broker);
  }

  // The fixture for an application's own tests.
  const app = block('clients/python/README.md', 'Testing your app', 'python');
  writeFileSync(path.join(folder, 'test_app.py'), app);
  run('venv/bin/pip', [...pip, 'pytest'], folder);
  assert.match(run('venv/bin/python', ['-m', 'pytest', 'test_app.py'], folder), /1 passed/);
  removeFolder(folder);
});
