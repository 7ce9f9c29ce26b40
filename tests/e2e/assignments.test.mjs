// What changes for a person, on the connection they have, when a hat is given or taken away.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { isMaskedScore, mark, openHall, refused, submit } from './support/hall.mjs';

describe('a hat', () => {
  let hall;
  before(async () => (hall = await openHall()));
  after(async () => await hall?.close());

  /** Olga gives a hat; what its wearer is told of it. */
  async function give(name, hat, place, event = 'assignment:created') {
    const from = hall[name].frames.length;
    const answer = await hall.olga.ask(event, { commandId: randomUUID(), judgeId: hall[name].id, hat, ...place });
    assert.equal(answer.ok, true, JSON.stringify(answer));
    const given = await hall[name].next('assignment:new', from);
    const changed = await hall[name].next('session:changed', from);
    return { given, changed };
  }

  /** Olga takes it away again. */
  async function take(name, id) {
    const from = hall[name].frames.length;
    const answer = await hall.olga.ask('assignment:remove', { commandId: randomUUID(), id });
    assert.equal(answer.ok, true, JSON.stringify(answer));
    const removed = await hall[name].next('assignment:removed', from);
    const changed = await hall[name].next('session:changed', from);
    return { removed, changed };
  }

  const lanesOf = ({ args }) => args[0].lanes.map(({ lane }) => lane);

  /** A mark in a lane that is theirs: once they have it, what came before has come. */
  async function fence(name, judge, change) {
    const { receipt } = await submit(hall[judge], change);
    await hall[name].fact(receipt);
  }
  const onBeam = { categoryId: 'beam', criterionId: 'beam-mark', score: 5 };

  test('to judge lets its wearer see and mark the category at once, until it is taken away', async () => {
    const { given, changed } = await give('fay', 'JUDGE', { categoryId: 'vault' });
    const [assignment, meta] = given.args;
    assert.match(assignment.assignedAt, /Z$/);
    assert.deepEqual(assignment, {
      id: assignment.id,
      judgeId: hall.fay.id,
      categoryId: 'vault',
      contestId: 'artistic',
      eventId: 'cup',
      hat: 'JUDGE',
      counts: true,
      status: assignment.status,
      assignedBy: hall.olga.id,
      assignedAt: assignment.assignedAt,
    });
    assert.equal(meta.lane, `usr:${hall.fay.id}`);
    assert.equal(changed.args.length, 1);
    assert.deepEqual(Object.keys(changed.args[0]).sort(), ['hats', 'lanes', 'role']);
    assert.deepEqual(changed.args[0].hats.map(({ categoryId }) => categoryId).sort(), ['beam', 'vault']);
    assert.ok(lanesOf(changed).includes('cat:vault'));

    const first = await submit(hall.ada);
    const shown = await hall.fay.fact(first.receipt);
    assert.equal(shown.event, 'scores:updated');
    isMaskedScore(shown.data);
    const own = await submit(hall.fay, { score: 6.6 });
    assert.equal((await hall.fay.fact(own.receipt)).data.score, 6.6);
    const { scores } = (await hall.fay.ask('scores:request', 'vault')).data;
    const read = scores.map(({ judgeId, score }) => [judgeId === hall.fay.id, score]);
    assert.deepEqual(read.sort(), [[false, null], [true, 6.6]]);

    const { removed, changed: after } = await take('fay', assignment.id);
    assert.equal(removed.args[0].id, assignment.id);
    assert.equal(removed.args[1].lane, `usr:${hall.fay.id}`);
    assert.ok(!lanesOf(after).includes('cat:vault'));
    assert.ok(lanesOf(after).includes('cat:beam'));

    const from = hall.fay.frames.length;
    const second = await submit(hall.ada, { score: 9.4 });
    await hall.tom.fact(second.receipt);
    await fence('fay', 'fay', onBeam);
    assert.deepEqual(hall.fay.facts('cat:vault').filter((frame) => hall.fay.frames.indexOf(frame) >= from), []);
    refused(await hall.fay.ask('scores:submit', mark({ score: 6.7 })), 'NOT_ASSIGNED');
    refused(await hall.fay.ask('scores:request', 'vault'), 'FORBIDDEN');
  });

  test('of the office shows no foreign mark to whoever once judged the category', async () => {
    const { given } = await give('fay', 'AUDITOR', { categoryId: 'vault' }, 'assignment:create');
    const { receipt } = await submit(hall.ada, { contestantId: 'noa', comment: 'not for Fay' });
    const shown = await hall.fay.fact(receipt);
    assert.equal(shown.event, 'scores:updated');
    isMaskedScore(shown.data);
    const { scores } = (await hall.fay.ask('scores:request', 'vault')).data;
    for (const score of scores.filter(({ judgeId }) => judgeId !== hall.fay.id)) isMaskedScore(score);
    assert.equal((await hall.http('fay', 'GET', '/api/v1/categories/vault/tally')).status, 403);
    await take('fay', given.args[0].id);
  });

  test('to judge takes the foreign marks away from whoever had read them', async () => {
    const before = await submit(hall.ada, { contestantId: 'pia', score: 4 });
    assert.equal((await hall.audrey.fact(before.receipt)).data.score, 4);
    await give('audrey', 'JUDGE', { categoryId: 'vault' });
    const later = await submit(hall.ada, { contestantId: 'pia', score: 4.1 });
    isMaskedScore((await hall.audrey.fact(later.receipt)).data);
    const { scores } = (await hall.audrey.ask('scores:request', 'vault')).data;
    assert.ok(scores.length > 0);
    scores.forEach(isMaskedScore);
    // Elsewhere the auditor audits as before.
    const { receipt } = await submit(hall.fay, { ...onBeam, contestantId: 'zoe', score: 5.5 });
    assert.equal((await hall.audrey.fact(receipt)).data.score, 5.5);
  });

  test('on a contest or on the event reaches every category below', async () => {
    const { given, changed } = await give('rita', 'JUDGE', { contestId: 'artistic' });
    assert.equal(given.args[0].categoryId, undefined);
    for (const lane of ['cat:beam', 'cat:floor', 'cat:vault']) assert.ok(lanesOf(changed).includes(lane), lane);
    await submit(hall.rita, { score: 5 });
    await submit(hall.rita, onBeam);
    hall.readers.vault.add('sam');
    hall.readers.beam.add('sam');
    const { given: wide } = await give('sam', 'TALLY_MASTER', { eventId: 'cup' });
    const { receipt } = await submit(hall.ada, { contestantId: 'noa', criterionId: 'difficulty', score: 2 });
    assert.equal((await hall.sam.fact(receipt)).data.score, 2, 'the office of the vault');
    const floor = await submit(hall.rita, { categoryId: 'floor', criterionId: 'floor-mark', score: 5 });
    isMaskedScore((await hall.sam.fact(floor.receipt)).data);
    await take('sam', wide.args[0].id);
  });

  test('sent twice by the same command is one hat', async () => {
    const command = { commandId: randomUUID(), judgeId: hall.emil.id, hat: 'EMCEE', categoryId: 'vault' };
    const first = await hall.olga.ask('assignment:created', command);
    assert.equal(first.ok, true, JSON.stringify(first));
    assert.deepEqual(await hall.olga.ask('assignment:created', command), first);
    await hall.emil.next('assignment:new');
    await fence('emil', 'ada', { contestantId: 'noa', score: 3 });
    assert.equal(hall.emil.frames.filter(({ event }) => event === 'assignment:new').length, 1);
  });

  test('is given and taken by those who run the installation only', async () => {
    const wanted = { judgeId: hall.ben.id, hat: 'HEAD_JUDGE', categoryId: 'vault' };
    for (const name of ['ada', 'tom', 'audrey', 'bo', 'emil']) {
      refused(await hall[name].ask('assignment:created', { commandId: randomUUID(), ...wanted }), 'FORBIDDEN');
      refused(await hall[name].ask('assignment:remove', { commandId: randomUUID(), id: randomUUID() }), 'FORBIDDEN');
    }
    const wrong = {
      INVALID_DATA: [{}, null, { ...wanted, hat: 'KING' }, { judgeId: hall.ben.id }, { ...wanted, eventId: 'cup' }],
      NOT_FOUND: [{ ...wanted, judgeId: 'nobody' }, { ...wanted, categoryId: 'no-such-category' }],
    };
    for (const [code, payloads] of Object.entries(wrong)) {
      for (const payload of payloads) refused(await hall.olga.ask('assignment:created', payload), code);
    }
    refused(await hall.olga.ask('assignment:remove', { commandId: randomUUID(), id: 'no-such-hat' }), 'NOT_FOUND');
    await fence('ben', 'ada', { contestantId: 'noa', score: 3.1 });
    assert.equal(hall.ben.frames.some(({ event }) => event.startsWith('assignment:')), false);
  });
});
