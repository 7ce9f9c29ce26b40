// How much one person may send at once.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mark, openHall, refused, submit } from './support/hall.mjs';

const PER_MINUTE = 60;
const SENT = 70;

describe('marks all at once', () => {
  let hall;
  before(async () => (hall = await openHall()));
  after(async () => await hall?.close());

  test('of one judge on two tablets: sixty pass, the rest are told when to come back', async () => {
    const tablets = [hall.rita, await hall.connect('rita')];
    const floor = { categoryId: 'floor', criterionId: 'floor-mark' };
    const began_ms = performance.now();
    const answers = await Promise.all(
      Array.from({ length: SENT }, (_, index) => tablets[index % 2].ask('scores:submit', mark({ ...floor, score: index / 10 }))),
    );
    const took_s = (performance.now() - began_ms) / 1000;

    const taken = answers.filter(({ ok }) => ok);
    const rest = answers.filter(({ ok }) => !ok);
    // One more is due for each second that the answers took.
    assert.ok(taken.length >= PER_MINUTE, `${taken.length} were taken`);
    assert.ok(taken.length <= PER_MINUTE + Math.floor(took_s), `${taken.length} were taken in ${took_s} s`);
    for (const answer of rest) {
      const error = refused(answer, 'RATE_LIMIT');
      assert.equal(error.message, 'Rate limit exceeded');
      assert.ok(error.retryAfterMs > 0 && error.retryAfterMs <= 60_000, String(error.retryAfterMs));
    }

    // Each that was taken has its own version and its own fact; of the rest there is nothing.
    const versions = taken.map(({ data }) => data.score.version).sort((a, b) => a - b);
    assert.deepEqual(versions, Array.from({ length: taken.length }, (_, index) => index + 1));
    for (const { data } of taken) {
      for (const client of [...tablets, hall.sam, hall.tom]) await client.fact(data.receipt);
    }
    const { scores, seq } = (await hall.tom.ask('scores:request', 'floor')).data;
    assert.deepEqual(scores.map(({ version }) => version), [taken.length]);
    assert.equal(seq, Math.max(...taken.map(({ data }) => data.receipt.seq)));
    for (const tablet of tablets) assert.equal(tablet.ended, undefined, 'the connection stays');
  });

  test('of that judge over HTTP are limited too, and of nobody else', async () => {
    const { commandId, ...body } = mark({ categoryId: 'floor', criterionId: 'floor-mark', score: 1 });
    const options = { body, headers: { 'idempotency-key': commandId } };
    const post = async () => await hall.http('rita', 'POST', '/api/v1/categories/floor/scores', options);
    // Should a second have passed meanwhile, one is due; the next is not.
    let answer = await post();
    for (let tries = 0; answer.status !== 429 && tries < 10; tries += 1) answer = await post();
    assert.equal(answer.status, 429, JSON.stringify(answer.body));
    assert.match(answer.type, /^application\/problem\+json/);
    assert.deepEqual([answer.body.code, answer.body.detail], ['RATE_LIMIT', 'Rate limit exceeded']);
    assert.ok(Number(answer.headers.get('retry-after')) >= 1, String(answer.headers.get('retry-after')));

    await submit(hall.sam, { categoryId: 'floor', criterionId: 'floor-mark', score: 9 });
  });
});
