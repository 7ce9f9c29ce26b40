// The public beside the scoring plane: both namespaces over one connection of the official client.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Manager } from 'socket.io-client';
import { openHall, submit } from './support/hall.mjs';
import { within } from './support/server.mjs';

const LIMIT_MS = 15_000;

/** The first event of that name from now on: its arguments. */
function next(socket, event) {
  const came = new Promise((done) => socket.once(event, (...args) => done(args)));
  return within(LIMIT_MS, came, () => `no ${event}`);
}

/** Everything that comes over a socket, by name. */
function listen(socket) {
  const names = [];
  socket.onAny((event) => names.push(event));
  return names;
}

describe('one manager', () => {
  let hall;
  let manager;
  before(async () => {
    const crew = { id: 'eight', club: { name: 'Club', code: 'C' } };
    hall = await openHall({ races: [{ id: 'erg', raceType: 'indoor', participants: [crew] }] });
  });
  after(async () => {
    manager?._close();
    await hall?.close();
  });

  test('has / and /live, and each is told its own', async () => {
    const { accessToken } = await hall.session('tom');
    manager = new Manager(hall.url, { transports: ['websocket'], reconnection: false });
    const scoring = manager.socket('/', { auth: { token: accessToken } });
    const live = manager.socket('/live');
    const [scored, shown] = [listen(scoring), listen(live)];
    await Promise.all([next(scoring, 'session:ready'), live.connected || next(live, 'connect')]);
    const { id } = manager.engine;

    const joined = await live.timeout(LIMIT_MS).emitWithAck('joinRoom', { event_id: 'cup', race_id: 'erg' });
    assert.equal(joined.ok, true, JSON.stringify(joined));
    assert.deepEqual(Object.keys(joined).sort(), ['epoch', 'ok', 'seq']);
    const draft = await live.timeout(LIMIT_MS).emitWithAck('joinPublicEvent', { event_id: 'no-such-event' });
    assert.deepEqual([draft.ok, draft.error.code], [false, 'NOT_FOUND']);

    const mark = next(scoring, 'scores:updated');
    const complete = next(live, 'indoorRaceResultsComplete');
    const update = next(live, 'indoorParticipantUpdate');
    await submit(hall.ada, { score: 9.1 });
    const results = { race_id: 'software', c2_race_id: 'erg', participants: [
      { id: 'eight', participant: 'Eight', time: '6:01.5', distance: 2000, avg_pace: '1:30.4', spm: 36, calories: 100 },
    ] };
    const imported = await hall.http('tom', 'POST', '/indoor-results/import', { body: { results } });
    assert.deepEqual([imported.status, imported.body.data.linked_crews_count], [201, 1]);
    const [[score], [{ participant }, meta], [{ total_participants }]] = await Promise.all([mark, update, complete]);
    assert.equal(score.score, 9.1);
    assert.deepEqual([participant.place, participant.time_ms, participant.crew.club_code], [1, 361_500, 'C']);
    assert.ok(meta.seq > joined.seq && meta.epoch === joined.epoch && meta.lane === 'pub:cup', JSON.stringify(meta));
    assert.equal(total_participants, 1);
    assert.deepEqual(shown, ['indoorResultsImported', 'indoorParticipantUpdate', 'indoorRaceResultsComplete']);
    assert.ok(!scored.some((event) => event.startsWith('indoor')), scored.join());

    // Out of the one, and the other goes on over the same connection; then back.
    scoring.disconnect();
    const left = await live.timeout(LIMIT_MS).emitWithAck('leaveRoom', { race_id: 'erg' });
    assert.ok(left.ok && left.seq > joined.seq, JSON.stringify(left));
    const ready = next(scoring, 'session:ready');
    scoring.connect();
    await ready;
    assert.equal(manager.engine.id, id, 'it is the same connection');
    live.disconnect();
    assert.equal((await scoring.timeout(LIMIT_MS).emitWithAck('user:active')).ok, true);
  });
});
