// A fake admin server for work on the page: `node fake/server.mjs [--services 50] [--port 9190] [--empty]`.
// It serves the page as the real one does (same paths, same Content-Security-Policy) over a made-up world.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { World } from './world.mjs';

const PAGE = new URL('../../../host/src/admin/dashboard/', import.meta.url);
const TYPES = { html: 'text/html; charset=utf-8', css: 'text/css; charset=utf-8', js: 'text/javascript; charset=utf-8', svg: 'image/svg+xml' };
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export class FakeServer {
  constructor({ port = 0, token = '5ea1'.repeat(16), beat = true, ...world } = {}) {
    Object.assign(this, { port, token, beat, calls: [], fail: null, streams: new Set(), world: new World(world) });
    this.world.listeners.add((type, value) => this.#publish(type, value));
  }

  async start() {
    this.server = createServer((request, response) => this.#answer(request, response).catch((error) => {
      if (!response.headersSent) problem(response, 500, 'Internal Server Error', String(error));
    }));
    await new Promise((done) => { this.server.listen(this.port, '127.0.0.1', done); });
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/`;
    if (this.beat) this.timer = setInterval(() => this.world.tick(Date.now() / 1000), 1000);
    return this;
  }

  /** As when the host goes away: every connection is cut. */
  async stop() {
    clearInterval(this.timer);
    const closed = new Promise((done) => { this.server.close(done); });
    this.server.closeAllConnections();
    this.streams.clear();
    await closed;
  }

  #publish(type, value) {
    for (const stream of this.streams) {
      if (type === 'tick' && stream.kind === 'live') send(stream, 'services', { at: this.world.now, services: value });
      if (type === 'event' && stream.kind === 'live') send(stream, 'event', value);
      if (type === 'line' && stream.kind === 'logs' && stream.service === value.service) send(stream, 'line', value);
    }
  }

  #open(response, stream) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    const entry = { ...stream, response };
    this.streams.add(entry);
    response.on('close', () => this.streams.delete(entry));
    return entry;
  }

  async #answer(request, response) {
    const url = new URL(request.url, this.url);
    const path = decodeURIComponent(url.pathname);
    if (path === '/' || path.startsWith('/assets/')) return asset(response, path === '/' ? 'index.html' : path.slice(8));
    if (!path.startsWith('/api/')) return problem(response, 404, 'Not Found', `${path} is nothing here`);
    if (request.headers.authorization !== `Bearer ${this.token}`) {
      response.setHeader('www-authenticate', 'Bearer');
      return problem(response, 401, 'Unauthorized', 'the token is in the file admin.token in the data directory');
    }
    const body = await read(request);
    if (request.method !== 'GET') this.calls.push({ method: request.method, path, body });
    if (this.fail && request.method !== 'GET') return problem(response, this.fail.status, this.fail.title, this.fail.detail);
    return this.#api(request.method, path.slice(5), url.searchParams, body, response);
  }

  #api(method, path, query, body, response) {
    const { world } = this;
    const limit = Number(query.get('limit') ?? 100);
    const wanted = query.get('service');
    const of = (list) => list.filter((entry) => !wanted || entry.service === wanted);
    if (path === 'host') return json(response, { version: '0.1.0', wasmtime: '48.0.8', started_at: world.startedAt, pid: 4711, cores: 2, listen: '127.0.0.1:8080', admin: `127.0.0.1:${this.port}`, services_directory: 'services', data_directory: 'data', ready: true, stopping: false });
    if (path === 'services') return json(response, { services: world.list() });
    if (path === 'exits') return json(response, { exits: of(world.exits).slice(0, limit) });
    if (path === 'events') return json(response, { events: of(world.events).slice(-limit) });
    if (path === 'live') {
      const stream = this.#open(response, { kind: 'live' });
      for (const event of world.events.slice(-50)) send(stream, 'event', event);
      return send(stream, 'services', { at: world.now, services: world.list() });
    }
    const [, name, rest = '', id, act] = /^services\/([^/]+)(?:\/(\w+))?(?:\/([^/]+))?(?:\/(\w+))?$/.exec(path) ?? [];
    const service = world.services.get(name);
    if (!service) return problem(response, 404, 'Not Found', `no service is named ${name}`);
    if (method === 'GET') return this.#read(service, rest, id, query, response);
    return this.#change(service, method, rest, id, act, body, response);
  }

  #read(service, rest, id, query, response) {
    const { world } = this;
    if (rest === '') return json(response, world.view(service));
    if (rest === 'history') return json(response, { interval_seconds: 1, points: service.points });
    if (rest === 'releases') return json(response, { releases: service.releases });
    if (rest === 'logs' && id === 'stream') {
      const stream = this.#open(response, { kind: 'logs', service: service.spec.name });
      stream.response.flushHeaders();
      for (const line of service.logs.slice(-Number(query.get('lines') ?? 100))) send(stream, 'line', line);
      return undefined;
    }
    if (rest === 'logs') return json(response, { lines: service.logs.slice(-100) });
    return problem(response, 404, 'Not Found', 'nothing here');
  }

  #change(service, method, rest, id, act, body, response) {
    const { world } = this;
    const { name } = service.spec;
    if (rest === 'instances') {
      const instance = service.instances.find((i) => i.id === id);
      if (!instance) return problem(response, 404, 'Not Found', `${name} has no instance ${id}`);
      if (act === 'drain') instance.state = 'draining';
      else world.end(name, id, 'killed', 'killed by the operator');
      return response.writeHead(204).end();
    }
    if (rest === 'hold' || rest === 'resume') {
      service.frozen = rest === 'hold';
      if (rest === 'resume') service.held = null;
      world.event(rest === 'hold' ? 'held' : 'resumed', name, 'info', rest === 'hold' ? `Deploys of ${name} are held.` : `Deploys of ${name} go on.`);
      return json(response, world.view(service));
    }
    if (rest === 'rollback') {
      const { release } = JSON.parse(body || '{}');
      const live = service.releases.find((r) => r.state === 'live');
      const target = release ? service.releases.find((r) => String(r.revision) === release) : service.releases.find((r) => r.state === 'kept' && r.revision < live.revision);
      if (!target) return problem(response, 404, 'Not Found', `no release before ${live?.revision} of ${name} is kept`);
      for (const one of service.releases) if (one.state === 'live') one.state = 'kept';
      target.state = 'live';
      world.event('operator', name, 'info', `Release ${target.revision} of ${name} is live again, as the operator wished.`, { revision: target.revision });
      return json(response, { service: name, state: 'live', revision: target.revision, digest: target.digest });
    }
    return problem(response, 404, 'Not Found', 'nothing here');
  }
}

function send({ response }, event, data) {
  response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

function json(response, value) {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function problem(response, status, title, detail) {
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(JSON.stringify({ type: 'about:blank', title, status, detail }));
}

async function asset(response, name) {
  if (!/^[\w-]+\.(html|css|js|svg)$/.test(name)) return problem(response, 404, 'Not Found', 'no such asset');
  const text = await readFile(new URL(name, PAGE)).catch(() => null);
  if (!text) return problem(response, 404, 'Not Found', `no asset ${name}`);
  return response.writeHead(200, { 'content-type': TYPES[name.split('.').at(-1)], 'content-security-policy': CSP, 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cache-control': 'no-cache' }).end(text);
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const option = (name) => { const at = process.argv.indexOf(`--${name}`); return at < 0 ? undefined : Number(process.argv[at + 1]); };
  const server = await new FakeServer({ port: option('port') ?? 9190, services: option('services'), empty: process.argv.includes('--empty') }).start();
  console.log(`${server.url}#token=${server.token}`);
}
