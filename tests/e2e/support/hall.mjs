// A hall on the day of a small cup: who is there, what they judge, and everybody's connection.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Client, metaOf } from './client.mjs';
import { startServer } from './server.mjs';

const PASSWORD = 'a long password for the cup';

/** Who is there: role, and the hat on one category or, without one, on the whole event. */
export const PEOPLE = {
  ada: { role: 'JUDGE', hat: 'JUDGE', on: 'vault' },
  ben: { role: 'JUDGE', hat: 'JUDGE', on: 'vault' },
  cleo: { role: 'JUDGE', hat: 'HEAD_JUDGE', on: 'vault' },
  fay: { role: 'JUDGE', hat: 'JUDGE', on: 'beam' },
  rita: { role: 'JUDGE', hat: 'JUDGE', on: 'floor' },
  sam: { role: 'JUDGE', hat: 'JUDGE', on: 'floor' },
  tom: { role: 'TALLY_MASTER', hat: 'TALLY_MASTER' },
  audrey: { role: 'AUDITOR', hat: 'AUDITOR' },
  bo: { role: 'BOARD', hat: 'BOARD' },
  emil: { role: 'EMCEE', hat: 'EMCEE' },
  olga: { role: 'ORGANIZER' },
  adam: { role: 'ADMIN' },
  // Runs the installation and judges: the judging hat wins.
  jo: { role: 'ADMIN', hat: 'JUDGE', on: 'vault' },
};

/** Those who read every mark of `vault`. */
export const OFFICE = ['tom', 'audrey', 'bo', 'olga', 'adam'];
/** Those who judge `vault`. */
export const PANEL = ['ada', 'ben', 'cleo', 'jo'];

export const email = (name) => `${name}@cup.example`;

const criterion = (id, step) => ({ id, name: id, min: 0, max: 10, step, weight: 1 });
const entries = (...ids) => ids.map((contestantId, index) => ({ contestantId, startOrder: index + 1 }));
const hats = (category) =>
  Object.entries(PEOPLE)
    .filter(([, person]) => person.hat && person.on === category)
    .map(([name, { hat }]) => ({ email: email(name), hat }));
const category = (id, criteria, entered) => ({
  id,
  name: id,
  rules: { method: 'mean', missing: 'mean_of_others' },
  criteria,
  entries: entered,
  assignments: hats(id),
});

export const DOCUMENT = {
  event: { id: 'cup', mainTitle: 'Spring Cup', discipline: 'gymnastics', status: 'running' },
  users: Object.entries(PEOPLE).map(([name, { role }]) => ({ email: email(name), name, role, password: PASSWORD })),
  contestants: ['mia', 'noa', 'pia', 'zoe'].map((id) => ({ id, name: id })),
  contests: [
    {
      id: 'artistic',
      name: 'Artistic',
      categories: [
        category('vault', [criterion('execution', 0.1), criterion('difficulty', 0.5)], entries('mia', 'noa', 'pia')),
        category('beam', [criterion('beam-mark', 0.1)], entries('mia', 'zoe')),
      ],
    },
    { id: 'team', name: 'Team', categories: [category('floor', [criterion('floor-mark', 0.1)], entries('mia'))] },
  ],
  assignments: hats(undefined),
};

/** Serves the cup, with `more` in it, signs everybody in and connects them. Always `close` it. */
export async function openHall(more = {}) {
  const server = await startServer({ ...DOCUMENT, ...more });
  const hall = new Hall(server);
  try {
    await Promise.all(Object.keys(PEOPLE).map(async (name) => (hall[name] = await hall.connect(name))));
  } catch (error) {
    hall.hangUp();
    await server.stop().catch(() => {}); // the first error is the one to tell
    throw error;
  }
  return hall;
}

class Hall {
  /** Who may have been shown foreign marks of a category. Jo judges the vault only. */
  readers = { vault: new Set(OFFICE), beam: new Set([...OFFICE, 'jo']), floor: new Set([...OFFICE, 'jo']) };
  #clients = [];
  #sessions = new Map();

  constructor(server) {
    this.server = server;
    this.url = server.url;
  }

  /** A new session: { accessToken, refreshToken, expiresIn, user }. */
  async signIn(name) {
    const answer = await this.server.http('POST', '/api/v1/auth/login', { body: { email: email(name), password: PASSWORD } });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body;
  }

  /** The first session of somebody. */
  async session(name) {
    if (!this.#sessions.has(name)) this.#sessions.set(name, this.signIn(name));
    return await this.#sessions.get(name);
  }

  /** One more connection of somebody. */
  async connect(name, options) {
    const { accessToken, user } = await this.session(name);
    const client = this.client({ auth: { token: accessToken }, ...options });
    client.name = name;
    client.id = user.id;
    await client.ready();
    return client;
  }

  /** A connection of somebody unknown. */
  client(options) {
    const client = new Client(this.url, options);
    this.#clients.push(client);
    return client;
  }

  /** A request with the token of somebody. */
  async http(name, method, path, options) {
    const { accessToken } = await this.session(name);
    return await this.server.http(method, path, { token: accessToken, ...options });
  }

  hangUp() {
    for (const client of this.#clients) client.close();
  }

  /** Looks at everything everybody was shown, then ends. */
  async close() {
    this.hangUp();
    try {
      for (const client of this.#clients.filter((client) => client.name)) {
        isGapless(client);
        isMasked(client, this.readers);
      }
    } finally {
      await this.server.stop();
    }
  }
}

/** What a judge sends; `change` replaces parts of it. */
export function mark(change = {}) {
  return { commandId: randomUUID(), categoryId: 'vault', contestantId: 'mia', criterionId: 'execution', score: 9.3, ...change };
}

/** Submits a mark that must pass, and gives { score, receipt, commandId }. */
export async function submit(client, change) {
  const payload = mark(change);
  const answer = await client.ask('scores:submit', payload);
  assert.equal(answer.ok, true, `${client.name}: ${JSON.stringify(payload)} -> ${JSON.stringify(answer)}`);
  return { ...answer.data, commandId: payload.commandId };
}

/** Asserts that an answer is a refusal with that code, and gives its error. */
export function refused(answer, code) {
  assert.equal(answer?.ok, false, JSON.stringify(answer));
  assert.equal('data' in answer, false, JSON.stringify(answer));
  return isError(answer.error, code);
}

/** What came back as `error` for an event that was emitted without an ack. */
export async function refusedAloud(client, code, event, ...args) {
  const from = client.frames.length;
  client.tell(event, ...args);
  const frame = await client.next('error', from);
  assert.equal(frame.args.length, 1, JSON.stringify(frame));
  const error = isError(frame.args[0], code);
  assert.equal(error.event, event, JSON.stringify(error));
  return error;
}

function isError(error, code) {
  const told = JSON.stringify(error);
  assert.equal(error.code, code, told);
  assert.ok(typeof error.message === 'string' && error.message.length > 0, told);
  assert.ok(typeof error.correlationId === 'string' && error.correlationId.length > 0, told);
  return error;
}

/** Nothing was lost and nothing came twice: in every lane each fact follows the one before it. */
function isGapless(client) {
  let heads = new Map();
  for (const frame of client.frames) {
    if (frame.event === 'session:ready' || frame.event === 'session:changed') {
      heads = new Map(frame.args[0].lanes.map(({ lane, seq }) => [lane, heads.get(lane) ?? seq]));
      continue;
    }
    const meta = metaOf(frame);
    if (meta === undefined) continue;
    assert.equal(frame.args.length, frame.event === 'sync:tick' ? 1 : 2, client.transcript());
    const told = `${client.name} was shown ${meta.lane} ${meta.seq}`;
    assert.ok(heads.has(meta.lane), `${told}, a lane that is not theirs\n${client.transcript()}`);
    assert.equal(meta.seq, heads.get(meta.lane) + 1, `${told} after ${heads.get(meta.lane)}\n${client.transcript()}`);
    heads.set(meta.lane, meta.seq);
  }
}

/** Whoever judges a category, or reads no marks, was shown no mark of it but their own; command ids are for their author. */
function isMasked(client, readers) {
  const foreign = ({ categoryId, judgeId }) => !readers[categoryId].has(client.name) && judgeId !== client.id;
  for (const { event, args } of client.frames) {
    if (event === 'scores:updated' && foreign(args[0])) isMaskedScore(args[0]);
    if (event === 'scores:data') args[0].filter(foreign).forEach(isMaskedScore);
    if (event === 'tally:updated' || event === 'judge:presence') {
      const { categoryId } = args[0];
      assert.ok(readers[categoryId].has(client.name), `${client.name} was shown ${event} of ${categoryId}`);
    }
    const meta = metaOf({ event, args });
    if (meta?.commandId !== undefined) {
      const own = event === 'scores:updated' ? args[0].judgeId === client.id : meta.lane === `usr:${client.id}`;
      assert.ok(own && !event.startsWith('assignment:'), `${client.name} was shown a foreign command id`);
    }
  }
}

/** A mark that was given, and nothing of which. */
export function isMaskedScore(score) {
  const { id, categoryId, contestId, eventId, contestantId, judgeId, criterionId, status, updatedAt } = score;
  const rest = { id, categoryId, contestId, eventId, contestantId, judgeId, criterionId, status, updatedAt };
  assert.deepEqual(score, { ...rest, score: null, masked: true, version: null });
  for (const [field, value] of Object.entries(rest)) assert.equal(typeof value, 'string', field);
}
