// The real binary, with a database of its own in a temporary folder.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const START_MS_MAX = 30_000;
const ANSWER_MS_MAX = 15_000;
const STOP_MS_MAX = 20_000;

/** The binary under test: SCORECAST_BIN, or the debug build. */
function binary() {
  const target = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target');
  const path = process.env.SCORECAST_BIN ?? join(target, 'debug/scorecast');
  assert.ok(existsSync(path), `there is no ${path}; build it first: cargo build`);
  return path;
}

/** Imports `document` into a new database and serves it until `stop`. */
export async function startServer(document) {
  const bin = binary();
  const folder = await mkdtemp(join(tmpdir(), 'scorecast-e2e-'));
  const settings = {
    PATH: process.env.PATH,
    DATABASE_URL: `sqlite://${folder}/e2e.db?mode=rwc`,
    JWT_SECRET: randomBytes(32).toString('hex'),
    BIND: '127.0.0.1:0',
  };
  // In that folder, so that no .env of a developer is read.
  const options = { cwd: folder, env: settings };
  try {
    await writeFile(join(folder, 'doc.json'), JSON.stringify(document));
    await promisify(execFile)(bin, ['import', 'doc.json'], options);
  } catch (error) {
    await rm(folder, { recursive: true });
    throw error;
  }
  const child = spawn(bin, ['serve'], { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const server = new Server(child, folder);
  try {
    await server.listening();
  } catch (error) {
    await server.stop().catch(() => {}); // the first error is the one to tell
    throw error;
  }
  return server;
}

class Server {
  #child;
  #folder;
  #output = '';
  #exited;
  #started;
  /** Where it listens, for instance http://127.0.0.1:40123. */
  url;

  constructor(child, folder) {
    this.#child = child;
    this.#folder = folder;
    this.#exited = new Promise((done) => child.once('exit', (code, signal) => done({ code, signal })));
    this.#started = new Promise((done) => {
      const read = (chunk) => {
        this.#output += chunk;
        const line = this.#output.match(/^Scorecast listens on (http:\/\/127\.0\.0\.1:\d+)\s*$/m);
        if (line) done(line[1]);
      };
      child.stdout.setEncoding('utf8').on('data', read);
      child.stderr.setEncoding('utf8').on('data', (chunk) => (this.#output += chunk));
    });
    process.once('exit', () => child.kill('SIGKILL'));
  }

  async listening() {
    const ended = this.#exited.then(({ code, signal }) => {
      throw new Error(`the server ended at once (${signal ?? code}):\n${this.#output}`);
    });
    const why = () => `no line "Scorecast listens on"; it said:\n${this.#output}`;
    this.url = await within(START_MS_MAX, Promise.race([this.#started, ended]), why);
  }

  /** One HTTP request; the body of the answer is parsed where it is JSON. */
  async http(method, path, { token, body, headers = {} } = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    const parsed = type.includes('json') ? JSON.parse(text) : text;
    return { status: response.status, type, headers: response.headers, body: parsed };
  }

  /** Asks it to end, and looks whether it ended well. */
  async stop() {
    this.#child.kill('SIGTERM');
    try {
      const why = () => `still running after SIGTERM; it said:\n${this.#output}`;
      const { code, signal } = await within(STOP_MS_MAX, this.#exited, why);
      assert.equal(signal, null, `ended by ${signal}:\n${this.#output}`);
      assert.equal(code, 0, `ended with ${code}:\n${this.#output}`);
      assert.doesNotMatch(this.#output, /panicked at/);
    } finally {
      this.#child.kill('SIGKILL');
      await rm(this.#folder, { recursive: true, force: true });
    }
  }
}

/** What `promise` gives, or an error when it takes longer than any machine should need. */
export async function within(limit_ms, promise, why) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`waited ${limit_ms} ms: ${why()}`)), limit_ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
