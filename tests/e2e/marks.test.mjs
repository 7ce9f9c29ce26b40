// What people see when a judge gives a mark.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isMaskedScore, mark, OFFICE, openHall, PANEL, PEOPLE, refused, refusedAloud, submit } from './support/hall.mjs';

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

describe('a mark', () => {
  let hall;
  before(async () => (hall = await openHall()));
  after(async () => await hall?.close());

  /** A mark of `vault` by Ada, once it has reached everyone who is to be shown it. */
  async function seen(change) {
    const given = await submit(hall.ada, change);
    await Promise.all([...PANEL, ...OFFICE, 'emil'].map((name) => hall[name].fact(given.receipt)));
    return given;
  }

  test('is answered with the mark and a receipt', async () => {
    const head = (await hall.ada.ready()).lanes.find(({ lane }) => lane === 'cat:vault');
    const { score, receipt } = await submit(hall.ada, { comment: 'a clean landing' });
    assert.equal(typeof score.id, 'string');
    assert.match(score.createdAt, TIME);
    assert.match(score.updatedAt, TIME);
    const { id, createdAt, updatedAt } = score;
    assert.deepEqual(score, {
      id,
      categoryId: 'vault',
      contestId: 'artistic',
      eventId: 'cup',
      contestantId: 'mia',
      judgeId: hall.ada.id,
      criterionId: 'execution',
      score: 9.3,
      masked: false,
      comment: 'a clean landing',
      status: 'submitted',
      version: 1,
      createdAt,
      updatedAt,
    });
    assert.deepEqual(receipt, { lane: 'cat:vault', seq: head.seq + 1, hash: receipt.hash });
    assert.match(receipt.hash, /^[0-9a-f]{64}$/);
  });

  test('is shown once to everybody, and to each what they may see', async () => {
    const tablet = await hall.connect('ada');
    const { score, receipt, commandId } = await submit(hall.ada, { contestantId: 'noa', score: 8.7, comment: 'a short run' });
    const { epoch } = (await hall.ada.ready()).lanes.find(({ lane }) => lane === 'cat:vault');

    for (const client of [hall.ada, tablet]) {
      const { event, data, meta } = await client.fact(receipt);
      assert.equal(event, 'scores:updated');
      assert.deepEqual(data, score);
      assert.match(meta.ts, TIME);
      assert.deepEqual(meta, { lane: 'cat:vault', seq: receipt.seq, epoch, ts: meta.ts, commandId });
    }
    for (const name of OFFICE) {
      const { event, data, meta } = await hall[name].fact(receipt);
      assert.equal(event, 'scores:updated', name);
      assert.deepEqual(data, score, name);
      assert.deepEqual(Object.keys(meta).sort(), ['epoch', 'lane', 'seq', 'ts'], name);
    }
    for (const name of PANEL.filter((name) => name !== 'ada')) {
      const { event, data, meta } = await hall[name].fact(receipt);
      assert.equal(event, 'scores:updated', name);
      isMaskedScore(data);
      assert.equal(data.id, score.id, name);
      assert.equal(data.contestantId, 'noa', name);
      assert.equal(data.judgeId, hall.ada.id, name);
      assert.deepEqual(Object.keys(meta).sort(), ['epoch', 'lane', 'seq', 'ts'], name);
    }
    const tick = await hall.emil.next('sync:tick');
    assert.deepEqual(Object.keys(tick.args[0]).sort(), ['epoch', 'lane', 'seq', 'ts']);
    assert.equal((await hall.emil.fact(receipt)).event, 'sync:tick');

    // A later mark is the fence: whatever there was to come of the first has come before it.
    const later = await seen({ contestantId: 'noa', score: 8.8 });
    assert.equal(later.receipt.seq, receipt.seq + 1);
    assert.equal(later.score.version, 2);
    await tablet.fact(later.receipt);
    for (const name of [...PANEL, ...OFFICE, 'emil']) assert.equal(hall[name].times(receipt), 1, name);
    assert.equal(tablet.times(receipt), 1);
    const own = await submit(hall.fay, { categoryId: 'beam', criterionId: 'beam-mark', score: 7 });
    await hall.fay.fact(own.receipt);
    const rita = await submit(hall.rita, { categoryId: 'floor', criterionId: 'floor-mark', score: 7 });
    await hall.rita.fact(rita.receipt);
    for (const name of ['fay', 'rita', 'sam']) assert.deepEqual(hall[name].facts('cat:vault'), [], name);
  });

  test('keeps its id and counts its versions', async () => {
    const first = await submit(hall.ben, { score: 5 });
    const second = await submit(hall.ben, { score: 5.1 });
    assert.equal(second.score.id, first.score.id);
    assert.deepEqual([first.score.version, second.score.version], [1, 2]);
    assert.equal(second.score.createdAt, first.score.createdAt);
  });

  test('may be told by the other names of the fields', async () => {
    const { criterionId, score: value, ...rest } = mark({ contestantId: 'pia', score: 7.5 });
    const answer = await hall.ada.ask('scores:submit', { ...rest, criteriaId: criterionId, value, comments: 'by another name' });
    assert.equal(answer.ok, true, JSON.stringify(answer));
    const { score } = answer.data;
    assert.deepEqual([score.criterionId, score.score, score.comment], ['execution', 7.5, 'by another name']);
  });

  test('needs no criterion where there is only one', async () => {
    const { score } = await submit(hall.fay, { categoryId: 'beam', criterionId: undefined, contestantId: 'zoe', score: 6.6 });
    assert.equal(score.criterionId, 'beam-mark');
  });

  test('needs no answer: its fact says that it was taken', async () => {
    const payload = mark({ criterionId: 'difficulty', score: 4.5 });
    hall.ada.tell('scores:submit', payload);
    const frame = await hall.ada.first('the fact', ({ args }) => args[1]?.commandId === payload.commandId);
    assert.equal(frame.event, 'scores:updated');
    assert.equal(frame.args[0].score, 4.5);
  });

  test('that is refused without an answer comes back as an error', async () => {
    await refusedAloud(hall.ada, 'OUT_OF_RANGE', 'scores:submit', mark({ score: 11 }));
  });

  describe('asked for again', () => {
    /** What each may read, by the judge of each mark. */
    function readable(name, score) {
      const own = score.judgeId === hall[name].id;
      if (OFFICE.includes(name) || own) {
        assert.equal(typeof score.score, 'number');
        assert.equal(score.masked, false);
      } else {
        isMaskedScore(score);
      }
    }

    for (const name of [...PANEL, ...OFFICE]) {
      test(`is what ${name} (${PEOPLE[name].role}) was shown, by socket and over HTTP`, async () => {
        const { receipt } = await seen({ contestantId: 'pia' });
        const answer = await hall[name].ask('scores:request', 'vault');
        assert.equal(answer.ok, true, JSON.stringify(answer));
        const { scores, seq } = answer.data;
        assert.equal(seq, receipt.seq);
        assert.ok(scores.length >= 4, JSON.stringify(scores));
        for (const score of scores) readable(name, score);

        assert.deepEqual((await hall[name].ask('scores:request', { categoryId: 'vault' })).data, { scores, seq });
        const http = await hall.http(name, 'GET', '/api/v1/categories/vault/scores');
        assert.equal(http.status, 200);
        assert.deepEqual(http.body, { scores, seq });

        const from = hall[name].frames.length;
        hall[name].tell('scores:request', 'vault');
        const data = await hall[name].next('scores:data', from);
        assert.deepEqual(data.args, [scores]);

        // What was pushed is what is read.
        const pushed = await hall[name].fact(receipt);
        assert.deepEqual(scores.find((score) => score.id === pushed.data.id), pushed.data);
      });
    }

    test('may be only those of one contestant', async () => {
      const { data } = await hall.tom.ask('scores:request', { categoryId: 'vault', contestantId: 'noa' });
      assert.ok(data.scores.length > 0);
      assert.deepEqual([...new Set(data.scores.map((score) => score.contestantId))], ['noa']);
    });

    for (const name of ['emil', 'fay', 'rita']) {
      test(`is nothing ${name} (${PEOPLE[name].role}) may read`, async () => {
        for (const category of ['vault', 'no-such-category']) {
          const error = refused(await hall[name].ask('scores:request', category), 'FORBIDDEN');
          assert.equal(error.message, 'Access denied');
          const http = await hall.http(name, 'GET', `/api/v1/categories/${category}/scores`);
          assert.equal(http.status, 403);
          assert.match(http.type, /^application\/problem\+json/);
          assert.deepEqual([http.body.status, http.body.code, http.body.detail], [403, 'FORBIDDEN', 'Access denied']);
        }
        const error = await refusedAloud(hall[name], 'FORBIDDEN', 'scores:request', 'vault');
        assert.equal(error.message, 'Access denied');
      });
    }
  });

  test('moves the tally of the office, and nobody else hears of a tally', async () => {
    const { score } = await seen({ contestantId: 'mia', criterionId: 'difficulty', score: 3.5 });
    const counted = ({ categoryId, ranking }) =>
      categoryId === 'vault' &&
      ranking.some(({ contestantId, criteria }) =>
        contestantId === 'mia' &&
        criteria.some(({ criterionId, marks }) =>
          criterionId === 'difficulty' &&
          marks.some((one) => one.judgeId === score.judgeId && Number(one.score) === 3.5)));
    for (const name of OFFICE) {
      const { args } = await hall[name].first('the tally', ({ event, args }) => event === 'tally:updated' && counted(args[0]));
      assert.equal(args.length, 1, `${name}: a tally is derived, so it has no place in the log`);
      assert.match(args[0].tallyHash, /^[0-9a-f]{64}$/);
    }
    // They are sent together; an answer that comes later is the fence for those who must not have got it.
    for (const name of Object.keys(PEOPLE).filter((name) => !OFFICE.includes(name))) {
      await hall[name].ask('scores:request', 'vault');
      const tallies = hall[name].frames.filter(({ event, args }) => event === 'tally:updated' && args[0].categoryId === 'vault');
      assert.deepEqual(tallies, [], name);
    }
  });
});
