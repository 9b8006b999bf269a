import { Tile } from './tile.mjs';

/** How many events back a new stream starts: as many as a tile shows. */
const FROM = -200;
/**
 * Pauses in ms: after a cut, before a retry after a refusal, and before a finished stream is
 * replaced by the next one.
 */
const PAUSE = { cut: 1_500, refused: 2_000, ended: 5_000 };
const STATES = {
  connecting: 'Connecting',
  live: 'Live',
  reconnecting: 'Reconnecting',
  cut: 'Cut off',
};
const OWN_EVENTS = ['start', 'end', 'cancel', 'fail', 'abandon', 'missedevents'];
const EVENTS = [...OWN_EVENTS, 'number', 'token', 'alert'];

const $ = (id) => document.getElementById(id);

const tiles = new Map();
const changed = new Set();
let source;
/** The timers of the next connection, and of the one that follows the next streams. */
let timer;
let turn;
/** The board's prefix, and the position in all of its streams: the id of the last frame. */
let prefix;
let cursor;
let connections = 0;
let filter = '';

const keyOf = ({ slug, run }) => `${prefix}${slug}:${run}`;
const tileOf = (key) => tiles.get(key.slice(prefix.length).split(':')[0]);

/**
 * Opens the one connection for the current streams. It continues where the last connection stopped.
 */
async function connect() {
  source?.close();
  clearTimeout(timer);
  clearTimeout(turn);
  turn = undefined;
  const board = await fetch('api/board').then(
    (response) => (response.ok ? response.json() : undefined),
    () => undefined,
  );
  if (!board) return later(PAUSE.refused);
  // Another run of the backend has other streams.
  if (prefix && prefix !== board.prefix) return location.reload();
  prefix ??= board.prefix;
  for (const spec of board.tiles) showTile(spec);

  const url = new URL(board.sse_url);
  for (const tile of tiles.values()) url.searchParams.append('key', keyOf(tile));
  url.searchParams.set('token', board.token);
  url.searchParams.set('wait', 'true');
  url.searchParams.set('from', FROM);
  if (cursor) url.searchParams.set('last_event_id', cursor);
  if (filter) url.searchParams.set('events', filter);

  source?.close();
  const here = new EventSource(url);
  source = here;
  source.onopen = () => {
    connections += 1;
    setState('live');
  };
  // EventSource reconnects by itself, with its last id. It gives up when it was refused. Another
  // token may help.
  source.onerror = () => {
    setState('reconnecting');
    if (here.readyState === EventSource.CLOSED) later(PAUSE.refused);
  };
  for (const name of EVENTS) source.addEventListener(name, take);
}

function later(pause) {
  source?.close();
  clearTimeout(timer);
  timer = setTimeout(connect, pause);
}

/**
 * Creates the tile of a source, or moves it to the source's next stream when the last one is over.
 */
function showTile(spec) {
  const tile = tiles.get(spec.slug);
  if (!tile) {
    const made = new Tile(spec);
    tiles.set(spec.slug, made);
    $('tiles').append(made.root);
  } else if (tile.isOver) {
    tile.next(Math.max(tile.run + 1, spec.run));
    redraw(tile);
  }
}

/** A frame's id starts with its stream and its position there: `KEY:ID`. */
function take({ type, data, lastEventId }) {
  cursor = lastEventId;
  const [key, id] = lastEventId.split(',', 1)[0].split(':');
  const tile = tileOf(decodeURIComponent(key));
  if (type === 'missedevents') {
    const { missed, first } = JSON.parse(data);
    if (first) tile.ledger.miss(missed, numberOf(first));
    else tile.state = 'gone';
  } else {
    tile.ledger.note(numberOf(id), connections, filter !== '');
    tile.take(type, data);
  }
  // One turn for all streams that have ended by then, because adding streams connects again.
  if (tile.isOver) turn ??= setTimeout(connect, PAUSE.ended);
  redraw(tile);
}

/** The number in `<milliseconds>-<number>`. The last id of a stream has a `!` behind it. */
const numberOf = (id) => Number.parseInt(id.split('-')[1], 10);

function redraw(tile) {
  if (changed.size === 0) requestAnimationFrame(draw);
  changed.add(tile);
}

function draw() {
  for (const tile of changed) tile.draw();
  changed.clear();
  for (const name of ['got', 'gaps', 'repeats']) {
    const sum = [...tiles.values()].reduce((sum, { ledger }) => sum + ledger[name], 0);
    $(name).textContent = sum.toLocaleString('en');
  }
}

function setState(state) {
  $('state').dataset.state = state;
  $('state').textContent = STATES[state];
  // Not `disabled`, which would remove the focus from the button that was just pressed.
  $('cut').ariaDisabled = String(state !== 'live');
  $('resumed').textContent = Math.max(0, connections - 1);
}

$('cut').addEventListener('click', () => {
  if ($('cut').ariaDisabled === 'true') return;
  setState('cut');
  later(PAUSE.cut);
});
for (const choice of document.getElementsByName('filter')) {
  choice.addEventListener('change', () => {
    filter = choice.value;
    document.body.classList.toggle('filtering', filter !== '');
    for (const { ledger } of tiles.values()) ledger.filter();
    connect();
  });
}
setState('connecting');
connect();
