// The believable part of the fake server: services whose load changes, and what happens to them.
// Time is passed in (`tick(now)`), chance is seeded, so a test can play a story step by step.

const HEX = '0123456789abcdef';
const LONG = 'payments-reconciliation-nightly-export-for-the-finance-department-in-the-northern-region-v2';

/** What each service is like: requests a second, median latency, instances, and its trouble. */
const SPECS = [
  { name: 'accounts', rps: 640, p50: 0.0004, n: 4, routes: [] },
  { name: 'checkout', rps: 85, p50: 0.006, n: 4, story: 'canary' },
  { name: 'geocode', rps: 210, p50: 0.011, n: 6, concurrency: 16, state: 'degraded' },
  { name: 'ledger', rps: 32, p50: 0.004, n: 2, story: 'held' },
  { name: 'legacy-soap', rps: 2, p50: 0.09, n: 2, state: 'draining' },
  { name: 'login', rps: 120, p50: 0.0008, n: 4 },
  { name: 'mailer', rps: 0, p50: 0.02, n: 0, state: 'broken' },
  { name: LONG, rps: 1284530, p50: 0.00009, n: 48, concurrency: 16 },
  { name: 'register', rps: 9, p50: 0.031, n: 4 },
  { name: 'sandbox-draft', rps: 0, p50: 0, n: 0, state: 'refused' },
  { name: 'search', rps: 340, p50: 0.014, n: 3, concurrency: 16, frozen: true },
  { name: 'signup', rps: 4, p50: 0.045, n: 2 },
  { name: 'thumbnails', rps: 26, p50: 0.12, n: 4, story: 'trap' },
  { name: 'welcome', rps: 0, p50: 0.001, n: 2, state: 'starting' },
];

const BACKTRACE = [
  'thumbnails::decode::png::unfilter at src/decode/png.rs:214',
  'thumbnails::decode::png::next_row at src/decode/png.rs:171',
  'thumbnails::resize::lanczos at src/resize.rs:66',
  '<thumbnails::Handler as wasi::exports::http::incoming_handler::Guest>::handle at src/lib.rs:41',
  'wasi:http/incoming-handler@0.2.6#handle',
];

export class World {
  constructor({ services, seed = 7, story = true, now = Date.now() / 1000, empty = false } = {}) {
    this.seed = seed;
    this.story = story;
    this.now = now - 150;
    this.startedAt = now - 3 * 86400 - 4100;
    this.eventSerial = 0;
    this.instanceSerial = 0;
    this.events = [];
    this.exits = [];
    this.services = new Map();
    this.listeners = new Set();
    const more = Array.from({ length: Math.max(0, (services ?? 0) - SPECS.length) }, (_, i) =>
      ({ name: `worker-${String(i + 1).padStart(2, '0')}`, rps: 3 + this.#chance() * 300, p50: 0.001 + this.#chance() * 0.02, n: 1 + Math.floor(this.#chance() * 6) }));
    if (!empty) for (const spec of [...SPECS, ...more]) this.#add(spec);
    this.event('host_started', null, 'info', 'Wharf 0.1.0 listens on 127.0.0.1:8080.');
    while (this.now + 1 <= now) this.tick(this.now + 1);
  }

  #chance() { // mulberry32
    this.seed = (this.seed + 0x6d2b79f5) | 0;
    let t = Math.imul(this.seed ^ (this.seed >>> 15), 1 | this.seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  #digest() { return Array.from({ length: 64 }, () => HEX[Math.floor(this.#chance() * 16)]).join(''); }

  #add(spec) {
    const refused = spec.state === 'refused';
    const releases = refused ? [] : [1, 2, 3].map((i) => ({
      revision: i + 4, digest: this.#digest(), manifest_digest: i > 1 ? this.#digest() : null, size_bytes: 1200000 + Math.floor(this.#chance() * 900000),
      accepted_at: this.now - (4 - i) * 40000, state: i === 3 ? 'live' : 'kept', note: null })).reverse();
    const service = {
      spec, releases, instances: [], logs: [], points: [], canary: null, held: null, frozen: !!spec.frozen, taken_back: null, quarantine: [],
      state: spec.state ?? 'ready', queued: 0, last_deploy_error: null, phase: this.#chance() * 6, dip: 0,
      counts: { requests: spec.rps * 86000 | 0, errors: 3, starts: 14, exits: 2, replays: 1, sheds: 0, quarantined: 0, deploys: 7, deploy_failures: 0, rollbacks: 1 },
    };
    if (spec.rps > 1e6) service.counts.requests = 98_765_432_109;
    this.services.set(spec.name, service);
    for (let i = 0; i < spec.n; i += 1) this.#start(service, 500);
    if (refused) service.last_deploy_error = { at: this.now + 60, message: 'sandbox-draft.wasm imports wasi:sockets/tcp@0.2.6, which this host does not offer to guests.\nRemove the import, or ask for the connection through wasi:http/outgoing-handler and grant it:\n\n  [grants]\n  http = ["https://api.example.com"]' };
    if (spec.story === 'held') this.hold(spec.name, 'capabilities');
    if (spec.state === 'starting') service.instances.forEach((i) => { i.state = 'starting'; });
    if (spec.state === 'broken') this.event('breaker_opened', spec.name, 'error', 'mailer rests for 10 s: 5 instances in a row ended without useful work.');
  }

  #start(service, age = 0) {
    const instance = { id: String(this.instanceSerial += 1), state: 'ready', in_flight: 0, served: 0, memory_bytes: 1310720 + Math.floor(this.#chance() * 8e6), born: this.now - age * this.#chance() };
    service.instances.push(instance);
    service.counts.starts += 1;
    return instance;
  }

  event(kind, service, level, message, more = {}) {
    const event = { id: `5f3a-${this.eventSerial += 1}`, at: this.now, kind, service, level, message, ...more };
    this.events.push(event);
    if (this.events.length > 1000) this.events.shift();
    this.emit('event', event);
    return event;
  }

  emit(type, value) { for (const listener of this.listeners) listener(type, value); }

  log(name, text, stream = 'stdout', level = null) {
    const service = this.services.get(name);
    const line = { at: this.now, service: name, release: service.releases[0]?.digest.slice(0, 12) ?? '', instance: service.instances[0]?.id ?? '0', request: null, stream, level, text };
    service.logs.push(line);
    if (service.logs.length > 400) service.logs.shift();
    this.emit('line', line);
  }

  /** An instance ends, is noted and replaced. */
  end(name, id, reason, message, backtrace = [], requests = []) {
    const service = this.services.get(name);
    const at = service.instances.findIndex((instance) => instance.id === id);
    if (at < 0) return false;
    const [gone] = service.instances.splice(at, 1);
    service.counts.exits += 1;
    service.pendingExits = (service.pendingExits ?? 0) + 1;
    this.exits.unshift({ service: name, release: service.releases[0].digest, instance: id, reason, message, backtrace, requests, age_seconds: this.now - gone.born, served: gone.served, at: this.now });
    this.event('instance_ended', name, reason === 'killed' || reason === 'retired' ? 'info' : 'warning', `Instance ${id} of ${name} ended: ${message}`, { instance: id, reason });
    this.#start(service).state = 'starting';
    return true;
  }

  trap(name = 'thumbnails') {
    const service = this.services.get(name);
    const victim = service.instances.find((i) => i.state !== 'starting') ?? service.instances[0];
    this.log(name, "thread 'main' panicked at src/decode/png.rs:214:31:\nindex out of bounds: the len is 1024 but the index is 1031", 'stderr');
    this.end(name, victim.id, 'trap', 'wasm trap: wasm `unreachable` instruction executed', BACKTRACE, ['POST /thumbnails']);
    service.counts.replays += 1;
    service.pendingReplays = 1;
  }

  quarantine(name = 'thumbnails') {
    const service = this.services.get(name);
    service.quarantine = [{ line: 'POST /thumbnails', fingerprint: this.#digest().slice(0, 16), kills: 3, refused: 12, until: this.now + 60,
      instances: service.instances.slice(0, 3).map((i) => ({ id: i.id, reason: 'trap' })) }];
    this.event('quarantined', name, 'warning', 'POST /thumbnails ended three instances in a row; requests like it are refused for 60 s.');
  }

  canary(name = 'checkout', doomed = true) {
    const service = this.services.get(name);
    const digest = this.#digest();
    const revision = service.releases[0].revision + 1;
    for (const stage of ['validating', 'compiling', 'warming']) this.event('deploy', name, 'info', `${name}: ${stage} release ${revision}.`, { stage, revision, digest });
    service.taken_back = null;
    service.canary = { revision, digest, started_at: this.now, ends_at: this.now + 60, share: 0.1, requests: 0, failures: 0, running_requests: 0, running_failures: 0, failure_evidence: 1, latency_evidence: 1, doomed,
      instances: [this.#start({ instances: [], counts: {} })] };
    service.releases.unshift({ revision, digest, manifest_digest: null, size_bytes: 1999000, accepted_at: this.now, state: 'canary', note: null });
    this.event('canary_started', name, 'info', `Release ${revision} of ${name} gets 10 % of the requests for 60 s.`, { revision, digest });
  }

  takeBack(name = 'checkout', reason = '14 of its 120 requests failed, against 3 of 1,080 of the running release') {
    const service = this.services.get(name);
    const { revision, digest } = service.canary ?? service.releases[0];
    service.canary = null;
    service.taken_back = { revision, digest, at: this.now, reason };
    Object.assign(service.releases.find((r) => r.revision === revision), { state: 'taken_back', note: reason });
    service.counts.rollbacks += 1;
    this.event('rolled_back', name, 'error', `Release ${revision} of ${name} was taken back: ${reason}.`, { revision, digest, reason });
  }

  pass(name) {
    const service = this.services.get(name);
    const { revision } = service.canary;
    service.canary = null;
    for (const release of service.releases) release.state = release.revision === revision ? 'live' : release.state === 'live' ? 'kept' : release.state;
    this.event('canary_passed', name, 'info', `Release ${revision} of ${name} is live.`, { revision });
  }

  hold(name, why) {
    const service = this.services.get(name);
    service.held = { digest: this.#digest(), at: this.now, why, added: why === 'capabilities' ? ['wasi:http/outgoing-handler@0.2.6', 'wasi:keyvalue/store@0.2.0-draft2'] : [],
      message: `${name}.wasm asks for more than the running release may do.` };
    this.event('deploy', name, 'warning', `A new release of ${name} is held: it asks for more than the running one.`, { stage: 'held' });
  }

  /** One second passes. */
  tick(now) {
    this.now = now;
    for (const service of this.services.values()) this.#second(service);
    if (this.story) this.#story(Math.round(now));
    this.emit('tick', this.list());
  }

  #second(service) {
    const { spec } = service;
    const per = spec.concurrency ?? 1;
    const swing = 1 + 0.35 * Math.sin(this.now / 19 + service.phase) + 0.12 * Math.sin(this.now / 5) + (this.#chance() - 0.5) * 0.16;
    const requests = Math.max(0, Math.round(spec.rps * swing * (spec.state === 'draining' ? 0.4 : 1)));
    const trouble = spec.state === 'degraded' && this.#chance() < 0.3;
    const errors = trouble ? Math.ceil(this.#chance() * 5) : this.#chance() < 0.01 ? 1 : 0;
    const sheds = spec.state === 'broken' ? Math.ceil(this.#chance() * 3) : trouble ? 2 : 0;
    const slow = 1 + this.#chance() * 0.3 + (trouble ? 1.5 : 0);
    const point = { at: Math.floor(this.now), requests, errors, sheds, replays: service.pendingReplays ?? 0, exits: service.pendingExits ?? 0, in_flight: 0,
      p50_seconds: requests ? spec.p50 * slow : null, p99_seconds: requests ? spec.p50 * slow * (3 + this.#chance() * 2) : null };
    service.pendingReplays = 0;
    service.pendingExits = 0;
    service.counts.requests += requests;
    service.counts.errors += errors;
    service.counts.sheds += sheds;
    for (const instance of service.instances) {
      if (instance.state === 'starting' && spec.state !== 'starting') { instance.state = 'ready'; continue; }
      if (instance.state === 'draining') { this.#retire(service, instance); continue; }
      if (instance.state === 'starting') continue;
      const load = Math.min(0.95, requests * spec.p50 * 2 / (per * service.instances.length) + (requests > 20 ? 0.25 : 0.03));
      instance.in_flight = per === 1 ? Number(this.#chance() < load) : Math.round(per * load * this.#chance());
      instance.state = instance.in_flight ? 'busy' : 'ready';
      instance.served += Math.round(requests / service.instances.length);
      point.in_flight += instance.in_flight;
    }
    if (spec.state !== 'refused' && spec.state !== 'starting') service.points.push(point);
    if (service.points.length > 120) service.points.shift();
    service.quarantine = service.quarantine.filter((q) => q.until > this.now);
    service.quarantine.forEach((q) => { q.refused += 1; });
    if (service.canary) this.#canarySecond(service, requests);
    if (requests && this.#chance() < 0.4) this.log(spec.name, `${['GET', 'POST'][Math.floor(this.#chance() * 2)]} ${spec.routes?.[0] ?? `/${spec.name}`} done in ${(spec.p50 * 1000).toFixed(2)} ms`);
    if (requests && this.#chance() < 0.02) this.log(spec.name, '<img src=x onerror="document.title=1"> sent by a client', 'log', 'warn');
  }

  #retire(service, instance) {
    service.instances.splice(service.instances.indexOf(instance), 1);
    this.#start(service).state = 'starting';
  }

  #canarySecond(service, requests) {
    const { canary, spec } = service;
    const share = Math.max(1, Math.round(requests * canary.share));
    canary.requests += share;
    canary.running_requests += requests - share;
    if (canary.doomed && this.#chance() < 0.55) {
      canary.failures += 1;
      canary.failure_evidence *= 1.5;
      service.points.at(-1).errors += 1;
    }
    if (this.#chance() < 0.04) canary.running_failures += 1;
    canary.latency_evidence *= 0.95 + this.#chance() * 0.12;
    if (!this.story) return;
    if (canary.failure_evidence >= 100) this.takeBack(spec.name, `${canary.failures} of its ${canary.requests} requests failed, against ${canary.running_failures} of ${canary.running_requests} of the running release`);
    else if (this.now >= canary.ends_at) this.pass(spec.name);
  }

  #story(second) {
    const checkout = this.services.get('checkout');
    if (checkout && second % 120 === 20 && !checkout.canary) this.canary('checkout', checkout.counts.rollbacks % 3 !== 0);
    if (this.services.has('thumbnails') && second % 47 < 6 && second % 2 === 0) this.trap();
    if (this.services.has('thumbnails') && second % 94 === 7) this.quarantine();
    if (this.services.has('geocode') && second % 9 === 0) {
      const victim = this.services.get('geocode').instances[0];
      this.end('geocode', victim.id, second % 2 ? 'deadline' : 'ejected', second % 2 ? 'a request ran past its deadline of 30 s' : 'put out: it failed far more than the others', [], ['GET /geocode?q=<b>pier</b>']);
    }
  }

  /** The service as the API shows it. */
  view(service) {
    const show = (i) => ({ id: i.id, state: i.state, in_flight: i.in_flight, served: i.served, memory_bytes: i.memory_bytes, age_seconds: this.now - i.born });
    const { spec, canary } = service;
    const live = service.releases.find((r) => r.state === 'live');
    const point = service.points.at(-1);
    return {
      name: spec.name, state: service.state, release: live && spec.state !== 'broken' ? { revision: live.revision, digest: live.digest, deployed_at: live.accepted_at } : null,
      canary: canary && { ...canary, doomed: undefined, instances: canary.instances.map(show) },
      held: service.held, frozen: service.frozen, taken_back: service.taken_back, routes: spec.routes ?? [`/${spec.name}`],
      instances: service.instances.map(show), queued: service.queued, concurrency: spec.concurrency ?? 1,
      live: point ? { at: point.at, requests_per_second: point.requests, errors_per_second: point.errors, sheds_per_second: point.sheds, replays_per_second: point.replays, exits_per_second: point.exits, p50_seconds: point.p50_seconds, p99_seconds: point.p99_seconds } : null,
      counts: { ...service.counts },
      quarantine: service.quarantine.map(({ until, ...q }) => ({ ...q, refused_for_seconds: until - this.now })),
      last_deploy_error: service.last_deploy_error,
    };
  }

  list() { return [...this.services.values()].map((s) => this.view(s)).sort((a, b) => (a.name < b.name ? -1 : 1)); }
}
