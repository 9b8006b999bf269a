import { Connection } from './connection.mjs';
import { GrowingText } from './markup.mjs';
import { subscribe } from './tinistreamer/subscribe.js';

const SUGGESTIONS = [
  'What happens if I reload the page?',
  'What makes the sky blue?',
  'Why is tea called tea?',
  'How do I count the words in a text?',
];

/** The texts of the status line in the corner. */
const STATES = {
  connecting: 'Connecting',
  live: 'Live',
  reconnecting: 'Reconnecting',
  done: 'Done',
  stopped: 'Stopped',
  failed: 'Failed',
  lost: 'Not connected',
};

/** The page's texts for error codes of the backend and the broker. */
const NOTES = {
  'not-found': 'There is no such answer.',
  'no-active-stream': 'This answer is no longer stored.',
  'stream-not-found': 'This answer is no longer stored.',
};

const $ = (id) => document.getElementById(id);

/** The answer on the page: its id, its events, and its connection. */
let current;

/** Calls the backend. Throws an `Error` with its message. */
async function call(path, options) {
  const response = await fetch(path, options);
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.message), { code: body.code });
  return body;
}

const open = (id) => call(`api/answers/${id}`);

async function ask(question) {
  const access = await call('api/ask', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ question }),
  });
  // From now on the address is all that a tab needs, also after a reload.
  history.pushState(null, '', `#${access.id}`);
  await follow(access);
}

/** Shows an answer from its first event, and while it grows. */
async function follow({ id, sse_url, token }) {
  leave();
  const text = new GrowingText($('answer'));
  const facts = { tokens: 0, connections: 0 };
  const connection = new Connection();
  const events = subscribe({
    url: sse_url,
    // The token at hand comes first, and `access` gets another one when it has expired.
    token,
    access: () => open(id),
    onConnection({ state }) {
      if (state === 'open') {
        facts.connections += 1;
        setState('live');
      }
      if (state === 'waiting') setState(facts.connections > 0 ? 'reconnecting' : 'connecting');
    },
    fetch: connection.fetch,
  });
  current = { id, events, connection };
  begin();
  try {
    for await (const { event, data, missed } of events) {
      if (event === 'question') showQuestion(data);
      if (event === 'token') {
        facts.tokens += 1;
        keepInView(() => text.append(data));
      }
      if (missed) showNote(`${missed.missed ?? 'Some'} events are no longer stored.`);
      showFacts(facts, events.lastId);
    }
  } catch (error) {
    setState('lost');
    throw error;
  }
  // Without a status, the page shows another answer by now.
  const { status, reason } = events;
  if (status) setState({ ended: 'done', cancelled: 'stopped' }[status] ?? 'failed');
  if (status === 'failed') showNote(reason.message);
  if (status === 'abandoned') showNote('The backend went silent.');
}

function leave() {
  current?.events.return();
  current = undefined;
}

function begin() {
  // A suggestion with the focus is hidden, so the focus moves to the answer.
  const fromSuggestion = $('suggestions').contains(document.activeElement);
  $('welcome').hidden = true;
  $('chat').hidden = false;
  if (fromSuggestion) $('answer').focus({ preventScroll: true });
  $('actions').hidden = false;
  $('note').hidden = true;
  $('question').textContent = '';
  $('facts').textContent = '';
  $('second').href = location.href;
  setState('connecting');
}

function welcome() {
  leave();
  $('welcome').hidden = false;
  $('chat').hidden = true;
  $('actions').hidden = true;
  $('state').hidden = true;
  document.title = 'Chat, on a stream';
}

function setState(state) {
  const active = ['connecting', 'live', 'reconnecting'].includes(state);
  $('state').hidden = false;
  $('state').dataset.state = state;
  $('state').textContent = STATES[state];
  // Screen readers read the complete answer, not each token.
  $('answer').ariaBusy = String(active);
  // Not `disabled`, which would remove the focus from the button that was just pressed.
  $('stop').ariaDisabled = String(!active);
  $('cut').ariaDisabled = String(state !== 'live');
}

function showQuestion(question) {
  $('question').textContent = question;
  document.title = question;
}

function showNote(message) {
  $('note').textContent = message;
  $('note').hidden = false;
}

function showFacts({ tokens, connections }, lastId) {
  const resumed = connections > 1 ? ` · resumed ${connections - 1}×` : '';
  $('facts').textContent = `${tokens} tokens${resumed} · last id ${lastId}`;
}

/** Follows the end of the answer, unless the reader has scrolled up. */
function keepInView(change) {
  const page = document.scrollingElement;
  const atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 48;
  change();
  if (atEnd) page.scrollTop = page.scrollHeight;
}

/** Runs the handler of a user's action. The page shows its failure. */
async function attempt(work) {
  $('note').hidden = true;
  try {
    await work();
  } catch (error) {
    showNote(NOTES[error.code] ?? error.message);
  }
}

function showAddress() {
  const id = location.hash.slice(1);
  if (id === current?.id) return;
  welcome();
  if (id) attempt(async () => follow(await open(id)));
}

$('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  const question = $('text').value;
  $('text').value = '';
  attempt(() => ask(question));
});
$('text').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $('ask').requestSubmit();
});
$('stop').addEventListener('click', () => {
  if ($('stop').ariaDisabled === 'true') return;
  // Every tab learns from the stream that the answer was stopped, also this one.
  attempt(() => current.events.requestStop());
});
$('cut').addEventListener('click', () => {
  if ($('cut').ariaDisabled === 'false') current.connection.cut();
});
for (const question of SUGGESTIONS) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = question;
  button.addEventListener('click', () => attempt(() => ask(question)));
  const item = document.createElement('li');
  item.append(button);
  $('suggestions').append(item);
}
window.addEventListener('popstate', showAddress);
showAddress();
