// What the tests share: one server, one browser.
import { after, before } from 'node:test';
import { Bench } from './harness.mjs';

export const bench = {};
before(async () => Object.assign(bench, { all: await Bench.start() }));
after(() => bench.all?.stop());
