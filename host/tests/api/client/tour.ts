// The tour's calls by a client that is typed by the API's description: `api.d.ts` is generated from it before this is
// compiled. What the description lacks or says wrongly doesn't compile, or fails here.
//
//     node built/tour.js http://127.0.0.1:7400

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, operations, paths } from "./api.js";

type Headers = NonNullable<operations["executeCommand"]["parameters"]["header"]>;
type Problem = components["schemas"]["Problem"];

const [base] = process.argv.slice(2);
assert(base, "name the host: node built/tour.js http://127.0.0.1:7400");
// The log comes as lines too, where they are asked for: this client asks for JSON.
const api = createClient<paths, "application/json" | "application/problem+json">({ baseUrl: base });
const id = `typescript-${process.pid}`;
const stream = { type: "account", id };

/** Sends a command to the tour's account. */
function send(command: string, body: unknown, header: Headers = {}) {
  return api.POST("/v1/aggregates/{type}/{id}/commands/{command}", { params: { path: { ...stream, command }, header }, body });
}

/** The answer of a request that must go well. */
function ok<T>(answer: { data?: T; error?: unknown; response: Response }): NonNullable<T> {
  assert.equal(answer.response.status, 200, JSON.stringify(answer.error));
  assert(answer.data);
  return answer.data;
}

/** The problem of a request that must be refused with this code. */
function refused<E extends Problem, C extends E["code"]>(answer: { error?: E; response: Response }, status: number, code: C) {
  assert(answer.error, "an error is expected");
  assert.deepEqual([answer.response.status, answer.error.status, answer.error.code], [status, status, code]);
  assert.equal(answer.response.headers.get("content-type"), "application/problem+json");
  return answer.error;
}

async function commands() {
  const opened = await send("Open", { owner: "Ann" });
  assert.equal(opened.response.headers.get("etag"), '"0"');
  assert.deepEqual(ok(opened).events.map((event) => event.event_type), ["Opened"]);

  const first = ok(await send("Deposit", { amount: 100 }, { "Idempotency-Key": `${id}-1` }));
  const second = ok(await send("Deposit", { amount: 100 }, { "Idempotency-Key": `${id}-1` }));
  assert.deepEqual(second, { ...first, replayed: true });
  refused(await send("Deposit", { amount: 101 }, { "Idempotency-Key": `${id}-1` }), 422, "idempotency-key-reused");

  const rejected = refused(await send("Withdraw", { amount: 1000 }), 422, "rejected");
  assert.equal(rejected.rejection?.code, "insufficient-funds");
  assert.equal(refused(await send("Withdraw", { amount: 0 }), 400, "invalid").pointer, "/amount");
  assert(refused(await send("Dance", {}), 404, "unknown-command").known?.includes("Open"));
}

async function versions() {
  const conflict = refused(await send("Deposit", { amount: 1 }, { "Expected-Version": "7" }), 409, "version-conflict");
  assert.deepEqual([conflict.expected, conflict.actual], [7, 1]);
  refused(await send("Deposit", { amount: 1 }, { "If-Match": '"7"' }), 412, "version-conflict");
  assert.equal(ok(await send("Withdraw", { amount: 40 }, { "If-Match": '"1"' })).version, 2);
}

async function reads() {
  const state = ok(await api.GET("/v1/aggregates/{type}/{id}", { params: { path: stream } }));
  assert.deepEqual([state.version, state.state], [2, { owner: "Ann", balance: 60 }]);
  assert.equal(state.module.name, "bank-account");
  const past = ok(await api.GET("/v1/aggregates/{type}/{id}", { params: { path: stream, query: { at_version: 1 } } }));
  assert.deepEqual(past.state, { owner: "Ann", balance: 100 });
  const absent = { path: { type: "account", id: `${id}-absent` } };
  refused(await api.GET("/v1/aggregates/{type}/{id}", { params: absent }), 404, "stream-not-found");

  const page = ok(await api.GET("/v1/streams/{type}/{id}/events", { params: { path: stream, query: { limit: 2 } } }));
  assert.deepEqual(page.events.map((event) => event.version), [0, 1]);
  assert.equal(page.links.next, `/v1/streams/account/${id}/events?from_version=2&limit=2`);
  const streams = ok(await api.GET("/v1/streams", { params: { query: { prefix: id } } }));
  assert.deepEqual(streams.streams.map((found) => [found.stream_id, found.version]), [[id, 2]]);
}

async function log() {
  const from = ok(await api.GET("/v1/events", { params: { query: { event_type: "Withdrawn", limit: 1000 } } }));
  const withdrawn = from.events.find((event) => event.stream_id === id);
  assert(withdrawn && withdrawn.position > 0);
  const rest = ok(await api.GET("/v1/events", { params: { query: { after: withdrawn.cursor } } }));
  assert(rest.events.every((event) => event.position > withdrawn.position));
  refused(await api.GET("/v1/events", { params: { query: { after: "1-1" } } }), 410, "log-epoch-changed");
}

async function appends() {
  const path = { type: "ledger", id };
  const events = [{ event_type: "Noted", payload: { text: "history" }, occurred_at: "2026-01-02T03:04:05Z" }];
  const appended = ok(await api.POST("/v1/streams/{type}/{id}/events", { params: { path, header: { "If-None-Match": "*" } }, body: { events } }));
  assert.deepEqual([appended.version, appended.events.length], [0, 1]);
  const read = ok(await api.GET("/v1/streams/{type}/{id}/events", { params: { path } }));
  assert.deepEqual(read.events[0]?.payload, { text: "history" });
  assert.equal(read.events[0]?.module_digest, null);
}

async function host() {
  const modules = ok(await api.GET("/v1/modules")).modules;
  const active = modules.find((module) => module.name === "bank-account");
  assert.equal(active?.state, "active");
  const types = ok(await api.GET("/v1/event-types")).event_types;
  assert(types.some((type) => type.event_type === "Opened" && type.schema_version === 1));
  const ready = ok(await api.GET("/readyz"));
  assert.deepEqual([ready.status, ready.checks.map((check) => check.state)], ["ok", ["ok", "ok", "ok"]]);
}

const steps = { commands, versions, reads, log, appends, host };
for (const [name, step] of Object.entries(steps)) {
  await step();
  console.log(`ok: ${name}`);
}
