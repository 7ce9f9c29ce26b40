// Who gets in, and what they are told when they do or do not.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { email, openHall, PEOPLE } from './support/hall.mjs';

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const unpart = (text) => JSON.parse(Buffer.from(text, 'base64url'));

/** A token with the payload of a good one, under another header and signature. */
function forge(token, { header = {}, payload = {}, secret = 'not the secret of this installation!' }) {
  const [head, body] = token.split('.').map((text, index) => (index < 2 ? unpart(text) : text));
  const message = `${part({ ...head, ...header })}.${part({ ...body, ...payload })}`;
  return `${message}.${secret === '' ? '' : createHmac('sha256', secret).update(message).digest('base64url')}`;
}

describe('signing in', () => {
  let hall;
  let token;
  let refresh;
  before(async () => {
    hall = await openHall();
    ({ accessToken: token, refreshToken: refresh } = await hall.session('ada'));
  });
  after(async () => await hall?.close());

  test('by password gives two tokens and tells who one is', async () => {
    const session = await hall.signIn('cleo');
    assert.deepEqual(Object.keys(session).sort(), ['accessToken', 'expiresIn', 'refreshToken', 'user']);
    assert.equal(session.expiresIn, 900);
    const me = await hall.server.http('GET', '/api/v1/me', { token: session.accessToken });
    assert.equal(me.status, 200);
    const { id, name, role, hats } = me.body;
    assert.deepEqual([name, me.body.email, role], ['cleo', email('cleo'), 'JUDGE']);
    assert.equal(session.user.id, id);
    assert.deepEqual(hats.map(({ hat, categoryId }) => [hat, categoryId]), [['HEAD_JUDGE', 'vault']]);
  });

  test('by a wrong password is refused in the same words as by an unknown address', async () => {
    const answers = [];
    for (const who of ['ada', 'nobody']) {
      const body = { email: email(who), password: 'not the password' };
      const { status, type, body: problem } = await hall.server.http('POST', '/api/v1/auth/login', { body });
      assert.equal(status, 401);
      assert.match(type, /^application\/problem\+json/);
      answers.push({ ...problem, correlationId: undefined });
    }
    assert.deepEqual(answers[0], answers[1]);
  });

  describe('a connection', () => {
    const header = (authorization) => ({ extraHeaders: { authorization } });
    const refusals = {
      'without a token': ['Authentication token missing', () => ({})],
      'with an empty token': ['Authentication token missing', () => ({ auth: { token: '' } })],
      'with the token in the address': ['Authentication token missing', () => ({ query: { token, auth: token } })],
      'with no bearer in the header': ['Authentication token missing', () => header('Basic YTpi')],
      'with garbage': ['Invalid token', () => ({ auth: { token: 'garbage' } })],
      'with garbage in the header': ['Invalid token', () => header('Bearer garbage')],
      'with garbage, whatever the address says': ['Invalid token', () => ({ auth: { token: 'garbage' }, query: { token } })],
      'with a cut token': ['Invalid token', () => ({ auth: { token: token.slice(0, -4) } })],
      'with another signature': ['Invalid token', () => ({ auth: { token: forge(token, {}) } })],
      'with another role': ['Invalid token', () => ({ auth: { token: forge(token, { payload: { role: 'ADMIN' } }) } })],
      'with no signature': ['Invalid token', () => ({ auth: { token: forge(token, { header: { alg: 'none' }, secret: '' }) } })],
      'with a refresh token': ['Invalid token', () => ({ auth: { token: refresh } })],
    };
    for (const [how, [message, options]] of Object.entries(refusals)) {
      for (const transport of ['websocket', 'polling']) {
        test(`${how} is refused (${transport})`, async () => {
          const client = hall.client({ ...options(), transports: [transport] });
          assert.equal(await client.refusal(), message);
          assert.deepEqual(client.frames, []);
        });
      }
    }

    const ways = {
      'auth.token': () => ({ auth: { token } }),
      'the Authorization header': () => ({ auth: {}, ...header(`Bearer ${token}`) }),
      'auth.token, which comes before the header': () => ({ auth: { token }, ...header('Bearer garbage') }),
    };
    for (const [way, options] of Object.entries(ways)) {
      for (const transport of ['websocket', 'polling']) {
        test(`by ${way} gets in (${transport})`, async () => {
          const client = await hall.connect('ada', { ...options(), transports: [transport] });
          assert.equal(client.transport, transport);
          const answer = await client.ask('scores:request', 'vault');
          assert.equal(answer.ok, true, JSON.stringify(answer));
        });
      }
    }

    test('may begin by polling and go on by websocket', async () => {
      const client = await hall.connect('ada', { transports: ['polling', 'websocket'] });
      assert.equal((await client.ask('scores:request', 'vault')).ok, true);
    });
  });

  for (const [name, { role, hat, on }] of Object.entries(PEOPLE)) {
    test(`tells ${name} (${role}) what they are and which lanes are theirs`, async () => {
      const ready = await hall[name].ready();
      assert.deepEqual(Object.keys(ready).sort(), ['hats', 'lanes', 'limits', 'role', 'serverTime', 'userId']);
      assert.equal(ready.userId, hall[name].id);
      assert.equal(ready.role, role);
      assert.match(ready.serverTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
      assert.equal(typeof ready.limits, 'object');
      assert.deepEqual(ready.hats.map((worn) => [worn.hat, worn.eventId, worn.categoryId ?? undefined]), hat ? [[hat, 'cup', on]] : []);
      assert.deepEqual(ready.hats, (await hall.http(name, 'GET', '/api/v1/me')).body.hats);

      const categories = role === 'ADMIN' || role === 'ORGANIZER' || on === undefined ? ['beam', 'floor', 'vault'] : [on];
      const lanes = ['evt:cup', 'sys', `usr:${hall[name].id}`, ...categories.map((id) => `cat:${id}`)];
      assert.deepEqual(ready.lanes.map(({ lane }) => lane).sort(), lanes.sort());
      for (const { seq, epoch } of ready.lanes) {
        assert.ok(Number.isInteger(seq) && seq >= 0);
        assert.ok(typeof epoch === 'string' && epoch.length > 0);
      }
      const frame = hall[name].frames[0];
      assert.deepEqual([frame.event, frame.args.length], ['session:ready', 1]);
    });
  }

  test('ends by signing out: the connection is cut, and neither token works again', async () => {
    const session = await hall.signIn('sam');
    const client = await hall.connect('sam', { auth: { token: session.accessToken } });
    const other = await hall.connect('sam');
    const out = await hall.server.http('POST', '/api/v1/auth/logout', { token: session.accessToken });
    assert.ok(out.status === 200 || out.status === 204, String(out.status));

    await client.disconnected();
    const again = hall.client({ auth: { token: session.accessToken } });
    assert.equal(await again.refusal(), 'Session revoked');
    const me = await hall.server.http('GET', '/api/v1/me', { token: session.accessToken });
    assert.deepEqual([me.status, me.body.code], [401, 'SESSION_REVOKED']);
    const refresh = await hall.server.http('POST', '/api/v1/auth/refresh', { body: { refreshToken: session.refreshToken } });
    assert.deepEqual([refresh.status, refresh.body.code], [401, 'SESSION_REVOKED']);

    // The other session of the same person stands.
    assert.equal((await other.ask('scores:request', 'floor')).ok, true);
    assert.equal(other.connected, true);
  });

  test('ends everywhere when an admin revokes it', async () => {
    const phone = await hall.connect('rita');
    const { accessToken } = await hall.session('rita');
    const answer = await hall.http('adam', 'POST', `/api/v1/admin/users/${hall.rita.id}/revoke-sessions`);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    await Promise.all([phone.disconnected(), hall.rita.disconnected()]);
    assert.equal(await hall.client({ auth: { token: accessToken } }).refusal(), 'Session revoked');
    // Whoever signs in again is in again.
    const session = await hall.signIn('rita');
    await hall.connect('rita', { auth: { token: session.accessToken } });
  });

  test('lasts by refreshing: new tokens for the same person', async () => {
    const session = await hall.signIn('ben');
    const answer = await hall.server.http('POST', '/api/v1/auth/refresh', { body: { refreshToken: session.refreshToken } });
    assert.equal(answer.status, 200);
    assert.notEqual(answer.body.refreshToken, session.refreshToken);
    const client = await hall.connect('ben', { auth: { token: answer.body.accessToken } });
    assert.equal((await client.ready()).userId, session.user.id);
  });
});
