// One connection of the official client. It keeps everything that arrives, so that a test can say what came, how often,
// and what never came.

import { io } from 'socket.io-client';
import { within } from './server.mjs';

const LIMIT_MS = 15_000;

export class Client {
  #socket;
  #refused;
  #waiting = new Set();
  /** Everything that arrived, in order: { event, args }. */
  frames = [];
  /** Why the connection ended, once it has. */
  ended;

  /** `options` are those of the official client. */
  constructor(url, options = {}) {
    this.#socket = io(url, { transports: ['websocket'], reconnection: false, forceNew: true, ...options });
    this.#socket.onAny((event, ...args) => {
      this.frames.push({ event, args });
      this.#changed();
    });
    this.#socket.on('connect_error', (error) => {
      this.#refused = error.message;
      this.#changed();
    });
    this.#socket.on('disconnect', (reason) => {
      this.ended = reason;
      this.#changed();
    });
  }

  /** What `session:ready` says, or an error with the message of the refusal. */
  async ready() {
    return await this.#until('session:ready', () => {
      if (this.#refused !== undefined) throw new Error(this.#refused);
      return this.frames.find((frame) => frame.event === 'session:ready')?.args[0];
    });
  }

  /** The message of the refusal. */
  async refusal() {
    return await this.#until('a connect_error', () => {
      if (this.#socket.connected) throw new Error('the connection was accepted');
      return this.#refused;
    });
  }

  /** Resolves when the server has ended the connection. */
  async disconnected() {
    return await this.#until('the end of the connection', () => this.ended);
  }

  get connected() {
    return this.#socket.connected;
  }

  get transport() {
    return this.#socket.io.engine.transport.name;
  }

  /** Emits with an ack, and gives the answer. */
  async ask(event, ...args) {
    return await this.#socket.timeout(LIMIT_MS).emitWithAck(event, ...args);
  }

  /** Emits without an ack. */
  tell(event, ...args) {
    this.#socket.emit(event, ...args);
  }

  /** The first frame, past or to come, of which `match` is true. */
  async first(what, match) {
    return await this.#until(what, () => this.frames.find(match));
  }

  /** The first frame of that name after the first `from` frames. */
  async next(event, from = 0) {
    return await this.#until(event, () => this.frames.slice(from).find((frame) => frame.event === event));
  }

  /** The fact at that place of the log, as this viewer is shown it. */
  async fact({ lane, seq }) {
    const frame = await this.first(`${lane} ${seq}`, (frame) => stands(frame, lane, seq));
    return { event: frame.event, data: frame.event === 'sync:tick' ? undefined : frame.args[0], meta: metaOf(frame) };
  }

  /** How often the fact at that place has come. */
  times({ lane, seq }) {
    return this.frames.filter((frame) => stands(frame, lane, seq)).length;
  }

  /** Every fact of a lane that has come. */
  facts(lane) {
    return this.frames.filter((frame) => metaOf(frame)?.lane === lane);
  }

  close() {
    this.#socket.close();
  }

  #changed() {
    for (const look of this.#waiting) look();
  }

  /** The first value that `look` gives, now or after something has arrived. */
  async #until(what, look) {
    let waiting;
    const found = new Promise((done, fail) => {
      waiting = () => {
        try {
          const value = look();
          if (value !== undefined) done(value);
        } catch (error) {
          fail(error);
        }
      };
      this.#waiting.add(waiting);
      waiting();
    });
    try {
      return await within(LIMIT_MS, found, () => `${what} did not come; what came:\n${this.transcript()}`);
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  /** For messages: what came, one line a frame. */
  transcript() {
    const lines = this.frames.map(({ event, args }) => `  ${event} ${args.map((arg) => JSON.stringify(arg)).join(' ')}`);
    return [...lines, this.ended === undefined ? '  (still connected)' : `  (ended: ${this.ended})`].join('\n');
  }
}

/** The metadata of a frame: the only argument of a tick, the second of every other fact. */
export function metaOf({ event, args }) {
  return event === 'sync:tick' ? args[0] : args[1];
}

function stands(frame, lane, seq) {
  const meta = metaOf(frame);
  return meta?.lane === lane && meta?.seq === seq;
}
