// What is not taken, and that it leaves nothing behind; and what is taken once only.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { mark, openHall, refused, refusedAloud, submit } from './support/hall.mjs';

describe('a mark that cannot be', () => {
  let hall;
  let given;
  before(async () => {
    hall = await openHall();
    given = await submit(hall.ada, { score: 9.1 });
  });
  after(async () => await hall?.close());

  const without = (field) => {
    const { [field]: _, ...rest } = mark();
    return rest;
  };
  const cases = {
    'is missing': ['INVALID_DATA'],
    'is null': ['INVALID_DATA', null],
    'is an array': ['INVALID_DATA', []],
    'is an array that holds a mark': ['INVALID_DATA', [mark()]],
    'is a number': ['INVALID_DATA', 9.3],
    'is a text': ['INVALID_DATA', 'vault'],
    'is a truth value': ['INVALID_DATA', true],
    'is empty': ['INVALID_DATA', {}],
    'has no category': ['INVALID_DATA', without('categoryId')],
    'has no contestant': ['INVALID_DATA', without('contestantId')],
    'has no score': ['INVALID_DATA', without('score')],
    'has no criterion where there are two': ['INVALID_DATA', without('criterionId')],
    'has a text for a score': ['INVALID_DATA', mark({ score: '9.3' })],
    'has null for a score': ['INVALID_DATA', mark({ score: null })],
    'has a list for a score': ['INVALID_DATA', mark({ score: [9.3] })],
    'has a number for a category': ['INVALID_DATA', mark({ categoryId: 7 })],
    'has an object for a category': ['INVALID_DATA', mark({ categoryId: { id: 'vault' } })],
    'has a category that is no id': ['INVALID_DATA', mark({ categoryId: 'vault:JUDGE' })],
    'has a list for a contestant': ['INVALID_DATA', mark({ contestantId: ['mia'] })],
    'has a number for a comment': ['INVALID_DATA', mark({ comment: 5 })],
    'has an endless comment': ['INVALID_DATA', mark({ comment: 'a'.repeat(2001) })],
    'has a text for a version': ['INVALID_DATA', mark({ baseVersion: '1' })],
    'has a number for a command id': ['INVALID_DATA', mark({ commandId: 7 })],
    'has a command id that is no UUID': ['INVALID_DATA', mark({ commandId: 'mine' })],
    'is above the range': ['OUT_OF_RANGE', mark({ score: 10.1 })],
    'is far above the range': ['OUT_OF_RANGE', mark({ score: 123456789 })],
    'is below the range': ['OUT_OF_RANGE', mark({ score: -0.1 })],
    'is off the step': ['BAD_STEP', mark({ score: 9.35 })],
    'is off the larger step': ['BAD_STEP', mark({ criterionId: 'difficulty', score: 4.2 })],
    'is for somebody unknown': ['NOT_FOUND', mark({ contestantId: 'nobody' })],
    'is for somebody who is not in the category': ['NOT_FOUND', mark({ contestantId: 'zoe' })],
    'is for an unknown criterion': ['NOT_FOUND', mark({ criterionId: 'grace' })],
    'is for the criterion of another category': ['NOT_FOUND', mark({ criterionId: 'beam-mark' })],
    'is for a foreign category': ['NOT_ASSIGNED', mark({ categoryId: 'beam', criterionId: 'beam-mark' })],
    'is for an unknown category': ['NOT_ASSIGNED', mark({ categoryId: 'no-such-category' })],
    'is on another version': ['CONFLICT_VERSION', mark({ baseVersion: 7 })],
  };
  for (const [how, [code, ...payload]] of Object.entries(cases)) {
    test(`${how}: ${code}`, async () => {
      const before = (await hall.tom.ask('scores:request', 'vault')).data;
      const { ada } = hall;
      refused(await ada.ask('scores:submit', ...payload), code);
      assert.equal(ada.ended, undefined, 'the connection stays');
      assert.equal((await ada.ask('scores:request', 'vault')).data.seq, before.seq);
      assert.deepEqual((await hall.tom.ask('scores:request', 'vault')).data, before, 'nothing has changed');
    });
  }

  for (const name of ['tom', 'audrey', 'bo', 'emil', 'olga', 'adam', 'fay']) {
    test(`is by ${name}, who does not judge the category`, async () => {
      refused(await hall[name].ask('scores:submit', mark()), 'NOT_ASSIGNED');
    });
  }

  test('is by one judge in the name of another: whatever the answer, it is not theirs', async () => {
    await hall.ben.ask('scores:submit', mark({ judgeId: hall.ada.id, contestantId: 'noa' }));
    const { scores } = (await hall.tom.ask('scores:request', { categoryId: 'vault', contestantId: 'noa' })).data;
    assert.deepEqual(scores.filter(({ judgeId }) => judgeId !== hall.ben.id), []);
  });

  test('on another version tells its judge how it stands', async () => {
    const error = refused(await hall.ada.ask('scores:submit', mark({ score: 9.9, baseVersion: 0 })), 'CONFLICT_VERSION');
    assert.deepEqual(error.current, given.score);
    const next = await submit(hall.ada, { score: 9.2, baseVersion: error.current.version });
    assert.deepEqual([next.score.version, next.score.score], [2, 9.2]);
  });

  test('comes by an unknown event', async () => {
    for (const event of ['scores:destroy', 'scores:updated', 'joinCategory', 'Scores:Submit', '']) {
      const error = refused(await hall.ada.ask(event, mark()), 'INVALID_EVENT');
      assert.equal(error.message, 'Invalid event type', event);
    }
    assert.equal((await refusedAloud(hall.ada, 'INVALID_EVENT', 'scores:destroy', mark())).message, 'Invalid event type');
    assert.equal((await refusedAloud(hall.ada, 'INVALID_EVENT', 'scores:destroy')).message, 'Invalid event type');
    assert.equal(hall.ada.ended, undefined);
  });
});

describe('a command that is sent again', () => {
  let hall;
  before(async () => (hall = await openHall()));
  after(async () => await hall?.close());

  test('gets the first answer, and nobody sees it twice', async () => {
    const payload = mark({ score: 8.4, comment: 'once' });
    const first = await hall.ada.ask('scores:submit', payload);
    assert.equal(first.ok, true, JSON.stringify(first));
    assert.deepEqual(await hall.ada.ask('scores:submit', payload), first);

    // Not only on the same connection.
    const tablet = await hall.connect('ada');
    assert.deepEqual(await tablet.ask('scores:submit', payload), first);

    const later = await submit(hall.ada, { score: 8.5 });
    assert.equal(later.receipt.seq, first.data.receipt.seq + 1);
    assert.equal(later.score.version, 2);
    for (const name of ['ada', 'ben', 'tom', 'emil']) {
      await hall[name].fact(later.receipt);
      assert.equal(hall[name].times(first.data.receipt), 1, name);
    }
    // Also when something else has happened since.
    assert.deepEqual(await hall.ada.ask('scores:submit', payload), first);
  });

  test('before its answer has come is one command', async () => {
    const payload = mark({ contestantId: 'noa', score: 7.7 });
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => hall.ada.ask('scores:submit', payload)));
    assert.equal(one.ok, true, JSON.stringify(one));
    assert.deepEqual([two, three], [one, one]);
    assert.equal(one.data.score.version, 1);
  });

  test('with other content is refused', async () => {
    const { commandId } = await submit(hall.ada, { contestantId: 'pia', score: 6 });
    refused(await hall.ada.ask('scores:submit', mark({ commandId, contestantId: 'pia', score: 6.1 })), 'IDEMPOTENCY_MISMATCH');
    refused(await hall.ada.ask('scores:submit', mark({ commandId, contestantId: 'mia', score: 6 })), 'IDEMPOTENCY_MISMATCH');
    const { scores } = (await hall.ada.ask('scores:request', { categoryId: 'vault', contestantId: 'pia' })).data;
    assert.deepEqual(scores.map(({ score, version }) => [score, version]), [[6, 1]]);
  });

  test('by somebody else is their own', async () => {
    const commandId = randomUUID();
    const ada = await submit(hall.ada, { commandId, criterionId: 'difficulty', score: 4 });
    const ben = await submit(hall.ben, { commandId, criterionId: 'difficulty', score: 3 });
    assert.notEqual(ben.score.id, ada.score.id);
    assert.equal(ben.score.judgeId, hall.ben.id);
  });

  test('over HTTP by the same key is the same command', async () => {
    const { commandId, ...body } = mark({ contestantId: 'pia', criterionId: 'difficulty', score: 2.5 });
    const first = await hall.ada.ask('scores:submit', { commandId, ...body });
    assert.equal(first.ok, true, JSON.stringify(first));
    const options = { body, headers: { 'idempotency-key': commandId } };
    const http = await hall.http('ada', 'POST', '/api/v1/categories/vault/scores', options);
    assert.ok(http.status === 200 || http.status === 201, JSON.stringify(http.body));
    assert.deepEqual(http.body, first.data);
  });
});
