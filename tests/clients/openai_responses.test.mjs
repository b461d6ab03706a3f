// The SDK of OpenAI, on responses.
import assert from 'node:assert/strict';
import test from 'node:test';
import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { capital, clock, idle, person, startServer, story, tooLong } from './support.mjs';

const tools = [{
  type: 'function',
  name: clock.name,
  description: clock.description,
  parameters: clock.parameters,
  strict: false,
}];

test('openai, responses', async (t) => {
  const server = await startServer(t, ['--context', '2048']);
  const client = new OpenAI({ baseURL: server.base, apiKey: 'none' });
  const ask = { model: 'v4-nano-dspark', temperature: 0, input: capital.question };
  let whole;

  await t.test('answers and usage', async () => {
    whole = await client.responses.create(ask);
    assert.match(whole.output_text, capital.answer);
    assert.equal(whole.status, 'completed');
    const { input_tokens, output_tokens, total_tokens } = whole.usage;
    assert.ok(input_tokens > 0 && output_tokens > 0);
    assert.equal(total_tokens, input_tokens + output_tokens);
  });

  await t.test('streaming', async () => {
    let text = '';
    let last;
    let number = 0;
    for await (const event of await client.responses.create({ ...ask, stream: true })) {
      assert.equal(event.sequence_number, number++);
      if (event.type === 'response.output_text.delta') text += event.delta;
      last = event;
    }
    assert.equal(text, whole.output_text);
    assert.equal(last.type, 'response.completed');
    assert.equal(last.response.usage.output_tokens, whole.usage.output_tokens);
    assert.equal((await client.responses.stream(ask).finalResponse()).output_text, text);
  });

  await t.test('tools', async () => {
    const question = { role: 'user', content: clock.question };
    for (const stream of [false, true]) {
      const request = { ...ask, input: [question], tools };
      const first = stream
        ? await client.responses.stream(request).finalResponse()
        : await client.responses.create(request);
      const call = first.output.find((item) => item.type === 'function_call');
      assert.equal(call.name, clock.name);
      assert.deepEqual(JSON.parse(call.arguments), { city: clock.city });
      const result = { type: 'function_call_output', call_id: call.call_id, output: JSON.stringify(clock.result) };
      // With the whole conversation, and with what the server kept of it.
      const told = await client.responses.create({ ...request, input: [question, ...first.output, result] });
      assert.match(told.output_text, clock.answer);
      const kept = await client.responses.create({ ...request, previous_response_id: first.id, input: [result] });
      assert.equal(kept.output_text, told.output_text);
    }
  });

  await t.test('forced tools', async () => {
    for (const tool_choice of ['required', { type: 'function', name: clock.name }]) {
      const reply = await client.responses.create({ ...ask, input: 'Hello', tools, tool_choice });
      assert.equal(reply.output.at(-1).name, clock.name);
      assert.deepEqual(Object.keys(JSON.parse(reply.output.at(-1).arguments)), ['city']);
    }
  });

  await t.test('structured output', async () => {
    const schema = z.object({ name: z.string(), job: z.string(), city: z.string() });
    const request = { ...ask, input: person.question, text: { format: zodTextFormat(schema, 'person') } };
    assert.deepEqual((await client.responses.parse(request)).output_parsed, person.answer);
  });

  await t.test('kept responses', async () => {
    assert.equal((await client.responses.retrieve(whole.id)).output_text, whole.output_text);
    const continued = await client.responses.create({ ...ask, input: 'And now?', previous_response_id: whole.id });
    const items = [];
    for await (const item of client.responses.inputItems.list(continued.id, { order: 'asc', limit: 1 })) items.push(item);
    assert.deepEqual(items.slice(1, -1).map((item) => item.id), whole.output.map((item) => item.id));
    assert.equal(items.at(-1).content[0].text, 'And now?');
    await assert.rejects(client.responses.cancel(whole.id), OpenAI.BadRequestError);
    await client.responses.delete(whole.id);
    await assert.rejects(client.responses.retrieve(whole.id), OpenAI.NotFoundError);
  });

  await t.test('a limit of tokens', async () => {
    const cut = await client.responses.create({ ...ask, input: story, max_output_tokens: 20 });
    assert.equal(cut.status, 'incomplete');
    assert.equal(cut.incomplete_details.reason, 'max_output_tokens');
  });

  await t.test('errors', async () => {
    await assert.rejects(client.responses.create({ ...ask, input: tooLong }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.code, 'context_length_exceeded');
      return true;
    });
    const unknown = { ...ask, previous_response_id: 'resp_none' };
    await assert.rejects(client.responses.create(unknown), (error) => error.code === 'previous_response_not_found');
  });

  await t.test('aborts', async () => {
    const stream = await client.responses.create({ ...ask, input: story, ignore_eos: true, stream: true });
    for await (const event of stream) {
      if (event.type.endsWith('.delta')) break;
    }
    await idle(server);
  });
});
